"""Whether a model deserves the champion's place: scores, paired counts, the gate.

Imports base.
"""

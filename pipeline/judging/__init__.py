"""Whether a challenger deserves the champion's place: scores, paired counts, the gate.

Imports base and artifacts.
"""

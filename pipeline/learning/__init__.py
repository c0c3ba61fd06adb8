"""How a model is trained: networks, starts, steps, stopping, checkpoints, audits.

Imports base, data, judging and registry.
"""

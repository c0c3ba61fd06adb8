"""How a model is trained: networks, starts, steps, stopping, checkpoints, audits.

Imports base, artifacts, data, judging and registry.
"""

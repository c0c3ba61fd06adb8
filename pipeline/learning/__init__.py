"""How a model is trained: networks, starts, steps, stopping, checkpoints, audits.

Imports base, artifacts, data, images, judging and registry.
"""

"""Features: what the frozen part of a network gives for an image, computed once for each image and kept.

Imports base, artifacts, data, images, learning and registry.
"""

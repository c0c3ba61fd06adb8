"""Whether new images may come in: facts, drift, Great Expectations, quarantine.

Imports base, artifacts, data and images.
"""

"""Whether new images may come in: facts, drift, Great Expectations, the quarantine.

Imports base, artifacts, data and images.
"""

"""Whether new images may come in: facts, drift, Great Expectations, quarantine.

Imports base, data and images.
"""

"""The MLflow registry: runs, versions, the alias, what a version was made from.

Imports base, artifacts and data.
"""

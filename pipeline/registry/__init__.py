"""The MLflow registry: runs, versions, the alias, and what a version was made from.

Imports base, artifacts and data.
"""

"""What stages hand on, and what goes into the registry: one frozen type for each JSON file.

A file of `data/cycle` is read and written by the type of its name: `parent.json` by `parent.Parent`. Imports base.
"""

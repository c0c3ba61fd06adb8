"""What everything stands on: errors, files, settings, paths, processes, the digest of code.

Imports no other room.
"""

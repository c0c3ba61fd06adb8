"""What everything else stands on: errors, files on disk, settings, processes, the digest of code.

Imports no other room.
"""

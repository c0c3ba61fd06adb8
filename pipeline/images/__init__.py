"""Bytes into pixels: the one decoder, in worker processes, and what is kept of it.

Imports base and data.
"""

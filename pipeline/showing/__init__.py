"""What people look at: the card, the report, plots, sheets of thumbnails.

Imports base, artifacts, judging and learning.
"""

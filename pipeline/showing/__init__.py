"""What people look at: the card, the page, the contact sheet, plots.

Imports base, artifacts, judging and learning.
"""

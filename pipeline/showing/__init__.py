"""What people look at: the card, the page, the contact sheet, plots.

Imports artifacts, judging and learning.
"""

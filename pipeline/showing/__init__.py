"""What people look at: the card, the page, the contact sheet, plots.

Imports artifacts and learning.
"""

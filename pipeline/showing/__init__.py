"""What people look at: card, page, contact sheet, plots.

Imports base and learning.
"""

"""From bytes to pixels: the one decoder, the processes that it runs in, and the pixels that are kept.

Imports base, artifacts and data.
"""

"""Evergreen: things in this folder, one verb per DVC stage in `stages`."""

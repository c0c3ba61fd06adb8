"""Evergreen: rooms of things, one verb per DVC stage in `stages`, and the verbs that people run in `commands`."""

"""The verbs that people run: one file per command, same name. They import any room, and no stage."""

"""What people run besides the stages: one file per command, same name."""

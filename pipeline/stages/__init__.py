"""One file per stage of dvc.yaml: read, decide, write."""

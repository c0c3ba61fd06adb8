"""The verbs that `dvc repro` runs: one file per stage of dvc.yaml, same name. They import any room, and no stage."""

#!/usr/bin/env bash
# Are there images? A project that has just begun has none, which is no failure: say what to do instead of training.
set -euo pipefail

pointers=$(git ls-files data/images.dvc 'data/images/*.dvc') # git's * goes into subfolders; if git fails, so does this
if [ -n "$pointers" ]; then
  echo "found=true" >>"$GITHUB_OUTPUT"
else
  echo "found=false" >>"$GITHUB_OUTPUT"
  cat >>"$GITHUB_STEP_SUMMARY" <<'END'
No images yet, so nothing to train. Put some in `data/images/<batch>/<label>/`, then run
`dvc add data/images/<batch>`, `dvc push`, `git commit` its `.dvc` file and `git push`.
END
fi

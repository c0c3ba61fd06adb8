#!/usr/bin/env bash
# Point the checkout at its DVC remote and its registry: those of the repository's variables, else a folder of this
# machine that outlives the checkout.
set -euo pipefail

kept="$HOME/evergreen/$GITHUB_REPOSITORY"
mkdir -p "$kept"
dvc remote modify --local local url "${DVC_REMOTE_URL:-$kept/remote}"
[ -e store ] || ln -s "$kept" store # where the registry and its files are if MLFLOW_TRACKING_URI is empty

# What an earlier cycle left in this checkout is not what dvc.lock of this commit means.
rm -rf data/cycle

if [ "${RUNNER_ENVIRONMENT:-}" = github-hosted ]; then
  for name in DVC_REMOTE_URL MLFLOW_TRACKING_URI; do
    [ -n "${!name}" ] || echo "::warning::The variable $name is not set and a runner of GitHub's is thrown away after" \
      "the job: nothing it keeps there lasts. Set $name, or train on a runner of your own (TRAIN_RUNNER)."
  done
fi

#!/usr/bin/env bash
# Commit dvc.lock and push it to the branch, if the cycle changed it. That starts no run: GitHub starts none for what
# GITHUB_TOKEN pushes, and [skip ci] says so to any other CI.
set -euo pipefail

export GIT_AUTHOR_NAME='github-actions[bot]' GIT_AUTHOR_EMAIL='41898282+github-actions[bot]@users.noreply.github.com'
export GIT_COMMITTER_NAME=$GIT_AUTHOR_NAME GIT_COMMITTER_EMAIL=$GIT_AUTHOR_EMAIL

# By environment, so that the token is in no file and on no command line.
header="AUTHORIZATION: basic $(printf 'x-access-token:%s' "$GITHUB_TOKEN" | base64 | tr -d '\n')"
export GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0="http.$GITHUB_SERVER_URL/.extraheader" GIT_CONFIG_VALUE_0=$header

git add dvc.lock
if git diff --cached --quiet -- dvc.lock; then
  echo "dvc.lock is unchanged"
  exit
fi
git commit --quiet --message 'Record the cycle in dvc.lock [skip ci]' \
  --message "$GITHUB_SERVER_URL/$GITHUB_REPOSITORY/actions/runs/$GITHUB_RUN_ID" -- dvc.lock

for wait in 1 2 4 8 16; do
  git push --quiet origin "HEAD:$GITHUB_REF" && exit
  sleep "$wait"
  # Others may have pushed while the cycle ran. Where one of them changed dvc.lock too, theirs stays, and it is said: not
  # as the merge driver of `make setup` would have it, which is for people.
  git -c merge.made-anew.driver=false pull --quiet --rebase origin "$GITHUB_REF" || git rebase --abort || true
done
echo "::error::dvc.lock could not be pushed to $GITHUB_REF_NAME; the model is registered all the same. Did someone" \
  "else change dvc.lock, or is the branch protected? Mend that and run this workflow again; nothing is trained twice."
exit 1

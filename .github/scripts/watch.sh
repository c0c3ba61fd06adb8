#!/usr/bin/env bash
# Run a command whose output strangers can write to, by file names and labels: nothing in it is taken for a workflow
# command, and if it fails, its error goes to the job summary as text.
set -euo pipefail

name="$1 ${2:-}"
[ "${2:-}" != -m ] || name="${*:1:4}" # python -m pipeline run
log="$RUNNER_TEMP/watched.log"
lines() { tr '\r' '\n' <"$log" | tr -d '\000-\010\013-\037\177'; } # progress bars end in \r

resume=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n') # must not be guessed
echo "::stop-commands::$resume"
code=0
"$@" 2>&1 | tee "$log" || code=$?
printf '\n::%s::\n' "$resume"

if [ "$code" != 0 ]; then
  {
    printf '### `%s` failed\n\n<pre>\n' "$name"
    {
      lines | grep -aE '^[a-z]+: error: ' || lines | grep -a '^ERROR: ' || lines | tail -n 20
    } | cut -c -1000 | sed -e 's/&/\&amp;/g' -e 's/</\&lt;/g' -e 's/>/\&gt;/g' -e 's/^/  /'
    printf '</pre>\n'
  } >>"$GITHUB_STEP_SUMMARY"
fi
exit "$code"

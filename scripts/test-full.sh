#!/bin/bash
# Runs the end-to-end groups at full scale, each in a test run of its own. Which of them passed on this commit is kept
# in .momentstudio/test-full, so that a second call runs the others only.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1

all=site,releases,review,recovery,data,lifecycle
IFS=, read -ra groups <<<"${1:-$all}"
for group in "${groups[@]}"; do
  case ",$all," in
    *",$group,"*) ;;
    *) echo "there is no group \"$group\", only $all" >&2; exit 2 ;;
  esac
done

version=$(git rev-parse HEAD) || exit 1
# What is not committed counts as another version.
changes=$( (git diff HEAD; git ls-files --others --exclude-standard -z | xargs -0r sha256sum) | sha256sum)
[ -z "$(git status --porcelain)" ] || version+=-${changes:0:12}
passed=.momentstudio/test-full/$version
mkdir -p "$passed" .momentstudio/artifacts
artifacts=$PWD/.momentstudio/artifacts

failed=()
for group in "${groups[@]}"; do
  if [ -e "$passed/$group" ]; then
    echo "group $group passed on this version before"
    continue
  fi
  echo "== group $group"
  if (cd sandbox && E2E_GROUP=$group E2E_FULL=1 go test -count=1 -timeout 120m -artifacts -outputdir "$artifacts" ./e2e -run '^TestStack$' -v); then
    date --utc +%FT%TZ >"$passed/$group"
  else
    failed+=("$group")
  fi
done
if [ ${#failed[@]} -gt 0 ]; then
  echo "these groups failed: ${failed[*]}. Fix: mend the cause, then run make test-full again; it runs these only." >&2
  exit 1
fi

#!/bin/bash
# Commits the named files on a branch of their own and opens a pull request: propose.sh TITLE FILE…
# Does nothing when they have not changed.
set -euo pipefail
title="$1"
shift
if git diff --quiet -- "$@"; then
  echo "nothing to propose"
  exit 0
fi
branch="propose/$(git diff -- "$@" | sha256sum | cut -c1-12)"
git config user.name "github-actions[bot]"
git config user.email "41898282+github-actions[bot]@users.noreply.github.com"
git switch --create "$branch"
git commit --quiet --message "$title" -- "$@"
git push --force origin "$branch"
gh pr view "$branch" --json number >/dev/null 2>&1 || gh pr create --head "$branch" --base main --title "$title" --body "By digest, as the tags were when this was proposed."

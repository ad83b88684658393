#!/bin/bash
# Commits the named files on a branch of their own and opens a pull request: propose.sh TITLE FILE…
# Does nothing when they have not changed, or when the same change is proposed already.
set -euo pipefail
title="$1"
shift
if git diff --quiet -- "$@"; then
  echo "nothing to propose"
  exit 0
fi
branch="propose/$(cat -- "$@" | sha256sum | cut -c1-12)"
if [ "$(gh pr list --head "$branch" --state open --json number --jq length)" != 0 ]; then
  echo "$branch is proposed already"
  exit 0
fi
git config user.name "github-actions[bot]"
git config user.email "41898282+github-actions[bot]@users.noreply.github.com"
git switch --quiet --create "$branch"
git commit --quiet --message "$title" -- "$@"
git push --quiet --force origin "$branch" # a branch of that name is of a proposal that is closed
gh pr create --head "$branch" --base main --title "$title" --body "By digest, as the tags were when this was proposed."

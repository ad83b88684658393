#!/bin/bash
# Tells of a failed run in an issue: as a comment when one of that title is open, in a new one otherwise.
#   tell.sh TITLE FILE     FILE is what is told, Markdown or plain text; it may be missing
# GITHUB_REPOSITORY and RUN, the run's address, are in the environment; gh finds its token there.
set -euo pipefail
title="$1"
file="$2"
body="$(mktemp)"
trap 'rm -f "$body"' EXIT
{
	printf '%s\n\n' "$RUN"
	if [ -f "$file" ]; then
		case "$file" in
		*.md) cat "$file" ;;
		*) sed 's/^/    /' "$file" ;;
		esac
	fi
} | head -c 60000 >"$body" || true # a longer text ends where an issue's does
number="$(gh issue list --repo "$GITHUB_REPOSITORY" --state open --search "in:title \"$title\"" --json number --jq '.[0].number // empty')"
if [ -n "$number" ]; then
	gh issue comment "$number" --repo "$GITHUB_REPOSITORY" --body-file "$body"
else
	gh issue create --repo "$GITHUB_REPOSITORY" --title "$title" --body-file "$body"
fi

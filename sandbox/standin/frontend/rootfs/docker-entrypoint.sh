#!/bin/sh
# Runs the start-up scripts in their order, then the command.
set -e

for script in /docker-entrypoint.d/*.sh; do
  "$script"
done

exec "$@"

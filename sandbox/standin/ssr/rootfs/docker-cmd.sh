#!/bin/sh
# The shell of the image's command stays PID 1 (contract 1.4): it waits for the server instead of
# becoming it, so a SIGTERM to the container does not reach the server.
set -eu

CONFIG_PATH=/app/dist/app/browser/assets/app-config.js /docker-entrypoint.d/99-runtime-config.sh
python3 dist/app/server/main.py
exit $?

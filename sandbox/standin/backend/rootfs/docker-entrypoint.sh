#!/bin/bash
# Contract 1.2: the message is printed always; only the exact string "1" migrates.
set -euo pipefail

echo "Applying database migrations"
if [ "${RUN_DB_MIGRATIONS:-1}" = "1" ]; then
  alembic upgrade head
fi

exec "$@"

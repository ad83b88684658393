#!/bin/bash
# Mounts the data volume at {{.DataDir}} and refuses a volume that is not ours. The guard
# file is written only on a volume that is still empty.
set -euo pipefail
volume={{.VolumeID}}
device=/dev/disk/by-id/scsi-0HC_Volume_$volume

for _ in $(seq 300); do
  [ -e "$device" ] && break
  sleep 1
done
[ -e "$device" ] || { echo "data volume $volume is not attached: $device is missing" >&2; exit 1; }

mkdir -p {{.DataDir}}
mountpoint -q {{.DataDir}} || mount -o noatime,nodev,nosuid "$device" {{.DataDir}}
resize2fs "$device" 2>/dev/null || true # after the volume has grown; no-op otherwise

if [ -e {{.GuardFile}} ]; then
  found=$(cat {{.GuardFile}})
  [ "$found" = "$volume" ] || { echo "{{.DataDir}} carries the guard of volume $found, want $volume" >&2; exit 1; }
elif [ -z "$(find {{.DataDir}} -mindepth 1 -maxdepth 1 ! -name lost+found -print -quit)" ]; then
  echo "$volume" > {{.GuardFile}}
else
  echo "{{.DataDir}} holds files but no guard file: not a momentstudio data volume" >&2
  exit 1
fi

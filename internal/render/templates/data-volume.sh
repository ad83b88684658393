#!/bin/bash
# Rendered by the infrastructure program; a change on the host is overwritten by the next update.
# Mounts the data volume at {{.DataDir}}, grows its file system to the volume's size, and refuses a volume that is not
# ours. The guard file is written only on a volume that is still empty. A reload of the unit grows a mounted file system.
set -euo pipefail
volume=$(cat {{.VolumeFile}})
device=/dev/disk/by-id/scsi-0HC_Volume_$volume

for _ in $(seq 300); do
  [ -e "$device" ] && break
  sleep 1
done
[ -e "$device" ] || { echo "data volume $volume is not attached: $device is missing" >&2; exit 1; }

filesystem() {
  dumpe2fs -h "$device" 2>/dev/null |
    awk '/^Block count:/ {blocks = $3} /^Block size:/ {size = $3} END {printf "%.0f\n", blocks * size}'
}
# A file system may end before its device by less than a block group, which has 128 MB.
is_smaller() { [ $(($(filesystem) + {{.GroupBytes}})) -lt "$(blockdev --getsize64 "$device")" ]; }
check() { e2fsck -f -p "$device" || [ $? -eq 1 ]; } # 1: errors were corrected

mkdir -p {{.DataDir}}
if mountpoint -q {{.DataDir}}; then
  if is_smaller; then
    resize2fs "$device" || echo "the file system cannot grow while it is mounted: it grows when the host reboots" >&2
  fi
else
  if is_smaller; then
    { check && resize2fs "$device"; } || echo "e2fsck or resize2fs failed: the file system keeps its size" >&2
  fi
  mount -o noatime,nodev,nosuid "$device" {{.DataDir}}
fi

if [ -e {{.GuardFile}} ]; then
  found=$(cat {{.GuardFile}})
  [ "$found" = "$volume" ] || { echo "{{.DataDir}} carries the guard of volume $found, want $volume" >&2; exit 1; }
elif [ -z "$(find {{.DataDir}} -mindepth 1 -maxdepth 1 ! -name lost+found -print -quit)" ]; then
  echo "$volume" > {{.GuardFile}}
else
  echo "{{.DataDir}} holds files but no guard file: not a momentstudio data volume" >&2
  exit 1
fi
# A size that cannot be read stops nothing: `studio verify` compares it with the volume's.
size=$(filesystem) || size=0
if [ "$size" -gt 0 ]; then
  echo "$size" > {{.FilesystemSize}}.new
  mv {{.FilesystemSize}}.new {{.FilesystemSize}}
fi

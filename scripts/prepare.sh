#!/bin/bash
# Installs what the tests need on Debian and makes sure that a Docker engine answers.
set -euo pipefail

declare -A package=(
  [dockerd]=docker.io [iptables]=iptables [mmdebstrap]=mmdebstrap [mkfs.ext4]=e2fsprogs [losetup]=mount
  [ip]=iproute2 [nsenter]=util-linux [ssh-keygen]=openssh-client [curl]=curl [git]=git [tar]=tar
  [shellcheck]=shellcheck [systemd-analyze]=systemd
  [chromium]=chromium [certutil]=libnss3-tools
)
missing=()
for program in "${!package[@]}"; do
  command -v "$program" >/dev/null || missing+=("${package[$program]}")
done
# The rules of the stand-in application run on Debian's own Python.
for module in dotenv cryptography; do
  /usr/bin/python3 -c "import $module" 2>/dev/null || missing+=(python3 "python3-$module")
done
if [ ${#missing[@]} -gt 0 ]; then
  echo "installing ${missing[*]}"
  apt-get update -q
  DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "${missing[@]}"
fi

if ! docker version --format '{{.Server.Version}}' >/dev/null 2>&1; then
  echo "starting a Docker engine"
  setsid dockerd >/var/log/momentstudio-dockerd.log 2>&1 </dev/null &
  for _ in $(seq 60); do
    docker version --format '{{.Server.Version}}' >/dev/null 2>&1 && exit 0
    sleep 1
  done
  tail -n 20 /var/log/momentstudio-dockerd.log >&2
  echo "the Docker engine does not answer" >&2
  exit 1
fi

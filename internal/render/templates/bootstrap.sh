#!/bin/bash
# First boot, once. Prepares what every later step stands on; safe to run again.
set -euo pipefail
step=start
trap 'echo "momentstudio-bootstrap: step \"$step\" failed (line $LINENO)" >&2' ERR
mkdir -p -m 0700 {{.EtcDir}}

step="close the metadata address"
systemctl daemon-reload
command -v iptables >/dev/null || { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends iptables; }
systemctl enable --now momentstudio-metadata.service

step="mount the data volume"
systemctl enable momentstudio-data.service
systemctl start momentstudio-data.service

step="harden sshd"
sshd -t
systemctl try-reload-or-restart ssh.service

step="start Docker"
command -v dockerd >/dev/null || { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends docker.io; }
systemctl enable docker.service
systemctl restart docker.service

step="wait for the private address {{.PrivateAddress}}"
for _ in $(seq 300); do
  ip -o -4 addr show to {{.PrivateAddress}}/32 | grep -q . && break
  sleep 1
done
ip -o -4 addr show to {{.PrivateAddress}}/32 | grep -q .

step="join the Swarm"
if [ "$(docker info --format '{{"{{.Swarm.LocalNodeState}}"}}')" != active ]; then
  docker swarm init --advertise-addr {{.PrivateAddress}} --listen-addr {{.PrivateAddress}}:2377 \
    --data-path-addr {{.PrivateAddress}} --default-addr-pool {{.SwarmPool}} >/dev/null
fi

step="install the security upgrades"
command -v unattended-upgrade >/dev/null || { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends unattended-upgrades; }
touch {{.ReadyFile}}

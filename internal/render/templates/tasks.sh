#!/bin/sh
# Rendered by the infrastructure program; a change on the host is overwritten by the next update.
# `stop` ends the Swarm's tasks before the Docker engine stops, which would kill them after ten seconds, whatever their
# grace period is (https://github.com/moby/moby/issues/36955). The edge ends first and the databases last, so that what
# was accepted is still answered. `start` lets the Swarm start tasks again.
set -u
swarm() { timeout 20 docker info --format '{{"{{.Swarm.LocalNodeState}}"}}'; }
available() { # NODE-AVAILABILITY
  timeout 20 docker node update --availability "$1" "$(timeout 20 docker info --format '{{"{{.Swarm.NodeID}}"}}')" >/dev/null 2>&1
}
end() { # SECONDS SERVICE...
  seconds=$1
  shift
  tasks=$(for service in "$@"; do
    docker ps --quiet --filter "label=com.docker.swarm.service.name=$service"
  done)
  # shellcheck disable=SC2086 # several words
  [ -z "$tasks" ] || docker stop --time "$seconds" $tasks >/dev/null
}
case $1 in
stop)
  [ "$(swarm)" = active ] || exit 0
  available pause || echo "the Swarm does not answer: it may start tasks again while Docker stops" >&2
{{- range .Layers}}
  end {{.Seconds}}{{range .Services}} {{.}}{{end}}
{{- end}}
  ;;
start)
  # The Swarm elects its manager first.
  for _ in $(seq 600); do
    case $(swarm) in
    active) available active && exit 0 ;;
    inactive) exit 0 ;;
    error) break ;;
    esac
    sleep 1
  done
  echo "the Swarm did not become ready, and starts no task. Fix: docker node update --availability active" \
    "$(hostname)" >&2
  exit 1
  ;;
esac

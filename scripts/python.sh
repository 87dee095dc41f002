#!/usr/bin/env bash
# Puts python3 into a folder: the one on the PATH or, without any, that of Debian's packages. The packages are unpacked rather
# than installed, so that the machine stays as it is.
set -euo pipefail
dir=${1:?usage: python.sh DIR}
[ -x "$dir/python3" ] && exit 0
mkdir -p "$dir"
# A python3 on the PATH may be a script that chooses one by its environment.
if found=$(python3 -c 'import ssl, sys; print(sys.executable)' 2>/dev/null); then
  ln -sf "$found" "$dir/python3"
  exit 0
fi
if ! command -v apt-get >/dev/null; then
  echo "python.sh: install Python (python3 on the PATH); this machine has no apt-get to fetch it" >&2
  exit 1
fi
download=$(mktemp -d)
trap 'rm -rf "$download"' EXIT
cd "$download"
# The interpreter, its library, and the libraries that a machine without it may lack.
fetch() {
  version=$(apt-cache depends python3-minimal | sed -n 's/.*Depends: python\([0-9.]*\)-minimal$/\1/p')
  [ -n "$version" ] &&
    apt-get download -q=2 "python$version-minimal" "libpython$version-minimal" "libpython$version-stdlib" \
      libexpat1 libssl3 zlib1g
}
# Downloading needs package lists; only root may fetch them.
fetch 2>/dev/null || { apt-get update -q=2 >/dev/null && fetch; }
for package in *.deb; do dpkg -x "$package" unpacked; done
cd - >/dev/null
rm -rf "$dir/root"
cp -R "$download/unpacked" "$dir/root"
cat >"$dir/python3" <<RUN
#!/bin/sh
here=\$(cd "\$(dirname "\$0")" && pwd)/root
libraries=\$(echo "\$here"/usr/lib/*-linux-gnu "\$here"/lib/*-linux-gnu | tr ' ' ':')
LD_LIBRARY_PATH="\$libraries\${LD_LIBRARY_PATH:+:\$LD_LIBRARY_PATH}" PYTHONHOME="\$here/usr" exec "\$here/usr/bin/python$version" "\$@"
RUN
chmod 755 "$dir/python3"

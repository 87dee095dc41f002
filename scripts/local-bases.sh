#!/usr/bin/env bash
# Makes the two base images of the Dockerfile from the files of this machine, for use without an image registry.
# localhost/build has a shell, the tools that the Dockerfile uses, Node and npm; localhost/runtime has only Node.
set -euo pipefail
cd "$(dirname "$0")/.."
PATH=$PATH:/usr/sbin:/sbin
node=$(readlink -f node_modules/.bin/node)
npm=$(dirname "$(dirname "$(readlink -f "$(command -v npm)")")")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

add() { # add ROOT PROGRAM [AS]: copies a program and the libraries it links to
  local root=$1 program=$2 as=${3:-$2}
  mkdir -p "$root$(dirname "$as")"
  cp -L "$program" "$root$as"
  { ldd "$program" 2>/dev/null || true; } | grep -oE '/[^ ]+' | while read -r library; do
    mkdir -p "$root$(dirname "$library")"
    cp -L "$library" "$root$library"
  done
}

for root in build runtime; do
  mkdir -p "$work/$root"/{etc,tmp}
  chmod 1777 "$work/$root/tmp"
  printf 'root:x:0:0:root:/root:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin\n' >"$work/$root/etc/passwd"
  cp /etc/ssl/certs/ca-certificates.crt "$work/$root/etc/" 2>/dev/null || true
done

add "$work/runtime" "$node" /nodejs/bin/node
printf 'FROM scratch\nCOPY . /\nUSER 65532:65532\nWORKDIR /home/nonroot\nENTRYPOINT ["/nodejs/bin/node"]\n' >"$work/runtime.Dockerfile"

add "$work/build" "$node" /usr/local/bin/node
for tool in sh find touch chmod; do add "$work/build" "$(readlink -f "$(command -v $tool)")" "/usr/bin/$tool"; done
# Libraries of the bundler's native code.
for library in libc.so.6 libm.so.6 libdl.so.2 libpthread.so.0 librt.so.1; do
  path=$(ldconfig -p | awk -v name="$library" '$1 == name && /x86-64|AArch64/ && !found++ { print $NF }')
  add "$work/build" "$path"
done
ln -s usr/bin "$work/build/bin"
mkdir -p "$work/build/root" "$work/build/usr/local/lib" "$work/build/etc/ssl/certs"
cp -r "$npm" "$work/build/usr/local/lib/npm"
printf '#!/usr/bin/sh\nexec node /usr/local/lib/npm/bin/npm-cli.js "$@"\n' >"$work/build/usr/local/bin/npm"
chmod +x "$work/build/usr/local/bin/npm"
for file in /etc/resolv.conf /etc/hosts /etc/nsswitch.conf /etc/ssl/certs/ca-certificates.crt; do
  [ ! -e "$file" ] || cp -L "$file" "$work/build$file"
done
printf 'FROM scratch\nCOPY . /\nENV PATH=/usr/local/bin:/usr/bin:/bin HOME=/root\n' >"$work/build.Dockerfile"
# Behind a proxy with a private CA, npm must trust it inside the image too.
if [ -n "${NODE_EXTRA_CA_CERTS:-}" ]; then
  cp -L "$NODE_EXTRA_CA_CERTS" "$work/build/etc/ssl/extra-ca.pem"
  printf 'ENV NODE_EXTRA_CA_CERTS=/etc/ssl/extra-ca.pem\n' >>"$work/build.Dockerfile"
fi

for image in runtime build; do
  "$@" bud --isolation chroot --quiet --timestamp 0 --tag "localhost/$image" --file "$work/$image.Dockerfile" "$work/$image" >/dev/null
done

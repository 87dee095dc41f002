#!/usr/bin/env bash
# Makes development certificates in a folder: a CA, the server's, and those of its clients.
# The second argument "faulty" adds certificates for tests: expired, revoked (with a CRL), wrong usage, without a name.
# SERVER_NAMES, separated by commas, adds DNS names to the server's.
# Keeps an existing set that has these names and is valid for another day.
set -euo pipefail
umask 077
dir=${1:?usage: pki.sh DIR [faulty]}
faulty=${2:-}
mkdir -p "$dir"
cd "$dir"
last=probe
[ -n "$faulty" ] && last=revoked
server_names="DNS:localhost,DNS:kube-resource-api,IP:127.0.0.1,IP:::1"
named=yes
for name in $(echo "${SERVER_NAMES:-}" | tr , ' '); do
  server_names="$server_names,DNS:$name"
  openssl x509 -in server.crt -noout -checkhost "$name" 2>/dev/null | grep -q 'does match' || named=no
done
if [ -f complete ] && [ -f "$last.crt" ] && [ $named = yes ] &&
  openssl x509 -in server.crt -noout -checkend 86400 >/dev/null 2>&1; then
  exit 0
fi
# Clear only an empty folder, or one that this script has filled.
if [ -n "$(ls -A)" ] && [ ! -d ca.db ]; then
  echo "pki.sh: $dir holds other files; name an empty folder" >&2
  exit 1
fi
rm -rf ./*
log=$PWD/openssl.log
trap 'status=$?; [ $status -eq 0 ] || { echo "openssl failed:" >&2; tail -5 "$log" >&2; }' EXIT

authority() { # authority NAME CN: a CA with the database that openssl needs for revocation
  mkdir -p "$1.db/certs"
  : >"$1.db/index.txt"
  echo unique_subject=no >"$1.db/index.txt.attr"
  openssl rand -hex 8 >"$1.db/serial"
  echo 01 >"$1.db/crlnumber"
  cat >"$1.db/ca.cnf" <<EOF
[ca]
default_ca = this
[this]
database = $1.db/index.txt
serial = $1.db/serial
crlnumber = $1.db/crlnumber
new_certs_dir = $1.db/certs
certificate = $1.crt
private_key = $1.key
default_md = sha256
default_days = 365
default_crl_days = 365
policy = any
copy_extensions = none
[any]
organizationName = optional
commonName = optional
EOF
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout "$1.key" -out "$1.crt" -days 3650 \
    -subj "/CN=$2" -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign,cRLSign >>"$log" 2>&1
}

issue() { # issue CA NAME SUBJECT USAGE [SAN] [extra words for openssl ca]
  local ca=$1 name=$2 subject=$3 usage=$4 san=${5:-}
  shift 5 || shift $#
  {
    echo "basicConstraints = critical,CA:FALSE"
    echo "keyUsage = critical,digitalSignature"
    echo "extendedKeyUsage = $usage"
    [ -z "$san" ] || echo "subjectAltName = $san"
  } >"$name.ext"
  openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout "$name.key" -out "$name.csr" -subj "$subject" >>"$log" 2>&1
  openssl ca -batch -notext -config "$ca.db/ca.cnf" -in "$name.csr" -out "$name.crt" -extfile "$name.ext" "$@" >>"$log" 2>&1
  rm -f "$name.csr" "$name.ext"
}

authority ca "kube-resource-api development CA"
issue ca server "/CN=localhost" serverAuth "$server_names"
issue ca admin "/O=platform/CN=admin" clientAuth "URI:spiffe://development/admin"
issue ca viewer "/O=readers/CN=viewer" clientAuth ""
issue ca nobody "/CN=nobody" clientAuth ""
issue ca probe "/O=probes/CN=probe" clientAuth ""
authority other-ca "somebody else's CA"
issue other-ca stranger "/O=platform/CN=admin" clientAuth ""

if [ -n "$faulty" ]; then
  issue ca expired "/O=platform/CN=admin" clientAuth "" -startdate 20200101000000Z -enddate 20200201000000Z
  issue ca expired-server "/CN=localhost" serverAuth "DNS:localhost" -startdate 20200101000000Z -enddate 20200201000000Z
  issue ca wrong-usage "/O=platform/CN=admin" serverAuth ""
  issue ca nameless "/O=platform" clientAuth ""
  issue ca revoked "/O=platform/CN=admin" clientAuth ""
  openssl ca -config ca.db/ca.cnf -revoke revoked.crt >>"$log" 2>&1
  openssl ca -config ca.db/ca.cnf -gencrl -out ca.crl >>"$log" 2>&1
fi
touch complete

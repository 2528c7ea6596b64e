#!/bin/sh
# Fetch the two files that the pages use, at the versions named here, with their licences and checksums. Needs npm.
set -eu
HTMX=4.0.1
PICO=2.1.1
here=$(cd "$(dirname "$0")/.." && pwd)/monitor/web/static/vendor
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
npm pack --silent "htmx.org@$HTMX" "@picocss/pico@$PICO"
mkdir htmx pico
tar xzf "htmx.org-$HTMX.tgz" -C htmx --strip-components=1
tar xzf "picocss-pico-$PICO.tgz" -C pico --strip-components=1
rm -f "$here"/*
cp htmx/dist/htmx.min.js "$here/htmx-$HTMX.min.js"
cp htmx/LICENSE "$here/htmx.LICENSE"
cp pico/css/pico.min.css "$here/pico-$PICO.min.css"
cp pico/LICENSE.md "$here/pico.LICENSE"
cd "$here"
sha256sum htmx* pico* >SHA256SUMS

#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# nbdkit's nbd plugin as a proxy in between, and nbdkit's filters on top.
. "$(dirname "$0")/functions.sh"
requires nbdkit nbdcopy nbdinfo
nbdkit nbd --version >/dev/null 2>&1 || skip "no nbdkit-nbd-plugin"
serve

proxy='nbd+unix:///?socket=proxy'
nbdkit -f -U "$PWD/proxy" -P proxy.pid nbd socket="$PWD/socket" export=disk \
    2>proxy.log &
servers+=($!)
for _ in $(seq 200); do
    [ ! -e proxy.pid ] || break
    sleep 0.05
done

[ "$(nbdinfo --size "$proxy")" = $size ] || fail "size: $(cat proxy.log)"
nbdcopy "$proxy" copy.raw
cmp copy.raw disk.raw || fail "they differ"
nbdinfo --map "$uri" | awk '{ print $1, $2, $3 }' >direct
nbdinfo --map "$proxy" | awk '{ print $1, $2, $3 }' >proxied
same "base:allocation through the proxy" direct proxied

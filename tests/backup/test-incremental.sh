#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Increments read what changed and is not zero, nothing else; each point is the
# disk at its instant, also after all the later ones.
. "$(dirname "$0")/functions.sh"

new_disk $((24 << 20 | 512))
serve
blksnap 0 backup "$uri" --to repo
cp --sparse=always disk.raw at.1
stop
for instant in 2 3 4 5 6; do
    read -r data zero < <(next_instant)
    serve
    : >server.log
    blksnap 0 backup "$uri" --to repo
    says err "disk: what changed since $(point $((instant - 1)))"
    stop
    [ "$(manifest .kind)" = incremental ] || fail "kind"
    [ "$(manifest .parent)" = "$(point $((instant - 1)))" ] || fail "parent"
    [ "$(manifest .since)" = "$generation.$((instant - 1))" ] || fail "since"
    [ "$(manifest '"\(.read_bytes) \(.zeroed_bytes)"')" = "$data $zero" ] ||
        fail "$(manifest '"\(.read_bytes) \(.zeroed_bytes)"'), not $data $zero"
    # On the wire: that, and little else.
    sent=$(sed -n 's/.* closed: .* sent=\([0-9]*\) .*/\1/p' server.log | tail -1)
    [ "$sent" -ge "$data" ] && [ "$sent" -le $((data * 102 / 100 + 4096)) ] ||
        fail "the server sent $sent bytes for $data"
    cp --sparse=always disk.raw at.$instant
done
for instant in 1 2 3 4 5 6; do holds "$(point $instant)" at.$instant; done
healthy
[ "$(points)" -eq 6 ] || fail "points"

# The same instant once more: nothing to read, and a point all the same.
serve
blksnap 0 backup --incremental "$uri" --to repo
[ "$(manifest '"\(.read_bytes) \(.zeroed_bytes)"')" = "0 0" ] || fail "bytes"
holds "$(point)" at.6
healthy

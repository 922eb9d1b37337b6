#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The manifest of the newest point is damaged. A bitmap of QEMU may be of that point or
# of one before it: nothing is put on a point that it may not belong to.
. "$(dirname "$0")/functions.sh"

qemu-img create -q -f qcow2 source.qcow2 8M

# at N BITMAP BYTES : a new instant with other bytes, and a bitmap of it.
at() {
    qemu-io -c "write -P $1 $3" source.qcow2 >/dev/null
    qemu-img bitmap --remove source.qcow2 "$2" 2>/dev/null || :
    qemu-img bitmap --add source.qcow2 "$2"
    qemu-img convert -O raw source.qcow2 "at.$1"
}
back_up() { # STATUS WORD...
    blksnap "$1" backup "$qemu_uri" --name disk --to repo "${@:2}"
}

# Two points by bitmaps with names of their own, or by one that is used again.
for names in 'b1 b2' 'b b'; do
    read -r first second <<<"$names"
    rm -rf repo
    at 1 "$first" '0 1M'
    serve_qemu -r -f qcow2 source.qcow2
    back_up 0 --checkpoint "$first"
    stop
    at 2 "$second" '2M 1M'
    serve_qemu -r -f qcow2 source.qcow2
    back_up 0 --checkpoint "$second"
    stop
    newest=$(point)
    truncate -s 100 "repo/$newest/manifest.json"
    at 3 b3 '4M 1M'

    serve_qemu -r -f qcow2 -B "$second" source.qcow2
    before=$(find repo -type f -not -name lock -exec sha256sum {} + | sort)
    for words in '' "--since $second"; do
        # shellcheck disable=SC2086  # words
        back_up 3 --incremental $words
        says err "may be that of a newer point than $(point): point $newest cannot be read"
    done
    after=$(find repo -type f -not -name lock -exec sha256sum {} + | sort)
    [ "$before" = "$after" ] || fail "something was touched"
    back_up 0 --since "$second" --checkpoint b3
    stop
    [ "$(manifest .kind)" = full ] || fail "$(manifest .kind)"
    holds "$(point)" at.3

    # The damage is older than that: from here on there are increments again.
    at 4 b4 '6M 1M'
    serve_qemu -r -f qcow2 -B b3 source.qcow2
    back_up 0 --incremental
    stop
    holds "$(point)" at.4
done

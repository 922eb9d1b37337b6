#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Where nobody can tell what changed, --incremental is refused with exit status
# 3, with nothing touched; without it there is a full backup, that says why.
. "$(dirname "$0")/functions.sh"

new_disk $((4 << 20))
serve
blksnap 3 backup --incremental "$uri" --to repo
says err 'no incremental backup: there is no point of this disk yet'
[ "$(points)" -eq 0 ] || fail "a point came to be"
blksnap 0 backup "$uri" --to repo
stop

# why TEXT : so it is refused, and so a full backup is explained.
why() {
    local before after
    before=$(find repo -type f -not -name lock -exec sha256sum {} + | sort)
    blksnap 3 backup --incremental "$uri" --to repo
    says err "disk: no incremental backup: $1"
    after=$(find repo -type f -not -name lock -exec sha256sum {} + | sort)
    [ "$before" = "$after" ] || fail "something was touched"
    blksnap 0 backup "$uri" --to repo
    says err "disk: full backup: $1"
    [ "$(manifest .kind)" = full ] || fail "kind"
    case $(manifest .why) in
    "$1"*) ;;
    *) fail "manifest: $(manifest .why)" ;;
    esac
    holds "$(point)" disk.raw
}

other=11111111-2222-3333-4444-555555555555
"$here/disk.py" new disk.raw map $((4 << 20)) $other
serve
why "the server does not offer qemu:dirty-bitmap:$generation.1"
stop

"$here/disk.py" new disk.raw map $((5 << 20)) $other
serve
why 'its size was 4194304 bytes and is 5242880 now'
says err 'its size'

rm "repo/$(point)/disk.sums"
why "point $(point) is damaged: open $PWD/repo/$(point)/disk.sums: No such file"
rm "repo/$(point)/disk.qcow2"
why "point $(point) is damaged: open $PWD/repo"

blksnap 0 backup --full "$uri" --to repo
says err 'disk: full backup: a full backup was asked for'

# A point of our own servers is never mistaken for another.
blksnap 1 backup --since "$generation.1" "$uri" --to repo
says err "--since $generation.1: the newest point of disk"
blksnap 1 backup --since "$generation.9" "$uri" --to repo
says err 'has another checkpoint'
blksnap 1 backup --full --since x "$uri" --to repo
blksnap 1 backup --full --incremental "$uri" --to repo
says err 'exclude each other'

#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# A machine that is put back to an earlier state with its memory counts its takes on
# from there: what a point remembers may name another take by now. Then the backup
# is a full one and says why; every point restores as the disk was.
. "$(dirname "$0")/functions.sh"
requires nbdinfo

# back_up KIND WHY [WORD...] : a point of the disk as it is now. WHY is how the
# sentence in its manifest begins.
back_up() {
    serve
    blksnap 0 backup "$uri" --to repo "${@:3}"
    stop
    [ "$(manifest .kind)" = "$1" ] || fail "$(manifest .kind), not $1: $(cat err)"
    [[ $(manifest .why) = "$2"* ]] || fail "why: $(manifest .why)"
    checkpoint=$(manifest .checkpoint)
    cp --sparse=always disk.raw "at.$(points)"
    holds "$(point)" disk.raw
}
save() { cp --sparse=always disk.raw saved.raw && cp map saved.map; }
put_back() { cp --sparse=always saved.raw disk.raw && cp saved.map map; }
# why_full CHECKPOINT : what is said where that one is of another history.
why_full() {
    echo "the server does not offer qemu:dirty-bitmap:$1: the machine was put back to an earlier state"
}

new_disk $((8 << 20)) 5d10f7b2a9c3e684
back_up full 'there is no point of this disk yet'
[ "$checkpoint" = "$generation.1.5d10f7b2a9c3e684" ] || fail "$checkpoint"
next_instant >/dev/null
back_up incremental "what changed since $(point)"

# The number comes twice.
save
next_instant 1 >/dev/null
back_up incremental "what changed since $(point)"
third=$checkpoint
put_back
next_instant 2 >/dev/null
serve
[[ $(nbdinfo "$uri") =~ checkpoint=$generation\.3\.[0-9a-f]{16} ]] || fail "no take 3"
[ "${BASH_REMATCH[0]}" != "checkpoint=$third" ] || fail "$third twice: this tests nothing"
blksnap 3 backup --incremental "$uri" --to repo
says err "$(why_full "$third")"
blksnap 3 pull --since "$third" "$uri" at.3
stop
back_up full "$(why_full "$third")"

# The number came once, and then others.
put_back
next_instant 3 >/dev/null
next_instant 3 >/dev/null
fourth=$checkpoint
back_up full "$(why_full "$fourth")"
next_instant 3 >/dev/null
back_up incremental "what changed since $(point)"

# The number is still to come.
sixth=$checkpoint
put_back
back_up full "$(why_full "$sixth")"

# Who gives the name without the instant means the point's take, with it.
next_instant 4 >/dev/null
back_up incremental "what changed since $(point)" --since "$generation.2"
put_back
third=$checkpoint
next_instant 5 >/dev/null
back_up full "$(why_full "$third")" --since "$generation.3"

# A point of a module that kept no instants; and a module that keeps none any more.
new_disk $((8 << 20))
back_up full 'the server does not offer'
[ "$checkpoint" = "$generation.1" ] || fail "$checkpoint"
new_disk $((8 << 20)) 5d10f7b2a9c3e684
next_instant 6 >/dev/null
back_up incremental "what changed since $(point)"
second=$checkpoint
new_disk $((8 << 20))
next_instant 6 >/dev/null
next_instant 6 >/dev/null
back_up full "the server does not offer qemu:dirty-bitmap:$second: the checkpoint is unknown there"

for number in $(seq "$(points)"); do holds "$(point "$number")" "at.$number"; done
healthy

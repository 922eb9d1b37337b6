#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# A point over NBD: read by stock clients, written to without touching it, held
# against removal, and over when the command is.
. "$(dirname "$0")/functions.sh"
requires nbdinfo nbdcopy qemu-img

new_disk $((4 << 20))
back_up_times 3

# export_point ARG... : runs until stop; ./exported has what it printed.
export_point() {
    rm -f exported
    "$BLKSNAP" export repo "$@" >exported 2>export.log &
    servers+=($!)
    wait_for grep -qs '^uri=' exported
    exported=$(sed -n 's/^uri=//p' exported)
}
# end_export [SIGNAL] : as a signal ends it.
end_export() {
    kill -"${1:-TERM}" "${servers[-1]}"
    wait "${servers[-1]}" || fail "export ended with $?: $(cat export.log)"
    unset 'servers[-1]'
    [ -z "$(pgrep -P $$ -x qemu-nbd)" ] || fail "a child was left"
}

export_point -U sock --point "$(point 2)"
[ "$(sed -n 's/^point=//p' exported)" = "$(point 2)" ] || fail "$(cat exported)"
[ "$exported" = "nbd+unix:///disk?socket=$PWD/sock" ] || fail "$exported"
nbdcopy "$exported" copy
cmp copy at.2
# Several clients at a time, and one after the other.
nbdinfo --json "$exported" | jq -e '.exports[0] |
    .is_read_only and .description == "disk at '"$(point 2)"'"' >/dev/null
qemu-img compare -q -f raw -F raw "$exported" at.2
# It and what it stands on stay.
for n in 1 2; do
    blksnap 1 prune repo --point "$(point $n)"
    says err 'is being read'
done
end_export
[ ! -e sock ] || fail "the socket was left"
# A terminal that is closed ends it in the same way.
export_point -U sock
end_export HUP
[ ! -e sock ] || fail "the socket was left"
# nohup means it.
trap '' HUP
export_point -U sock
trap - HUP
kill -HUP "${servers[-1]}"
sleep 1.5
nbdcopy "$exported" copy
end_export

# Writes are seen by all, and are gone afterwards.
export_point -U sock --writable --name other
[ "$exported" = "nbd+unix:///other?socket=$PWD/sock" ] || fail "$exported"
qemu-io -f raw -c 'write -P 7 1M 64k' "$exported" >/dev/null
qemu-io -f raw -c 'read -P 7 1M 64k' "$exported" | grep -q '65536/65536' ||
    fail "what was written is not there"
end_export
holds "$(point 3)" at.3
healthy

# TCP, on a port that is free.
export_point -p 0
[[ $exported =~ ^nbd://127.0.0.1:[0-9]+/disk$ ]] || fail "$exported"
nbdcopy "$exported" copy
cmp copy at.3
end_export
# At an address that is named as for blksnap-nbd.
export_point -p 0 --ipaddr 127.0.0.2
[[ $exported =~ ^nbd://127.0.0.2:[0-9]+/disk$ ]] || fail "$exported"
end_export

# Killed, it takes qemu-nbd with it.
export_point -U sock
server=$(pgrep -P "${servers[-1]}" -x qemu-nbd)
kill -KILL "${servers[-1]}"
wait "${servers[-1]}" || :
unset 'servers[-1]'
gone() { ! kill -0 "$server" 2>/dev/null; }
wait_for gone

blksnap 1 export repo
says err 'where to listen?'
blksnap 1 export repo -U a -p 1
says err 'where to listen?'
blksnap 1 export repo -U a --point 20200101T000000Z
says err "there is no point '20200101T000000Z'"
blksnap 1 export repo -U a --tls-verify-peer
says err 'of no use without'
mkdir empty
blksnap 1 export repo -U a --tls-certificates empty
says err 'qemu-nbd'
[ ! -e a ] || fail "a socket was left"

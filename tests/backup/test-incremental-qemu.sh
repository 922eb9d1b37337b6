#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Another server's bitmaps: the one that is added at the instant of a backup is
# what the next one asks for. Smaller granularity than our blocks, too.
. "$(dirname "$0")/functions.sh"

qemu-img create -q -f qcow2 source.qcow2 32M
qemu-io -c 'write -P 1 0 12M' -c 'write -P 2 20M 100k' source.qcow2 >/dev/null

# at N : bitmap bN is of this instant, and b(N-1) is done with.
at() {
    qemu-img bitmap --disable source.qcow2 "b$(($1 - 1))" 2>/dev/null || :
    qemu-img bitmap --add -g 4096 source.qcow2 "b$1"
    qemu-img convert -O raw source.qcow2 "at.$1"
}
at 1
serve_qemu -r -f qcow2 source.qcow2
blksnap 0 backup "$qemu_uri" --name disk --checkpoint b1 --to repo
stop
qemu-io -c 'write -P 3 1M 4k' -c 'write -P 4 5M 6M' -c 'write -z 2M 12k' \
    -c 'write -z 64k 192k' -c 'discard 11M 64k' -c 'write -P 5 32767k 1k' \
    source.qcow2 >/dev/null
at 2
serve_qemu -r -f qcow2 -B b1 source.qcow2
blksnap 0 backup "$qemu_uri" --name disk --checkpoint b2 --to repo
stop
[ "$(manifest '"\(.kind) \(.since) \(.checkpoint)"')" = 'incremental b1 b2' ] ||
    fail "manifest"
[ "$(manifest .read_bytes)" -le $((6 * 1048576 + 3 * 65536)) ] || fail "bytes"

# A name that the bitmap has there alone.
qemu-io -c 'write -P 6 20M 8k' source.qcow2 >/dev/null
at 3
qemu-img bitmap --add --merge b2 source.qcow2 backup-vda
serve_qemu -r -f qcow2 -B backup-vda source.qcow2
blksnap 3 backup --incremental "$qemu_uri" --name disk --to repo
says err 'the server does not offer qemu:dirty-bitmap:b2'
blksnap 0 backup --since backup-vda "$qemu_uri" --name disk --to repo
stop
[ "$(manifest '"\(.kind) \(.since) \(.checkpoint)"')" = \
    'incremental backup-vda ' ] || fail "manifest"
for n in 1 2 3; do holds "$(point $n)" at.$n; done
healthy

# That one did not say what the next is to ask for.
serve_qemu -r -f qcow2 -B b2 source.qcow2
blksnap 3 backup --incremental "$qemu_uri" --name disk --to repo
says err 'is not known'
blksnap 1 backup --since b2 "$qemu_uri" --name disk --to repo
says err "has another checkpoint; that is $(point 2)'s"
[ "$(points)" -eq 3 ] || fail "a point came to be"
blksnap 0 backup "$qemu_uri" --name disk --checkpoint b3 --to repo
[ "$(manifest .kind)" = full ] || fail "kind"
stop

# A server with room for one client, and one that ends with it: also where the
# bitmap is not what was hoped for.
for words in '-t -e 1' ''; do
    rm -f qemu.sock
    # shellcheck disable=SC2086  # words
    qemu-nbd -k "$PWD/qemu.sock" $words -r -f qcow2 source.qcow2 &
    servers+=($!)
    wait_for listens qemu.sock
    blksnap 0 backup "$qemu_uri" --name disk --checkpoint b4 --to repo
    says err 'full backup: the server does not offer qemu:dirty-bitmap:'
    [ -z "$words" ] || stop
done
wait "${servers[-1]}"
unset 'servers[-1]'

# Another disk of the same name and size, with a bitmap of the same name.
qemu-img create -q -f qcow2 other.qcow2 32M
qemu-io -c 'write -P 9 0 1M' other.qcow2 >/dev/null
for image in source other; do qemu-img bitmap --add $image.qcow2 b4; done
qemu-nbd -k "$PWD/other.sock" -e 0 -t -r -f qcow2 -B b4 other.qcow2 &
servers+=($!)
wait_for listens other.sock
blksnap 3 backup --incremental 'nbd+unix:///?socket=other.sock' --name disk --to repo
says err "the newest point was read from $qemu_uri, not from nbd+unix:///?socket=other"
blksnap 0 backup 'nbd+unix:///?socket=other.sock' --name disk --to repo
qemu-img convert -O raw -U other.qcow2 other.raw
holds "$(point)" other.raw

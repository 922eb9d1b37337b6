#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# --compress, --rate, --json, --quiet, --parallel: the same points with all of
# them.
. "$(dirname "$0")/functions.sh"
requires nbdkit script

head -c 8M < <(yes 'all work and no play') >disk.raw
# shellcheck disable=SC2046  # many words
python3 "$here/../protocol/mapfile.py" make map $((8 << 20)) 65536 $generation 1 \
    $(printf '0 %.0s' $(seq 128))
serve
blksnap 0 backup -q --compress "$uri" --to repo
[ ! -s err ] || fail "not quiet: $(cat err)"
holds "$(point)" disk.raw
[ "$(du -k "repo/$(point)/disk.qcow2" | cut -f1)" -le 2000 ] ||
    fail "not compressed"
stop
next_instant >/dev/null
serve
blksnap 0 backup -q --compress "$uri" --to repo
[ "$(manifest .kind)" = incremental ] || fail "kind"
holds "$(point)" disk.raw
healthy

# Small pieces: what is compressed is written in whole, and once. Some of it
# cannot be compressed.
truncate -s 8M pieces.raw
for kib in 0 16 40 64 100 4000 4060; do
    head -c 4096 /dev/urandom | dd of=pieces.raw bs=1K seek=$kib conv=notrunc status=none
done
"$BLKSNAP_NBD" -U pieces.sock -P pieces.pid file=pieces.raw name=pieces 2>>server.log &
servers+=($!)
wait_for test -e pieces.pid
blksnap 0 backup --compress 'nbd+unix:///pieces?socket=pieces.sock' --to pieces
qemu-img compare -q -U -f qcow2 -F raw pieces/2*/pieces.qcow2 pieces.raw
blksnap 0 verify pieces
qemu-img create -q -f qcow2 pieces.qcow2 8M
qemu-img bitmap --add -g 4096 pieces.qcow2 b1
serve_qemu -r -f qcow2 pieces.qcow2
blksnap 0 backup "$qemu_uri" --name q --checkpoint b1 --to pieces
stop
qemu-io -c 'write -P 3 4k 4k' -c 'write -P 4 20k 4k' -c 'write -P 5 1M 100k' \
    -c 'write -z 2044k 8k' pieces.qcow2 >/dev/null
qemu-img convert -O raw pieces.qcow2 written.raw
serve_qemu -r -f qcow2 -B b1 pieces.qcow2
blksnap 0 backup --compress --incremental "$qemu_uri" --name q --to pieces
stop
blksnap 0 restore pieces --disk q --to q.raw
cmp q.raw written.raw
blksnap 0 verify pieces

truncate -s $(((8 << 20) + 512)) odd.raw
"$BLKSNAP_NBD" -U odd.sock -P odd.pid file=odd.raw name=odd 2>>server.log &
servers+=($!)
wait_for test -e odd.pid
blksnap 1 backup --compress 'nbd+unix:///odd?socket=odd.sock' --to repo
says err 'is not a multiple of 65536, which --compress needs'

blksnap 1 backup odd.raw --to repo
says err 'odd.raw is a plain file: want a block device, or the URI of a server'

# The rate: so many bytes cannot have come in less time. JSON: progress, then
# what was done.
SECONDS=0
blksnap 0 backup --json --full --rate 4M "$uri" --to repo
[ $SECONDS -ge 1 ] || fail "too quick: $SECONDS s"
[ "$(head -1 out | jq 'has("progress")')" = true ] || fail "$(cat out)"
[ "$(head -1 out | jq '.progress.total_bytes')" -ge 8000000 ] || fail "$(cat out)"
# At this rate, what is left takes as long as that.
jq -es 'map(select(.progress).progress) | all(
    (.total_bytes - .done_bytes) as $left | .bytes_per_second > 0 and
    .seconds_left * .bytes_per_second <= $left and
    (.seconds_left + 1) * (.bytes_per_second + 1) >= $left)' out >/dev/null || fail "$(cat out)"
[ "$(tail -1 out | jq -r .point)" = "$(point)" ] || fail "$(cat out)"
[ "$(tail -1 out | jq -r '.disks[0].why')" = 'a full backup was asked for' ] ||
    fail "$(cat out)"
[ "$(wc -l <out)" -le 20 ] || fail "too many lines"
holds "$(point)" disk.raw
blksnap 0 backup --json --quiet --full --rate 4M "$uri" --to repo
[ "$(wc -l <out)" -eq 1 ] || fail "$(cat out)"

# On a terminal: how far, how quick, how long.
script -qec "'$BLKSNAP' backup --full --rate 4M '$uri' --to repo" typed >/dev/null
grep -q '[0-9]% of 8M, [0-9.]*[KM]/s, 0:0[0-9] left' typed ||
    fail "$(cat typed)"

# The point is there, though nobody could be told.
before=$(points)
! "$BLKSNAP" backup -q --full "$uri" --to repo >/dev/full 2>err || fail "a success"
[ "$(points)" -eq $((before + 1)) ] || fail "no point"
says err "point $(point) was made; write to standard output: No space left on device"
[ "$(wc -l <err)" -eq 1 ] || fail "$(cat err)"

#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The first point: a full backup, that says what it is.
. "$(dirname "$0")/functions.sh"
requires split sha256sum xxd

size=$((16 << 20 | 512 * 3))
new_disk $size
serve
before=$(date -u +%FT%TZ)
blksnap 0 backup "$uri" --to repo
after=$(date -u +%FT%TZ)
says err 'disk: full backup: there is no point of this disk yet'
[ "$(head -1 out)" = "point=$(point)" ] || fail "$(cat out)"
says out 'disk=disk kind=full size=16778752'
says out "checkpoint=$generation.1"
holds "$(point)" disk.raw
healthy

[ "$(manifest .kind)" = full ] || fail "kind"
[ "$(manifest .parent)" = null ] || fail "parent"
[ "$(manifest .size)" = $size ] || fail "size"
[ "$(manifest .checkpoint)" = "$generation.1" ] || fail "checkpoint"
[ "$(manifest '.read_bytes + .zeroed_bytes')" = $size ] || fail "bytes"
started=$(jq -r .started "repo/$(point)/manifest.json")
finished=$(jq -r .finished "repo/$(point)/manifest.json")
printf '%s\n' "$before" "$started" "$finished" "$after" | LC_ALL=C sort -c ||
    fail "times: $started, $finished"
[ "$(jq -r .tool "repo/$(point)/manifest.json")" = "$("$BLKSNAP" --version)" ] ||
    fail "tool"
# "content" with the tools of every system.
[ "$(manifest .content)" = "$(split -b 64K --filter='sha256sum' disk.raw |
    cut -c-64 | xxd -r -p | sha256sum | cut -c-64)" ] || fail "content"
# Nothing for others to read, and as sparse as the disk is.
[ "$(stat -c %a repo "repo/$(point)/disk.qcow2")" = "$(printf '700\n600')" ] ||
    fail "modes"
[ "$(du -k "repo/$(point)/disk.qcow2" | cut -f1)" -le \
    $(($(du -k disk.raw | cut -f1) + 400)) ] || fail "the image is not sparse"

# A server that has no checkpoints, nor any block status.
requires nbdkit
nbdkit --no-sr -f -U "$PWD/nbdkit.sock" file disk.raw &
servers+=($!)
wait_for listens nbdkit.sock
blksnap 1 backup 'nbd+unix:///?socket=nbdkit.sock' --to repo
says err 'give one with --name'
blksnap 0 backup 'nbd+unix:///?socket=nbdkit.sock' --name other --to repo
holds "$(point)" disk.raw other
[ "$(manifest .read_bytes)" = $size ] || fail "bytes"
blksnap 0 list repo
# DISK, KIND, PARENT and SIZE, and at the end of the line why it is full.
says out "$(point)  other  full  -       16M"
says out "  there is no point of this disk yet"

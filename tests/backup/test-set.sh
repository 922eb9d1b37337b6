#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Several disks are one point, or none; each is full or incremental by itself.
. "$(dirname "$0")/functions.sh"

new_disk $((8 << 20))
cp disk.raw other.raw
serve
qemu-img create -q -f qcow2 source.qcow2 8M
qemu-io -c 'write -P 1 1M 3M' source.qcow2 >/dev/null
serve_qemu -r -f qcow2 source.qcow2
blksnap 0 backup "$uri" "$qemu_uri" --name disk --name second --to repo
first=$(point)
[ "$(jq -c '[.disks[] | [.name, .kind]]' "repo/$first/manifest.json")" = \
    '[["disk","full"],["second","full"]]' ] || fail "manifest"
holds "$first" disk.raw
qemu-img convert -U -O raw source.qcow2 second.raw
holds "$first" second.raw second
blksnap 1 restore repo --to x.raw
says err 'has several disks'

# One is incremental, the other cannot be.
next_instant >/dev/null
stop
kill "${servers[0]}"
wait "${servers[0]}" || :
serve
serve_qemu -r -f qcow2 source.qcow2
blksnap 3 backup --incremental "$uri" "$qemu_uri" --name disk --name second \
    --to repo
[ "$(points)" -eq 1 ] || fail "a point came to be"
blksnap 0 backup --parallel 1 --json "$uri" "$qemu_uri" --name disk \
    --name second --to repo
[ "$(tail -1 out | jq -c '[.disks[].kind]')" = '["incremental","full"]' ] ||
    fail "$(cat out)"
holds "$(point)" disk.raw
holds "$(point)" second.raw second
holds "$first" other.raw
healthy

# One of them fails: there is no point, and nothing is left.
requires nbdkit
nbdkit --filter=error -f -U "$PWD/broken.sock" pattern 8M error-pread=EIO \
    error-pread-rate=100% &
servers+=($!)
wait_for listens broken.sock
before=$(points)
blksnap 1 backup "$uri" 'nbd+unix:///?socket=broken.sock' --name disk \
    --name broken --to repo
says err 'no point was made: broken: read nbd+unix:///?socket=broken.sock'
says err 'Input/output error'
[ "$(points)" -eq "$before" ] || fail "a point came to be"
[ -z "$(find repo -name '*.partial')" ] || fail "something was left"
healthy

# The disk is never chosen by chance.
blksnap 0 backup "$uri" --to repo
blksnap 1 verify --source "$uri" repo
says err '--source: repo has several disks, disk and second: name one with --disk'
blksnap 0 verify --source "$uri" --disk disk repo
blksnap 1 restore repo --to no.raw
says err 'repo has several disks, disk and second: name one with --disk'
blksnap 0 restore repo --point "$(point)" --to one.raw
cmp one.raw disk.raw

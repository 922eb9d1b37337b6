#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Disks that are backed up each for itself into one repository: what is to be
# kept is kept of each of them.
. "$(dirname "$0")/functions.sh"

for disk in vda vdb; do
    mkdir $disk
    (cd $disk && new_disk $((2 << 20)))
done
# at DISK : the next instant of it, and a point of that.
at() {
    cp "$1"/{disk.raw,map} .
    next_instant >/dev/null
    serve
    blksnap 0 backup "$uri" --name "$1" --to repo
    stop
    cp {disk.raw,map} "$1"
}
for _ in 1 2 3; do
    at vda
    at vdb
done
at vdb
of() { "$BLKSNAP" list --json repo | jq -r ".points[] | select(.disks[0].disk == \"$1\").point"; }
blksnap 0 prune --dry-run repo --keep-daily 7
[ "$(grep -c '^would remove ' out)" -eq 5 ] || fail "$(cat out)"
# What is wrong with the one is nothing to the other.
image=$(find repo -name vda.qcow2 | sort | head -1)
mv "$image" hidden
blksnap 1 prune repo --keep-last 2
mv hidden "$image"
[ "$(of vda | wc -l) $(of vdb | wc -l)" = '3 2' ] || fail "$(cat out)"
[ "$(grep -c '^removed ' out)" -eq 2 ] || fail "$(cat out)"
says err 'not all was removed: '
blksnap 0 prune repo --keep-last 2
[ "$(of vda | wc -l) $(of vdb | wc -l)" = '2 2' ] || fail "$(cat out)"
blksnap 0 prune repo --keep-daily 7
[ "$(of vda | wc -l) $(of vdb | wc -l)" = '1 1' ] || fail "$(cat out)"
healthy
for disk in vda vdb; do
    holds "$(of $disk)" $disk/disk.raw $disk
    blksnap 0 restore repo --disk $disk --to newest.raw --force
    cmp newest.raw $disk/disk.raw
done
blksnap 1 restore repo --to any.raw
says err 'repo has several disks, vda and vdb: name one with --disk'
[ ! -e any.raw ] || fail "one was chosen"

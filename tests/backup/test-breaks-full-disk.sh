#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# No space where the repository is: an error, all points stay, and what was
# written is given back; once there is space, it goes on.
. "$(dirname "$0")/functions.sh"
requires unshare mount

if [ -z "${BLKSNAP_IN_NAMESPACE-}" ]; then
    unshare -m true 2>/dev/null || skip "no mount namespaces here"
    exec env BLKSNAP_IN_NAMESPACE=1 unshare -m "$0"
fi
mkdir repo
mount -t tmpfs -o size=12M none repo 2>/dev/null || skip "no tmpfs here"
trap "umount -l repo; cleanup" EXIT

new_disk $((16 << 20))
serve
blksnap 0 backup "$uri" --to repo
cp disk.raw at.1
stop
head -c 16M /dev/urandom >disk.raw
next_instant >/dev/null
serve
before=$(df --output=used repo | tail -1)
blksnap 1 backup --full "$uri" --to repo
says err 'No space left on device'
[ "$(points)" -eq 1 ] || fail "a point came to be"
[ "$(df --output=used repo | tail -1)" -le $((before + 16)) ] ||
    fail "what was written is there still"
healthy
mount -o remount,size=64M repo
blksnap 0 backup --full "$uri" --to repo
holds "$(point 1)" at.1
holds "$(point 2)" disk.raw

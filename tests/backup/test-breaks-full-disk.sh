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

# A removal needs room for the merge before it gives any back. Without it,
# nothing has begun.
stop
rm -rf repo/*
mount -o remount,size=64M repo
# at N IO [OPTION...] : this write, bitmap bN of this instant, and a point.
at() {
    local n=$1
    qemu-io -c "$2" source.qcow2 >/dev/null
    qemu-img bitmap --add source.qcow2 "b$n"
    qemu-img convert -O raw source.qcow2 at."$n"
    if [ "$n" = 1 ]; then
        serve_qemu -r -f qcow2 source.qcow2
    else
        serve_qemu -r -f qcow2 -B "b$((n - 1))" source.qcow2
    fi
    blksnap 0 backup -q "$qemu_uri" --name disk --checkpoint "b$n" --to repo \
        "${@:3}"
    stop
}
room() { # BYTES : so many are free in the repository
    mount -o remount,size=$(($(df -B1 --output=used repo | tail -1) + $1)) repo
}
qemu-img create -q -f qcow2 source.qcow2 16M
at 1 'write -P 1 0 3M'
at 2 'write -P 2 2M 5M'
at 3 'write -P 3 9M 64k'
first=$(point 1)
room $((3 << 20))
blksnap 1 prune repo --point "$first"
says err "to remove point $first takes 4194304 bytes before any are freed"
[ "$(points)" -eq 3 ] || fail "it has begun"

# It began, and there is no room any more: backups go on meanwhile.
mkdir bin
# shellcheck disable=SC2016
printf '#!/bin/bash\n[ "$1" = commit ] || exec /usr/bin/qemu-img "$@"\nkill -9 $PPID\n' \
    >bin/qemu-img
chmod +x bin/qemu-img
room $((6 << 20))
status=0
PATH=$PWD/bin:$PATH "$BLKSNAP" prune -q repo --point "$first" 2>err || status=$?
[ $status = 137 ] || fail "it was not killed: $(cat err)"
room $((3 << 20))
blksnap 1 prune repo --keep-last 1
says err "not yet: the removal of point $first is not complete, and will be"
says err "takes 4194304 bytes before any are freed"
at 4 'write -P 4 10M 64k'
[ "$(points)" -eq 3 ] || fail "points"
for n in 2 3 4; do holds "$(point $((n - 1)))" at.$n; done
healthy
room $((16 << 20))
blksnap 0 prune -q repo --keep-last 2
[ ! -e "repo/$first" ] || fail "the point is there still"
for n in 3 4; do holds "$(point $((n - 2)))" at.$n; done
healthy

# What is compressed below has to be written anew, and takes more room then.
rm -rf repo/*
rm -f source.qcow2
qemu-img create -q -f qcow2 source.qcow2 16M
at 1 'write -P 1 0 6M' --compress
at 2 'write -P 2 0 6M' --compress
room $((3 << 20))
blksnap 1 prune repo --point "$(point 1)"
says err 'takes 6291456 bytes before any are freed'
for n in 1 2; do holds "$(point $n)" at.$n; done
room $((9 << 20))
blksnap 0 prune repo --point "$(point 1)"
holds "$(point)" at.2

# A target without room: that is told, and not what QEMU thinks of it.
mkdir small
mount -t tmpfs -o size=1M none small
blksnap 1 restore repo --to small/disk.raw
says err 'No space left on device'
! grep -q qemu-nbd err || fail "$(cat err)"
umount small

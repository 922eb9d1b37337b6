#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# nbdfuse: an export as a local file, for programs that know nothing of NBD.
. "$(dirname "$0")/functions.sh"
requires nbdfuse unshare
[ -w /dev/fuse ] || skip "no /dev/fuse"
serve

# In a mount namespace of its own, where nothing stays behind. The file is
# looked at from outside, through /proc.
own=()
[ "$(id -u)" = 0 ] || own=(--map-root-user)
unshare --mount "${own[@]}" true 2>err || skip "no mount namespaces: $(cat err)"
mkdir mnt
start() { # OPTION...
    unshare --mount "${own[@]}" nbdfuse -P fuse.pid "$@" mnt/disk "$uri" 2>fuse.log &
    servers+=($!)
    file=/proc/$!/root$PWD/mnt/disk
    wait_for started
}
started() {
    kill -0 "${servers[-1]}" 2>/dev/null || {
        ! grep -q -i -e 'fuse: device not found' -e 'Operation not permitted' fuse.log ||
            skip "FUSE cannot be used: $(cat fuse.log)"
        fail "nbdfuse ended: $(cat fuse.log)"
    }
    [ -e fuse.pid ]
}

connections=()
! at_least 1.16 nbdfuse || connections=(-C 4)
start -r "${connections[@]}"
[ "$(stat -c %s "$file")" = $size ] || fail "size: $(stat "$file")"
cmp "$file" disk.raw || fail "they differ"
# Any piece of it.
for at in 1 1048575 17825800; do
    cmp -n 70001 -i $at "$file" disk.raw || fail "at $at"
done
! echo x 2>/dev/null >"$file" || fail "it could be written to"

#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# device= takes one snapshot and destroys it once, however nbdkit's process
# lives and ends. Over the stand-in for the kernel module.
. "$(dirname "$0")/functions.sh"
requires nbdcopy cmp pgrep
: "${FAKE_MODULE:?the stand-in for the module}"

export FAKE_LOG=$scratch/log FAKE_IMAGE=$scratch/image
head -c 65536000 /dev/urandom >image
nbdkit=(env "LD_PRELOAD=$FAKE_MODULE" nbdkit)
device=(device=/dev/fake diff=/var/tmp limit=1M)
times() {
    [ "$(grep -cx "$2" log)" -eq "$1" ] || fail "$2 not $1 times: $(cat log)"
}
once() {
    times 1 take-read-only
    times 1 destroy
    rm log
}

# In the foreground.
serve "$PLUGIN" "${device[@]}" bitmaps=unix:bitmaps.sock
nbdcopy "$(uri fake)" copy.raw
cmp image copy.raw
nbdinfo --list "$(uri)" >out
says out 'description: snapshot of /dev/fake, checkpoint='
nbdinfo --map="qemu:dirty-bitmap:$generation.3" "$(uri fake bitmaps.sock)" >map
says map '262144      262144    1  dirty'
times 0 destroy
stop
once

# In the background.
rm nbdkit.sock
"${nbdkit[@]}" -U "$PWD/nbdkit.sock" -P pid "$PLUGIN" "${device[@]}"
wait_for test -s pid
servers+=("$(cat pid)")
nbdinfo --size "$(uri)" >/dev/null
times 0 destroy
gone() { ! kill -0 "$(cat pid)" 2>/dev/null; }
kill "$(cat pid)"
wait_for gone
once

# With a command of its own, and where the socket cannot be bound to.
# shellcheck disable=SC2016  # for the shell that nbdkit starts
"${nbdkit[@]}" -U - "$PLUGIN" "${device[@]}" --run 'nbdinfo --size "$uri" >out'
once
mkdir directory
! "${nbdkit[@]}" -U directory "$PLUGIN" "${device[@]}" 2>err || fail "it serves"
once
# Where a socket of ours cannot be, none is taken at all.
! "${nbdkit[@]}" -U - "$PLUGIN" "${device[@]}" bitmaps=unix:directory 2>err ||
    fail "it serves"
[ ! -e log ] || fail "a snapshot for nothing: $(cat log)"

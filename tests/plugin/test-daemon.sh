#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# In the background, where nbdkit goes by default: what was opened before the
# fork is served after it, by relative names too, and goes away at the end.
. "$(dirname "$0")/functions.sh"
requires nbdcopy cmp

make_disk
nbdkit -U "$PWD/nbdkit.sock" -P pid "$PLUGIN" file=disk.raw cbt=disk.cbt \
    bitmaps=unix:bitmaps.sock
wait_for test -s pid
servers+=("$(cat pid)")

[ -S bitmaps.sock ] || fail "the parent took the socket away"
nbdcopy "$(uri)" copy.raw
cmp disk.raw copy.raw
nbdcopy "$(uri '' bitmaps.sock)" copy.raw
cmp disk.raw copy.raw
nbdinfo --map="qemu:dirty-bitmap:$generation.2" "$(uri '' bitmaps.sock)" >/dev/null

gone() { ! kill -0 "$(cat pid)" 2>/dev/null; }
kill "$(cat pid)"
wait_for gone
[ ! -e bitmaps.sock ] || fail "the socket stays behind"

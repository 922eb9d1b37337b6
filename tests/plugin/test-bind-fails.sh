#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# nbdkit can fail after .get_ready, and does not call .cleanup then: what was
# made by that time is taken away all the same.
. "$(dirname "$0")/functions.sh"

make_disk
mkdir nbdkit.sock # it cannot be bound to
! nbdkit -U nbdkit.sock "$PLUGIN" file=disk.raw bitmaps=unix:bitmaps.sock \
    2>err || fail "it serves"
says err nbdkit.sock
[ ! -e bitmaps.sock ] || fail "the socket stays behind"

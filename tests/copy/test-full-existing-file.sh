#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Nothing of what was in the target before shows through a full copy.
. "$(dirname "$0")/functions.sh"
requires qemu-img qemu-io qemu-nbd

qemu-img create -q -f qcow2 source.qcow2 8M
qemu-io -c 'write -P 1 1M 1M' source.qcow2 >/dev/null
random_file copy.raw 9M
serve_qemu -r -f qcow2 source.qcow2

pull 0 "$qemu_uri" copy.raw
qemu-img compare -q -f qcow2 -F raw -U source.qcow2 copy.raw ||
    fail "the copy differs"

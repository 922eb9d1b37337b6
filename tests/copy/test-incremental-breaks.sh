#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# An incremental pull that breaks says so, and running it again mends the copy.
. "$(dirname "$0")/functions.sh"
requires qemu-img qemu-io qemu-nbd

qemu-img create -q -f qcow2 source.qcow2 64M
qemu-io -c 'write -P 1 0 64M' source.qcow2 >/dev/null
qemu-img convert -O raw source.qcow2 copy.raw
qemu-img bitmap --add source.qcow2 monday
qemu-io -c 'write -P 2 0 48M' source.qcow2 >/dev/null

# Reads of the image file fail where the 30th MiB of the guest is, or so.
serve_qemu -r -B monday --image-opts "driver=qcow2,file.driver=blkdebug,\
file.image.driver=file,file.image.filename=source.qcow2,\
file.inject-error.0.event=read_aio,file.inject-error.0.iotype=read,\
file.inject-error.0.sector=61440,file.inject-error.0.errno=5"
pull 1 --since monday "$qemu_uri" copy.raw
# (This server hangs up when it cannot read.)
says err '; copy.raw is incomplete: run again with the same --since, or take a full copy'
stop

serve_qemu -r -f qcow2 -B monday source.qcow2
! qemu-img compare -q -f qcow2 -F raw -U source.qcow2 copy.raw ||
    fail "nothing was left to do: this test shows nothing"
pull 0 --since monday "$qemu_uri" copy.raw
qemu-img compare -q -f qcow2 -F raw -U source.qcow2 copy.raw ||
    fail "the copy differs"

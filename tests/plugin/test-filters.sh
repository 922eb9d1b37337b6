#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# nbdkit's filters work on top of the plugin.
. "$(dirname "$0")/functions.sh"
requires nbdcopy cmp sfdisk

make_disk
serve --filter=log "$PLUGIN" file=disk.raw logfile=calls
nbdcopy "$(uri)" copy.raw
cmp disk.raw copy.raw
says calls 'Read id='
stop

# Writes go to the overlay alone.
sha256sum disk.raw >before
serve --filter=cow "$PLUGIN" file=disk.raw
head -c 10486272 /dev/zero | nbdcopy - "$(uri)"
nbdcopy "$(uri)" copy.raw
cmp copy.raw <(head -c 10486272 /dev/zero)
sha256sum --quiet -c before
stop

serve --filter=rate "$PLUGIN" file=disk.raw rate=1G
nbdcopy "$(uri)" copy.raw
cmp disk.raw copy.raw
stop

head -c 10M /dev/zero >disk.raw
printf 'label: dos\nstart=2048, size=4096\n' | sfdisk -q disk.raw
head -c 2M /dev/urandom >partition.raw
dd if=partition.raw of=disk.raw bs=1M seek=1 conv=notrunc status=none
serve --filter=partition "$PLUGIN" file=disk.raw partition=1
nbdcopy "$(uri)" copy.raw
cmp partition.raw copy.raw
stop

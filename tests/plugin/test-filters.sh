#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# nbdkit's filters work on top of the plugin: what comes through each is the
# right data, as nbdcopy and QEMU see it.
. "$(dirname "$0")/functions.sh"
requires nbdcopy qemu-img cmp sfdisk mke2fs tar

is() { # FILE WHAT
    nbdcopy "$(uri)" copy.raw
    cmp "$1" copy.raw || fail "$2: not by nbdcopy"
    qemu-img compare -q -f raw -F raw "$1" "$(uri)" || fail "$2: not by QEMU"
}

make_disk
serve --filter=log "$PLUGIN" file=disk.raw logfile=calls
is disk.raw log
says calls 'Read id='
says calls 'Extents id='
stop

# Writes go to the overlay alone.
sha256sum disk.raw >before
head -c 10486272 /dev/zero | tr '\0' '\61' >new.raw
serve --filter=cow "$PLUGIN" file=disk.raw
is disk.raw cow
nbdcopy new.raw "$(uri)"
is new.raw "cow, written to"
sha256sum --quiet -c before
stop

serve --filter=rate "$PLUGIN" file=disk.raw rate=1G
is disk.raw rate
stop

# It has the plugin read ahead (.cache), while it passes on what is read.
serve --filter=readahead --filter=log "$PLUGIN" file=disk.raw logfile=calls
nbdcopy --request-size=65536 --requests=1 --connections=1 "$(uri)" copy.raw
cmp disk.raw copy.raw || fail "readahead"
is disk.raw readahead
says calls 'Cache id='
stop

# On top of each other, as for a guest that may scribble on a snapshot.
serve --filter=readahead --filter=cow --filter=rate "$PLUGIN" file=disk.raw rate=1G
nbdcopy new.raw "$(uri)"
is new.raw "three filters"
sha256sum --quiet -c before
stop

# A partition; of a writable disk it can be written to.
truncate -s 10M partitioned.raw
printf 'label: dos\nstart=2048, size=4096\nstart=8192, size=2048\n' | sfdisk -q partitioned.raw
head -c 2M /dev/urandom >partition.raw
dd if=partition.raw of=partitioned.raw bs=1M seek=1 conv=notrunc status=none
for words in file=partitioned.raw 'file=partitioned.raw read-write=true'; do
    # shellcheck disable=SC2086  # words
    serve --filter=partition "$PLUGIN" $words partition=1
    is partition.raw partition
    stop
done
serve --filter=partition "$PLUGIN" file=partitioned.raw read-write=true partition=2
head -c 1M new.raw | nbdcopy - "$(uri)"
stop
cmp -n 1048576 -i 4194304:0 partitioned.raw new.raw || fail "partition 2"
cmp -n 2097152 -i 1048576:0 partitioned.raw partition.raw || fail "partition 1 as well"

# A disk in a tar file, between others.
head -c 70000 /dev/urandom >other
tar -cf archive.tar other disk.raw other
serve --filter=tar "$PLUGIN" file=archive.tar tar-entry=disk.raw
is disk.raw tar
stop

# A disk that is a file of a file system. The ext2 filter (of nbdkit 1.32 to 1.48
# at least) passes the extents of the disk on as those of the file, over any
# plugin, and clients then skip what is data: so none may reach it. That of 1.48
# has to be told that it cannot write.
mkdir -p folder/deep
cp disk.raw folder/deep/inner.raw
truncate -s 32M fs.raw
mke2fs -q -t ext4 -d folder fs.raw
serve -r --filter=ext2 --filter=noextents "$PLUGIN" file=fs.raw ext2file=/deep/inner.raw
is disk.raw ext2
stop

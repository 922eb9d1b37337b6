#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Words that are wrong end nbdkit before it forks, with a sentence.
. "$(dirname "$0")/functions.sh"

bad() {
    local says=$1 status=0
    shift
    nbdkit -U nbdkit.sock -P pid "$PLUGIN" "$@" 2>err || status=$?
    [ $status -eq 1 ] || fail "status $status for $*"
    [ ! -e pid ] || fail "it runs, with $*"
    says err "$says"
}
touch disk.raw
bad 'nothing to serve'
bad 'colour' file=disk.raw colour=red
bad 'read-write' file=disk.raw read-write=perhaps
bad 'No such file or directory' file=none.raw
bad 'is not a UUID' snapshot=monday
bad 'diff=' device=/dev/none
bad 'bitmaps=disk.sock: want unix:PATH, or tcp:HOST:PORT' \
    file=disk.raw bitmaps=disk.sock
bad 'bitmaps=tcp:10809: want unix:PATH, or tcp:HOST:PORT' \
    file=disk.raw bitmaps=tcp:10809
bad 'listen on no/where' file=disk.raw bitmaps=unix:no/where
bad 'disk.raw' file=disk.raw cbt=disk.raw
# A word by itself is a device.
bad 'device= needs diff=' disk.raw
bad 'exclude each other' disk.raw file=disk.raw

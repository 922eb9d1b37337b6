#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The checkpoint to remember comes out of the export's description; what does
# not look like one is not passed on to scripts.
. "$(dirname "$0")/functions.sh"
requires nbdkit

serve_nbdkit eval get_size='echo 1M' \
    pread="dd if=/dev/zero count=\$3 iflag=count_bytes 2>/dev/null" \
    export_description='cat '"$PWD/description"
checkpoint=3f0c6f0e-1c4b-4d0a-9a52-0f7c6f5f4f0e.7

echo "a snapshot, device=/dev/vdb checkpoint=$checkpoint block=65536" >description
pull 0 "$nbdkit_uri" copy.raw
[ "$(head -1 out)" = "checkpoint=$checkpoint" ] || fail "$(cat out)"

# shellcheck disable=SC2016  # it is to stay as it is
printf 'x checkpoint=$(\033reboot)' >description
pull 0 "$nbdkit_uri" copy.raw
! grep checkpoint out || fail "$(cat out)"

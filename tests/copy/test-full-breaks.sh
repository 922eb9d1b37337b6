#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# A read error ends a full copy with what failed and what the target is worth.
. "$(dirname "$0")/functions.sh"
requires nbdkit

random_file source.raw 8M
serve_nbdkit --filter=error file source.raw error-pread=EIO \
    error-pread-rate=100% error-pread-file="$PWD/broken"

pull 0 "$nbdkit_uri" copy.raw
cmp source.raw copy.raw
touch broken
pull 1 "$nbdkit_uri" copy.raw
says err 'Input/output error; copy.raw is incomplete: take the full copy again'
says err 'read nbd+unix:'

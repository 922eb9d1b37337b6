#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Two pulls do not write into one target.
. "$(dirname "$0")/functions.sh"
requires nbdkit flock sha256sum

serve_nbdkit memory 1M
random_file copy.raw 1M
sha256sum copy.raw >before
exec 9<copy.raw
flock 9
pull 1 "$nbdkit_uri" copy.raw
says err 'another program has it locked'
sha256sum --quiet -c before

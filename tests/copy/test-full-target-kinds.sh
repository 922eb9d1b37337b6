#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Only files and block devices are written to; a server that is not there is an
# error of one line, and makes no file.
. "$(dirname "$0")/functions.sh"
requires nbdkit mkfifo timeout

serve_nbdkit memory 1M
mkfifo fifo
pull 1 "$nbdkit_uri" fifo
says err 'fifo: neither a regular file nor a block device'
pull 1 "$nbdkit_uri" no/such/file
says err 'No such file or directory'

pull 1 'nbd+unix:///?socket=nobody.sock' copy.raw
[ ! -e copy.raw ] || fail "a file came to be"
pull 1 'not a uri' copy.raw
[ ! -e copy.raw ] || fail "a file came to be"

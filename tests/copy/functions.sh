# SPDX-License-Identifier: LGPL-2.1-or-later
# Sourced by every test of this folder: servers to pull from, and pulling.
# shellcheck shell=bash

# shellcheck source=tests/functions.sh
source "$(dirname "${BASH_SOURCE[0]}")/../functions.sh"

: "${BLKSNAP:?the blksnap program to test}"

# serve_nbdkit ARG... : nbdkit on ./nbdkit.sock, default export.
# shellcheck disable=SC2034  # for the tests
nbdkit_uri='nbd+unix:///?socket=nbdkit.sock'
serve_nbdkit() {
    nbdkit -f -U "$PWD/nbdkit.sock" "$@" &
    servers+=($!)
    wait_for listens nbdkit.sock
}

# pull STATUS ARG... : runs `blksnap pull ARG...`, which must end with STATUS;
# what it printed is in ./out and ./err.
pull() {
    local wanted=$1 status=0
    shift
    "$BLKSNAP" pull "$@" >out 2>err || status=$?
    [ "$status" -eq "$wanted" ] ||
        fail "pull $* ended with $status, not $wanted: $(cat err)"
    if [ "$wanted" -eq 0 ]; then
        [ ! -s err ] || fail "success, but: $(cat err)"
    else
        [ ! -s out ] || fail "failure, but printed $(cat out)"
        [ "$(wc -l <err)" -eq 1 ] || fail "not one line: $(cat err)"
    fi
}

# random_file NAME SIZE
random_file() {
    head -c "$2" /dev/urandom >"$1"
}

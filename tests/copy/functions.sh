# SPDX-License-Identifier: LGPL-2.1-or-later
# Sourced by every test of this folder: a scratch directory as the working
# directory, servers that are stopped at the end, and assertions.
# shellcheck shell=bash

set -eu -o pipefail

: "${BLKSNAP:?the blksnap program to test}"

scratch=$(mktemp -d)
servers=()
cleanup() {
    for pid in "${servers[@]}"; do kill "$pid" 2>/dev/null || :; done
    rm -rf "$scratch"
}
trap cleanup EXIT
cd "$scratch"

requires() {
    for program in "$@"; do
        command -v "$program" >/dev/null || {
            echo "skipped: no $program"
            exit 77
        }
    done
}

fail() {
    echo "FAILED: $*" >&2
    exit 1
}

wait_for_socket() {
    for _ in $(seq 100); do
        [ -S "$1" ] && return
        sleep 0.05
    done
    fail "no server on $1"
}

# serve_qemu ARG... : qemu-nbd on ./qemu.sock, default export.
# shellcheck disable=SC2034  # for the tests
qemu_uri='nbd+unix:///?socket=qemu.sock'
serve_qemu() {
    rm -f qemu.sock
    qemu-nbd -k "$PWD/qemu.sock" -e 0 -t "$@" &
    servers+=($!)
    wait_for_socket qemu.sock
}
stop_qemu() {
    kill "${servers[-1]}"
    wait "${servers[-1]}" || :
    unset 'servers[-1]'
}

# serve_nbdkit ARG... : nbdkit on ./nbdkit.sock, default export.
# shellcheck disable=SC2034  # for the tests
nbdkit_uri='nbd+unix:///?socket=nbdkit.sock'
serve_nbdkit() {
    nbdkit -f -U "$PWD/nbdkit.sock" "$@" &
    servers+=($!)
    wait_for_socket nbdkit.sock
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

# says FILE TEXT : the file holds the text in one of its lines.
says() {
    grep -qF -- "$2" "$1" || fail "$1 does not say '$2' but: $(cat "$1")"
}

# random_file NAME SIZE
random_file() {
    head -c "$2" /dev/urandom >"$1"
}

# SPDX-License-Identifier: LGPL-2.1-or-later
# Sourced by the functions.sh of each suite of shell scripts: a scratch
# directory as the working directory, background servers that are stopped at
# the end, and assertions. What a suite alone needs stands in its own file.
# shellcheck shell=bash

set -eu -o pipefail

scratch=$(mktemp -d)
servers=() # pids
cleanup() {
    local pid
    for pid in "${servers[@]}"; do kill "$pid" 2>/dev/null || :; done
    for pid in "${servers[@]}"; do wait "$pid" 2>/dev/null || :; done
    rm -rf "$scratch"
}
trap cleanup EXIT
cd "$scratch"

skip() {
    echo "skipped: $*"
    exit 77
}

# requires PROGRAM... : skips the test where one of them is missing.
requires() {
    for program in "$@"; do
        command -v "$program" >/dev/null || skip "no $program"
    done
}

# is_sanitized FILE : built with a sanitizer, which wants to be loaded first.
is_sanitized() {
    # (With -q, grep may end before ldd has written all, which pipefail minds.)
    ldd "$1" | grep lib.san >/dev/null
}

fail() {
    echo "FAILED: $*" >&2
    [ ! -s server.log ] || tail -20 server.log >&2
    exit 1
}

# says FILE TEXT : the file holds the text in one of its lines.
says() {
    grep -qF -- "$2" "$1" || fail "$1 does not say '$2' but: $(cat "$1")"
}

# wait_for COMMAND... : until it succeeds, for 5 minutes at most: a busy machine is
# slow and not wrong.
wait_for() {
    for _ in $(seq 6000); do
        "$@" && return
        sleep 0.05
    done
    fail "in vain: $*"
}

# listens SOCKET : somebody does, on ./SOCKET. (The file is there before that.)
listens() {
    grep -qE " 00010000 .*( |$PWD/)$1\$" /proc/net/unix
}

# serve_qemu ARG... : qemu-nbd on ./qemu.sock, default export.
# shellcheck disable=SC2034  # for the tests
qemu_uri='nbd+unix:///?socket=qemu.sock'
serve_qemu() {
    rm -f qemu.sock
    qemu-nbd -k "$PWD/qemu.sock" -e 0 -t "$@" &
    servers+=($!)
    wait_for listens qemu.sock
}
# Stops the server that was started last.
stop() {
    kill "${servers[-1]}"
    wait "${servers[-1]}" || :
    unset 'servers[-1]'
}

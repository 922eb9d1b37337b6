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
    ldd "$1" | grep -q lib.san
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

# wait_for COMMAND... : until it succeeds, for 30 s at most.
wait_for() {
    for _ in $(seq 600); do
        "$@" && return
        sleep 0.05
    done
    fail "in vain: $*"
}

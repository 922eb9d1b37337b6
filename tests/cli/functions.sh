# SPDX-License-Identifier: LGPL-2.1-or-later
# Sourced by every test of this folder: blksnap over the stand-in for the
# module.
# shellcheck shell=bash

# shellcheck source=tests/functions.sh
source "$(dirname "${BASH_SOURCE[0]}")/../functions.sh"

: "${BLKSNAP:?the blksnap program to test}"
: "${FAKE_MODULE:?the stand-in for the module}"
! is_sanitized "$BLKSNAP" || skip "built with a sanitizer"
export FAKE_LOG=$scratch/log

# shellcheck disable=SC2034  # for the tests
uuid=3f0c6f0e-1c4b-4d0a-9a52-0f7c6f5f4f0e

# blksnap STATUS ARG... : what it printed is in ./out and ./err, the calls that
# it made of the module in ./log.
blksnap() {
    local wanted=$1 status=0
    shift
    rm -f log
    touch log
    LD_PRELOAD=$FAKE_MODULE "$BLKSNAP" "$@" >out 2>err || status=$?
    [ "$status" -eq "$wanted" ] ||
        fail "blksnap $* ended with $status, not $wanted: $(cat err)"
    if [ "$wanted" -eq 0 ]; then
        [ ! -s err ] || fail "success, but: $(cat err)"
    else
        [ "$(wc -l <err)" -eq 1 ] || fail "not one line: $(cat err)"
    fi
}

# prints LINE... : ./out has exactly these lines; made LINE... : so has ./log
prints() { printf '%s\n' "$@" | diff - out || fail "output differs"; }
made() { printf '%s\n' "$@" | diff - log || fail "calls differ"; }

# commands : every command that does something, a line each, as --help tells.
commands() { # [COMMAND...]
    local help below word
    help=$("$BLKSNAP" "$@" --help)
    below=$(sed -n '/^Subcommands/,/^$/s/^  \([a-z_]\+\) .*/\1/p' <<<"$help")
    if [ -z "$below" ]; then
        echo "$*"
        return
    fi
    for word in $below; do commands "$@" "$word"; done
}

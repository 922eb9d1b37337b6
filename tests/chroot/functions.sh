# SPDX-License-Identifier: LGPL-2.1-or-later
# Sourced by the functions.sh of suites whose tests can be run with the programs
# of another release of Debian: of $CLIENTS, if that names one. After
# tests/functions.sh.
# shellcheck shell=bash

chroot_scripts=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck disable=SC2034  # for the tests
client_python=/usr/bin/python3 # which has libnbd's module

# shellcheck disable=SC2154  # scratch is of tests/functions.sh
# use_clients FOLDER... : from now on nbdinfo and so on are those of $CLIENTS,
# which see these folders, and what the test has made.
use_clients() {
    local root status=0 program
    [ -n "${CLIENTS:-}" ] || return 0
    root=$("$chroot_scripts/make" "$CLIENTS") || status=$?
    [ $status -ne 77 ] || exit 77
    [ $status -eq 0 ] || fail "no programs of $CLIENTS"
    "$chroot_scripts/run" "$root" "$scratch" -- true 2>err ||
        skip "mounts are not to be made here: $(cat err)"
    mkdir "$scratch/clients"
    for program in "$root"/usr/bin/{nbd,qemu-}* "$root"/usr/bin/python3; do
        [ -x "$program" ] || continue
        program=${program##*/}
        printf '#!/bin/bash\nexec %q' "$chroot_scripts/run" >"$scratch/clients/$program"
        printf ' %q' "$root" "$scratch" "$@" -- "$program" >>"$scratch/clients/$program"
        echo ' "$@"' >>"$scratch/clients/$program"
        chmod +x "$scratch/clients/$program"
    done
    # Our own scripts run in the Python that is here.
    mv "$scratch/clients/python3" "$scratch/client-python" 2>/dev/null || :
    # shellcheck disable=SC2034
    client_python=$scratch/client-python
    PATH=$scratch/clients:$PATH
}

# at_least VERSION PROGRAM : that program is of that version, or a newer one.
at_least() {
    local version
    version=$("$2" --version | grep -o '[0-9]\+\.[0-9.]*[0-9]' | head -n 1)
    [ "$(printf '%s\n' "$1" "$version" | sort -V | head -n 1)" = "$1" ]
}

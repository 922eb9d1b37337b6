#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Options may be spelled in all the ways that scripts use; each command has
# help with an example.
. "$(dirname "$0")/functions.sh"

for id in "--id=$uuid" "--id $uuid" "-i $uuid" "-i$uuid" "-i ${uuid^^}"; do
    # shellcheck disable=SC2086  # two words, some of them
    blksnap 0 snapshot_take $id
    made take
done
for device in '-d/dev/fake' '-d /dev/fake' '--device=/dev/fake'; do
    # shellcheck disable=SC2086
    blksnap 0 snapshot_add -i "$uuid" $device
    made attach snapshotadd
done

# Each of them stands in the list of the one above, and in its own examples.
check_help() { # [COMMAND...]
    local word below
    blksnap 0 "$@" --help
    [ $# -eq 0 ] || sed -n '/^Examples:/,$p' out | grep -q "^  blksnap $*\( \|$\)" ||
        fail "the help of blksnap $* has no example: $(cat out)"
    ! grep -q '^.\{2,\} $' out || fail "blanks at the end of a line: $(cat out)"
    below=$(sed -n '/^Subcommands/,/^$/s/^  \([a-z_]\+\) .*/\1/p' out)
    for word in $below; do check_help "$@" "$word"; done
}
check_help
commands >all
for command in version 'snapshot_watcher' 'checkpoint add' pull status; do
    grep -qx "$command" all || fail "no $command: $(cat all)"
done

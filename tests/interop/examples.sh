# SPDX-License-Identifier: LGPL-2.1-or-later
# Sourced by the tests that type the examples of a manual page.
# shellcheck shell=bash

: "${mapfile_py:?}" "${generation:?}" # of functions.sh

# two_days : monday.img and tuesday.img, a disk of 8 MiB in blocks of 64 KiB on
# two days, and their change maps, monday.cbt and tuesday.cbt. The instants are those
# of the stand-in for the module (tests/cli/fake-module.c).
two_days() {
    local block blocks=()
    truncate -s 8M vdb
    for ((block = 0; block < 128; ++block)); do blocks+=($((block < 48))); done
    write_blocks 0 48
    save_day monday 1.5d10f7b2a9c3e684 "${blocks[@]}"
    for block in 16 17 20 100; do blocks[block]=2; done
    write_blocks 16 2
    write_blocks 100 1
    head -c 65536 /dev/zero | dd of=vdb bs=64k seek=20 conv=notrunc status=none
    save_day tuesday 2.5d10f7b2a9c3e684.ba21ef655387cd08 "${blocks[@]}"
}
write_blocks() { # BLOCK COUNT
    head -c $(($2 * 65536)) /dev/urandom |
        dd of=vdb bs=64k seek="$1" conv=notrunc iflag=fullblock status=none
}
save_day() { # DAY NUMBER.INSTANT... BYTE...
    cp --sparse=always vdb "$1.img"
    "$mapfile_py" make "$1.cbt" $((8 << 20)) 65536 "$generation" "$2" "${@:3}"
}

# take_examples PAGE SECTION : what is typed there into ./typed, and what is
# shown into ./expected. What is typed begins with "$ ", and goes on after a
# backslash; a line "started" follows where it was put into the background.
take_examples() {
    awk -v section="$2" '/^\.Sh/ { examples = $0 ~ section } /^\.Ed/ { literal = 0 }
         examples && literal; /^\.Bd/ { literal = 1 }' "$1" |
        sed 's/\\e/\\/g' >session
    awk '/^\$ / || more { sub(/^\$ /, ""); print; more = /\\$/
             if (/&$/) print "started"; next }
         { print >"expected" }' session >typed
    [ "$(wc -l <typed)" -gt 10 ] || fail "no examples were found: $(cat session)"
}

#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# What bash proposes is what the program takes, no more and no less.
. "$(dirname "$0")/functions.sh"
requires awk
"$BLKSNAP" --completion=bash >completion
if command -v shellcheck >/dev/null; then
    shellcheck -S warning completion || fail "the script has faults"
fi
# The one that is installed is the same.
: "${COMPLETION:?the completion that is installed}"
cmp completion "$COMPLETION" || fail "the one that was built is stale"

# proposes WORD... : what it says of this line, whose last word is begun, and
# in which = and : are words as bash makes them. The shell is one of its own, as
# who sources this has no functions of ours.
proposes() {
    PATH=$scratch/bin:$PATH bash -c '
        source ./completion
        COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
        COMP_LINE=$(sed "s/ \\([:=]\\)/\\1/g; s/\\([:=]\\) /\\1/g" <<<"$*")
        _blksnap blksnap "${COMP_WORDS[-1]}" "${COMP_WORDS[-2]}"
        printf "%s\n" "${COMPREPLY[@]}"' - blksnap "$@" 2>err | sed '/^$/d' |
        sort >got
    [ ! -s err ] || fail "completing $*: $(cat err)"
}
# expect WORD... -- PROPOSAL...
expect() {
    local line=()
    while [ "$1" != -- ]; do
        line+=("$1")
        shift
    done
    shift
    proposes "${line[@]}"
    [ $# -eq 0 ] || printf '%s\n' "$@" | sort >want
    [ $# -ne 0 ] || : >want
    diff want got || fail "completing blksnap ${line[*]}"
}
# A program and devices of our own.
mkdir bin
printf '#!/bin/sh\nLD_PRELOAD=%s exec %s "$@" --file %s/names\n' \
    "$FAKE_MODULE" "$BLKSNAP" "$scratch" >bin/blksnap
printf '#!/bin/sh\necho /dev/vda\necho /dev/vdb\n' >bin/lsblk
chmod +x bin/*
for name in monday tuesday; do
    LD_PRELOAD=$FAKE_MODULE "$BLKSNAP" checkpoint add $name -d /dev/fake \
        --file names >/dev/null
done

# Every command, and every option as its help has it.
options_of() { # FILE
    sed -n '/^Options:/,/^$/s/^  \(-[^ {[]*\).*/\1/p' "$1" | tr , '\n'
}
walk() { # [COMMAND...]
    local word below
    "$BLKSNAP" "$@" --help >help
    mapfile -t below < <(sed -n '/^Subcommands/,/^$/s/^  \([a-z_]\+\) .*/\1/p' help)
    mapfile -t options < <(options_of help)
    [ "${#options[@]}" -ge 2 ] || fail "no options of blksnap $*"
    expect "$@" - -- "${options[@]}"
    [ "${#below[@]}" -eq 0 ] || expect "$@" '' -- "${below[@]}"
    for word in "${below[@]}"; do walk "$@" "$word"; done
}
walk
expect ch -- checkpoint
expect checkpoint r -- remove
expect att -- attach
expect none s -- snapshot_{create,add,take,destroy,info,collect,waitevent,watcher} status

# Values, in each spelling; and not of an option that takes none.
for option in -d --device; do
    expect attach $option '' -- /dev/vda /dev/vdb
    expect attach $option /dev/vdb -- /dev/vdb
done
expect attach --device = /dev/ -- /dev/vda /dev/vdb
expect attach --device = -- /dev/vda /dev/vdb
expect readcbtmap --format = r -- raw
expect readcbtmap --format '' -- raw saved
expect snapshot_info -f '' -- image error_code quiesced
expect snapshot_create --limit '' --
expect pull --since m -- monday
expect pull --since monday nbd : //x file1 '' --
expect pull '' --
expect pull --since = m -- monday

# Names of checkpoints.
expect checkpoint remove '' -- monday tuesday
expect checkpoint remove --device /dev/fake t -- tuesday
expect checkpoint remove monday '' --
expect checkpoint add new '' --
expect checkpoint add new -c '' -- "$uuid.7.8b76c5e2a45b4d9c"

# Points and disks of a repository, and devices as sources.
mkdir repo
point=20261122T010203Z
mkdir repo/$point
printf '#!/bin/sh\n[ "$*" = "list repo" ] && printf "POINT DISK\n%s vdb\n%s vdc\n"\n' \
    $point $point >bin/blksnap
for verb in restore verify export; do
    expect $verb repo --point '' -- $point
    expect $verb repo --disk '' -- vdb vdc
    expect $verb --point '' --
done
expect prune repo --point = 2 -- $point
expect backup nbd : //x /dev/ -- /dev/vda /dev/vdb
expect map /dev/ -- /dev/vda /dev/vdb
expect restore repo --to /dev/vdb -- /dev/vdb

#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# nbdinfo: what is offered, and both kinds of maps.
. "$(dirname "$0")/functions.sh"
requires nbdinfo jq
serve

[ "$(nbdinfo --size "$uri")" = $size ] || fail "size"

nbdinfo --json "$uri" | jq '.exports[0]' >info
jq -e '.["export-name"] == "disk" and .is_read_only and .can_multi_conn
       and .can_df and (.can_flush | not) and .block_size_maximum == 33554432' \
    info >/dev/null || fail "$(cat info)"
jq -r '.contexts[]' info >contexts
printf '%s\n' base:allocation "$(bitmap 8)" >expected
same "contexts" expected contexts

nbdinfo --list --json "$uri" | jq -r '.exports[]["export-name"]' >exports
printf '%s\n' disk "disk@$generation.8" "disk@$generation.8+changed" >expected
same "exports" expected exports

for number in 0 3 8 9; do
    nbdinfo --map="$(bitmap $number)" "$uri" |
        awk '{ print $1, $2, $3; if (($3 == 1) != ($4 == "dirty")) exit 1 }' >map.seen ||
        fail "not the word dirty for 1, or another"
    extents $number >map.expected
    same "changed since $number" map.expected map.seen
done

# Holes of the file system's making are holes on the wire, and nothing else.
nbdinfo --map "$uri" | awk '{ print $1, $2, $3 }' >allocation
[ "$(awk '{ sum += $2 } END { print sum }' allocation)" = $size ] ||
    fail "base:allocation does not cover the disk: $(cat allocation)"
while read -r offset length flags; do
    [ "$flags" = 3 ] || continue
    cmp -n "$length" -i "$offset":0 disk.raw /dev/zero ||
        fail "not zero at $offset+$length"
done <allocation
grep -q ' 3$' allocation || fail "no hole was found"

# Neither a wildcard nor another generation is a context.
for context in qemu:dirty-bitmap: "qemu:dirty-bitmap:${generation%e}f.3"; do
    ! nbdinfo --map="$context" "$uri" 2>/dev/null || fail "$context is offered"
done

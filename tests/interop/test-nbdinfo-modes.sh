#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# nbdinfo: each of its ways to ask, beside those of test-nbdinfo.sh.
. "$(dirname "$0")/functions.sh"
requires nbdinfo jq
serve

# For people.
nbdinfo "$uri" >out
says out 'protocol: newstyle-fixed without TLS'
! at_least 1.17 nbdinfo || says out 'using extended packets'
says out "export-size: $size (64M)"
says out "description: file disk.raw, checkpoint=$generation.9"
says out "content: data"
for line in 'is_read_only: true' 'can_multi_conn: true' 'can_df: true' \
    'can_cache: true' 'can_flush: false' 'can_zero: false' \
    'block_size_minimum: 1' 'block_size_maximum: 33554432'; do
    says out "$line"
done
says out "$(bitmap 8)"
nbdinfo --no-content "$uri" >out
! grep -q content: out || fail "content where none was asked for"
nbdinfo --list "$uri" >out
[ "$(grep -c '^export=' out)" = 3 ] || fail "not three exports: $(cat out)"

# One question, and the answer is the exit code: 0 yes, 2 no.
answers() { # CODE QUESTION...
    local code=$1 status=0
    shift
    nbdinfo "$@" "$uri" 2>err || status=$?
    [ $status = "$code" ] || fail "$*: $status instead of $code: $(cat err)"
}
for what in connect read cache df multi-conn; do
    answers 0 --can $what
done
for what in write trim zero fast-zero flush fua; do
    answers 2 --can $what
done
answers 0 --is read-only
answers 2 --is rotational
answers 2 --is tls
if at_least 1.17 nbdinfo; then
    answers 0 --has 'structured reply'
    answers 0 --has 'extended headers'
    # Without contexts there is nothing for a payload to choose from.
    answers 2 --can 'block status payload'
fi

# Totals are the sums of the map, of both kinds.
total() { awk -v flags="$1" '$3 == flags { sum += $2 } END { print sum + 0 }' "$2"; }
for context in base:allocation "$(bitmap 4)"; do
    nbdinfo --map="$context" "$uri" >map
    nbdinfo --map="$context" --totals "$uri" >totals
    awk '{ print $3 }' map | sort -un >flags
    [ "$(wc -l <flags)" -gt 1 ] || fail "$context: there is one kind alone"
    while read -r flags; do
        [ "$(total "$flags" map)" = "$(awk -v flags="$flags" '$3 == flags { print $1 }' totals)" ] ||
            fail "$context, $flags: $(cat map totals)"
    done <flags
    [ "$(awk '{ sum += $1 } END { print sum }' totals)" = $size ] ||
        fail "$context: not all of it is in the totals"

    # The same in JSON.
    nbdinfo --map="$context" --json "$uri" |
        jq -r '.[] | "\(.offset) \(.length) \(.type)"' >json
    awk '{ print $1, $2, $3 }' map >plain
    same "$context as JSON" plain json
done

# More than one at a time: a JSON for each export.
nbdinfo --list --json "$uri" | jq -e '[.exports[] | .["export-size"]] | . == [67108864, 67108864, 67108864]' \
    >/dev/null || fail "sizes"
[ "$(nbdinfo --size --json "$uri")" = $size ] || fail "--size --json"

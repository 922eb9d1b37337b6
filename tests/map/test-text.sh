#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The map as text and as JSON; what is refused.
here=$(dirname "$(readlink -f "$0")")
# shellcheck source=tests/functions.sh
. "$here/../functions.sh"
requires python3 jq
: "${BLKSNAP:?the blksnap program to test}"
generation=3f0c6f0e-1c4b-4d0a-9a52-0f7c6f5f4f0e
export LC_ALL=C.UTF-8 COLUMNS=80
unset NO_COLOR COLORTERM

# write NAME CAPACITY BLOCK_SIZE NUMBER PIECES : runs of (first, count, number)
write() {
    python3 - "$here" "$@" <<'EOF'
import sys
sys.path.insert(0, sys.argv[1])
import maps
name, capacity, block_size, number = sys.argv[2], *map(int, sys.argv[3:6])
blocks = maps.runs(-(-capacity // block_size), *eval(sys.argv[6]))
open(name, "wb").write(maps.encode(capacity, block_size, number, blocks))
EOF
}
refused() { # TEXT ARG...
    local text=$1 status=0
    shift
    "$BLKSNAP" map "$@" >out 2>err || status=$?
    [ $status -eq 1 ] || fail "map $* ended with $status"
    [ ! -s out ] || fail "it prints: $(cat out)"
    says err "$text"
}

# 1 MiB in 64 characters of 4 KiB a row: 4 rows. The second row has all of
# take 3, one block of take 5.
write map $((1 << 20)) 4096 5 '[(64, 64, 3), (70, 1, 5)]'
"$BLKSNAP" map map >out
says out 'map: 1M in blocks of 4K'
says out '256K (25.0 %) changed since tracking began, up to take 5'
says out "generation $generation"
full=$(printf '█%.0s' $(seq 64))
none=$(printf '·%.0s' $(seq 64))
for row in "       0 $none" "    256K $full" "    512K $none" "    768K $none"; do
    grep -qxF "$row" out || fail "no row '$row' in: $(cat out)"
done
grep -qx ' *3 *252K *24\.6 % *█*' out || fail "no line of take 3: $(cat out)"
grep -qx ' *5 *4K *0\.4 % *█*' out || fail "no line of take 5: $(cat out)"
! grep -q $'\033' out || fail "colours in a pipe"

# How high a character is says how much of it changed: a half; an eighth; the
# least that there can be is seen, and what is nearly all is not all; a half in
# two takes.
write coarse $((1 << 26)) 4096 9 \
    '[(0, 8, 9), (16, 2, 9), (32, 1, 9), (48, 15, 9), (64, 16, 9), (80, 4, 7), (84, 4, 9)]'
"$BLKSNAP" map coarse >out
grep -q '^ *0 ▄▁▁▇█▄·' out || fail "other heights: $(cat out)"
says out 'a character is 64K, a row 4M'
LC_ALL=C "$BLKSNAP" map map >out
! LC_ALL=C grep -q $'[\x80-\xff]' out || fail "not ASCII in the C locale"
says out '################'

"$BLKSNAP" map --since 3 map >out
says out '4K (0.4 %) changed since take 3, up to take 5'
"$BLKSNAP" map --since "$generation.4" --json map >out
[ "$(jq -c '[.since, .changed_bytes, .takes]' out)" = \
    '[4,4096,[{"number":5,"changed_bytes":4096}]]' ] || fail "$(cat out)"
"$BLKSNAP" map --since 5 map >out
says out '0 (0.0 %) changed since take 5'

# Colours on a terminal alone, and not where somebody does not want them.
on_terminal() {
    python3 -c 'import os, pty, sys
sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))' "$@" </dev/null
}
TERM=xterm on_terminal "$BLKSNAP" map map >out
grep -q $'\033\[38;5;' out || fail "no colours on a terminal"
TERM=xterm COLORTERM=truecolor on_terminal "$BLKSNAP" map map >out
grep -q $'\033\[38;2;' out || fail "no true colours"
# The legend tells what they mean.
python3 - out <<'EOF' || fail "other colours: $(cat -A out)"
import re, sys
text = open(sys.argv[1], encoding="utf-8").read()
run = r"\033\[38;2;([0-9;]+)m(█+)\033\[m"
legend = re.search(r"^ *take (.*)\(newest", text, re.M).group(1)
number_of = {colour: int(number)
             for colour, _, number in re.findall(run + r" (\d+) ", legend)}
assert sorted(number_of.values()) == [1, 2, 3, 4, 5], number_of
row = re.search(r"^ +256K (.*)$", text, re.M).group(1)
assert [(number_of[colour], len(bar)) for colour, bar in re.findall(run, row)] == \
    [(3, 6), (5, 1), (3, 57)], row
EOF
TERM=xterm NO_COLOR=1 on_terminal "$BLKSNAP" map map >out
! grep -q $'\033' out || fail "colours in spite of NO_COLOR"

# Sums of a large and busy one, take by take, against those of Python.
python3 "$here/maps.py" busy $(((5 << 30) - 1000)) 65536 40
"$BLKSNAP" map --json --since 11 busy >out
python3 - out <<'EOF' || fail "other sums"
import json, sys
told = json.load(open(sys.argv[1]))
blocks = open("busy", "rb").read()[64:]
sums = {}
for i, number in enumerate(blocks):
    if number > 11:
        length = min(65536, told["device_capacity"] - i * 65536)
        sums[number] = sums.get(number, 0) + length
assert told["device_capacity"] == (5 << 30) - 1000
assert {t["number"]: t["changed_bytes"] for t in told["takes"]} == sums
assert told["changed_bytes"] == sum(sums.values()) > 0
EOF

# Unknown never looks unchanged.
refused "nobody can tell" --since 6 map
refused "nobody can tell" --since "00000000-0000-0000-0000-000000000000.1" map
refused "neither the number of a take nor a checkpoint" --since soon map
head -c 100 map >short
refused "is cut short" short
refused "open nowhere" nowhere
truncate -s 5000 other.img
refused "has 5000 bytes" --image other.img map
refused "a map alone has no files" --files=3 map

# Two things into standard output would be neither; one, and files, are well.
refused '--html - and --json would both write' map --html - --json
refused '--svg - and --html - would both write' map --html - --svg -
refused '--png - and --html - would both write' none --html - --png - --svg file.svg
[ ! -e file.svg ] || fail "refused, but drawn"
"$BLKSNAP" map map --html - --svg file.svg >out
grep -qi "^<!doctype html" out && [ -s file.svg ] || fail "one picture, and one file"
"$BLKSNAP" map map --html file.html --json | jq -e .block_size >/dev/null || fail "no JSON"

#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# At any instant, while a backup or a prune runs, something ends: the program,
# one of QEMU's that it has started, the server, or the connection to it. No
# point is lost or claims what it does not hold, and what comes next heals it.
# RUNS of them, 8 unless told; SEED: as an earlier run has printed. How many were
# whole before anything ended is told, and no verdict: it is a matter of time.
. "$(dirname "$0")/functions.sh"
requires socat
: "${RUNS:=8}"
RANDOM=${SEED:=$RANDOM}
echo "SEED=$SEED"

new_disk $((24 << 20))
serve
# The connection that is cut.
relay() {
    rm -f relay.sock
    socat UNIX-LISTEN:relay.sock,fork UNIX-CONNECT:socket 2>/dev/null &
    relay=$!
    wait_for listens relay.sock
}
relay_uri='nbd+unix:///disk?socket=relay.sock'

# What the disk was at each instant that was backed up, by point.
declare -A truth=()
instant=0
note_point() {
    cp --sparse=always disk.raw "at.$instant"
    truth[$1]=at.$instant
}
# Each point that is listed holds what it was made from; those in $@ are listed.
check() {
    local name
    "$BLKSNAP" list --json repo >listed || fail "the list"
    for name; do
        jq -e --arg name "$name" 'any(.points[]; .point == $name)' listed >/dev/null ||
            fail "point $name was lost"
    done
    for name in $(jq -r '.points[].point' listed); do
        # One that was made, and nobody was told.
        [ -n "${truth[$name]:-}" ] || note_point "$name"
        qemu-img compare -q -U -f qcow2 -F raw "repo/$name/disk.qcow2" \
            "${truth[$name]}" || fail "point $name is not what it was made from"
    done
    healthy
}
all() { "$BLKSNAP" list --json repo | jq -r '.points[].point'; }

# The processes of QEMU below the program, as they are now.
children() { pgrep -P "$program" -f '^(/usr/bin/)?qemu-(nbd|img)' || :; }
end_something() {
    local some
    case $1 in
    program) kill -KILL "$program" ;;
    child)
        mapfile -t some < <(children)
        [ ${#some[@]} -eq 0 ] || kill -KILL "${some[RANDOM % ${#some[@]}]}"
        ;;
    server)
        kill -KILL "${servers[0]}"
        ;;
    connection) pkill -KILL -P $relay || : ;;
    esac 2>/dev/null || :
}

began=$(date +%s%3N)
"$BLKSNAP" backup -q "$uri" --to repo >/dev/null
usual=$(($(date +%s%3N) - began)) # milliseconds: how long it takes
note_point "$(point)"
ends=(program child server connection)
declare -A ended=([whole]=0)
for ((run = 1; run <= RUNS; run++)); do
    kept=$(all)
    verb=(backup -q "$relay_uri" --to repo)
    if ((RANDOM % 4 == 0)); then
        verb=(prune -q --keep-last $((1 + RANDOM % 3)) repo)
        kept=$(all | tail -n "${verb[3]}")
    else
        # Seldom from the beginning, and never of nothing.
        ((RANDOM % 6)) || verb+=(--full)
        instant=$((instant + 1))
        stop
        next_instant $((SEED + run)) >/dev/null
        serve
    fi
    relay
    what=${ends[RANDOM % 4]}
    delay=$((RANDOM % usual))
    began=$(date +%s%3N)
    "$BLKSNAP" "${verb[@]}" >out 2>err &
    program=$!
    sleep "$(printf '%d.%03d' $((delay / 1000)) $((delay % 1000)))"
    end_something "$what"
    status=0
    wait $program || status=$?
    took=$(($(date +%s%3N) - began))
    case $status in
    0)
        ended[whole]=$((ended[whole] + 1))
        usual=$(((usual + took) / 2))
        ;;
    137) [ "$what" = program ] || fail "run $run: $what, and it was killed" ;;
    1) ;;
    *) fail "run $run: status $status: $(cat err)" ;;
    esac
    ended[$what]=$((${ended[$what]:-0} + 1))
    ! grep -v '^blksnap: ' err || fail "not a sentence of blksnap: $(cat err)"
    kill -KILL $relay 2>/dev/null || :
    wait $relay 2>/dev/null || :
    if [ "$what" = server ]; then
        wait "${servers[0]}" || :
        servers=()
        serve
    fi
    # shellcheck disable=SC2086  # a word each
    check $kept
    # And the next one is as if nothing had been.
    if [ "${verb[0]}" = prune ]; then
        "$BLKSNAP" "${verb[@]}" >/dev/null || fail "the next prune"
        [ "$(points)" -eq "$(wc -w <<<"$kept")" ] || fail "points after prune"
    else
        "$BLKSNAP" backup -q "$uri" --to repo >/dev/null || fail "the next backup"
    fi
    [ -z "$(find repo -name '*.partial')" ] || fail "something was left"
    check
    (($(points) < 8)) || "$BLKSNAP" prune -q --keep-last 3 repo >/dev/null
done
for what in "${!ended[@]}"; do echo "$what: ${ended[$what]}"; done

#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The removal of points breaks: at any call, killed or failing, and while images
# are merged. What is to stay reads the same at any time, and the next run, also
# one of a backup, goes on. With VM_SCALE at more calls, and more often.
. "$(dirname "$0")/functions.sh"
: "${FAULT:?the library that makes calls fail}"
! is_sanitized "$BLKSNAP" || skip "built with a sanitizer"
: "${VM_SCALE:=1}"

# all/ with points of two disks; the contents are at.N and second.N.
new_disk $((3 << 20))
for n in 1 2 3 4; do
    [ $n = 1 ] || next_instant >/dev/null
    serve
    blksnap 0 backup "$uri" "$uri" --name disk --name second --to repo
    stop
    cp --sparse=always disk.raw at.$n
done
mv repo all
mapfile -t names < <("$BLKSNAP" list --json all | jq -r '.points[].point')

# good KEPT... : these points, by their numbers, have what they had.
good() {
    local n disk
    for n; do
        for disk in disk second; do
            qemu-img compare -q -U -f qcow2 -F raw \
                "repo/${names[n - 1]}/$disk.qcow2" at."$n" ||
                fail "point $n of $disk has changed"
        done
    done
    healthy
    # Neither point that is to go is a half one.
    "$BLKSNAP" list --json repo | jq -r '.points[].point' >left
    for n; do grep -qx "${names[n - 1]}" left || fail "point $n was lost"; done
}
goal=$(printf '%s\n' "${names[1]}" "${names[3]}")
# finished : nothing is left of what is to go.
finished() {
    [ "$("$BLKSNAP" list --json repo | jq -r '.points[].point')" = "$goal" ] ||
        fail "points: $(cat left)"
    [ "$(find repo -mindepth 1 -maxdepth 1 -type d | wc -l)" -eq 2 ] ||
        fail "left: $(ls repo)"
    good 2 4
}
prune=(prune -q repo --point "${names[0]}" --point "${names[2]}")

# walk ERRNO STATUS : 0 to be killed
walk() {
    local n=1 breaks=0 status
    while :; do
        rm -rf repo
        cp -r --sparse=always all repo
        status=0
        FAULT_AT=$n FAULT_ERRNO=$1 FAULT_COUNT=count LD_PRELOAD=$FAULT \
            "$BLKSNAP" "${prune[@]}" >out 2>err || status=$?
        if [ "$1" = 0 ]; then
            [ $status = 137 ] || break
        else
            [ "$(cat count)" -ge $n ] || break
            [ $status = 1 ] || [ $status = 0 ] || fail "status $status: $(cat err)"
        fi
        [ $status = 0 ] || breaks=$((breaks + 1))
        good 2 4
        # Whoever comes next: another prune, or a backup.
        if [ $((breaks % 2)) = 0 ]; then
            serve
            blksnap 0 backup -q --incremental "$uri" "$uri" --name disk \
                --name second --to repo
            stop
            good 2 4
            blksnap 0 prune -q repo --point "$(point)"
        fi
        "$BLKSNAP" list --json repo | jq -r '.points[].point' >left
        for point in "${names[0]}" "${names[2]}"; do
            ! grep -qx "$point" left ||
                blksnap 0 prune -q repo --point "$point"
        done
        [ -z "$(find repo -name '*removed*' -o -name '*.partial')" ] || {
            # Begun, but neither of the two was a point any more.
            serve
            blksnap 0 backup -q "$uri" "$uri" --name disk --name second --to repo
            stop
            blksnap 0 prune -q repo --point "$(point)"
        }
        finished
        n=$((n + 1 + n / VM_SCALE))
    done
    [ $breaks -ge $((VM_SCALE > 1 ? 10 : 6)) ] || fail "only $breaks breaks: this test shows little"
}
walk 0
walk 28

# While QEMU's program merges: it is killed, fails, or we are.
mkdir bin
path=$PATH
for script in 'kill -9 $PPID; kill -9 $$' 'echo "disk full" >&2; exit 1' \
    'timeout -s KILL 0.01 /usr/bin/qemu-img "$@"; exit 1' \
    '/usr/bin/qemu-img "$@"; kill -9 $PPID'; do
    # shellcheck disable=SC2016
    printf '#!/bin/bash\n[ "$1" = commit ] || exec /usr/bin/qemu-img "$@"\n%s\n' \
        "$script" >bin/qemu-img
    chmod +x bin/qemu-img
    for _ in $(seq "$VM_SCALE"); do
        rm -rf repo
        cp -r --sparse=always all repo
        status=0
        (
            export PATH=$PWD/bin:$path
            exec "$BLKSNAP" "${prune[@]}" >out 2>err
        ) || status=$?
        [ $status != 0 ] || fail "it did not break: $script"
        good 2 4
        # The point is gone, or being removed; it does not come back.
        "$BLKSNAP" list --json repo | jq -r '.points[].point' >left
        ! grep -qx "${names[0]}" left || fail "the point is still there"
        PATH=$path blksnap 0 prune -q repo --point "${names[2]}"
        finished
    done
done

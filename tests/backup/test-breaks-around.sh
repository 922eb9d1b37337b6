#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The server goes away, QEMU's programs do, the disk is full: each is told, and
# the points that there were stay.
. "$(dirname "$0")/functions.sh"
requires nbdkit

new_disk $((8 << 20))
serve
blksnap 0 backup "$uri" --to repo
stop
cp disk.raw at.1
next_instant >/dev/null

# broken TEXT ARG... : such a backup fails, with these words, and leaves nothing.
broken() {
    local text=$1
    shift
    blksnap 1 backup "$@" --to repo
    says err "$text"
    says err 'no point was made'
    [ "$(points)" -eq 1 ] || fail "a point came to be"
    [ -z "$(find repo -name '*.partial')" ] || fail "something was left"
    [ -z "$(pgrep -P $$ -x qemu-nbd)" ] || fail "a child was left"
    healthy
}

# The server dies in the middle. ($PPID is nbdkit.)
# shellcheck disable=SC2016
nbdkit -f -U "$PWD/dying.sock" eval get_size='echo 8M' \
    pread='[ $4 -lt 4194304 ] || kill -9 $PPID
           dd if=/dev/urandom count=$3 iflag=count_bytes 2>/dev/null' &
servers+=($!)
wait_for listens dying.sock
broken 'nbd+unix:///?socket=dying.sock' --name disk \
    'nbd+unix:///?socket=dying.sock'

# with NAME SCRIPT : that is what NAME is in PATH.
with() {
    mkdir -p bin
    printf '#!/bin/bash\n%s\n' "$2" >"bin/$1"
    chmod +x "bin/$1"
}
serve
path=$PATH
PATH=$PWD/bin:$path
with qemu-nbd 'echo "no server today" >&2; exit 1'
blksnap 1 backup "$uri" --to repo
says err 'qemu-nbd failed: no server today'
with qemu-img 'echo "no images today" >&2; exit 1'
blksnap 1 backup "$uri" --to repo
says err 'qemu-img failed: no images today'
rm bin/qemu-img
# Dies of too large a file, in the middle.
with qemu-nbd 'ulimit -f 700; exec /usr/bin/qemu-nbd "$@"'
[ -x /usr/bin/qemu-nbd ] || skip "qemu-nbd is elsewhere"
blksnap 1 backup "$uri" --full --to repo
says err 'disk.qcow2'
PATH=$path
[ "$(points)" -eq 1 ] || fail "a point came to be"
healthy
PATH=/nowhere blksnap 1 backup "$uri" --to repo
says err 'there is no such program in PATH'

blksnap 0 backup --incremental "$uri" --to repo
holds "$(point 1)" at.1
holds "$(point 2)" disk.raw

# One is killed, and something that it has started lives on and may write: the
# next one waits for that.
# shellcheck disable=SC2016
with qemu-nbd '(touch started
    while [ ! -e go ]; do sleep 0.05; done
    ls repo >seen) &
exec /usr/bin/qemu-nbd "$@"'
stop
next_instant >/dev/null
serve
PATH=$PWD/bin:$path "$BLKSNAP" backup -q --rate 64K "$uri" --to repo &
killed=$!
wait_for test -e started
kill -KILL $killed
wait $killed || :
"$BLKSNAP" backup -q "$uri" --to repo >/dev/null &
next=$!
waits() { grep -q -- "-> FLOCK .* $next " /proc/locks; }
wait_for waits
[ "$(points)" -eq 2 ] || fail "it did not wait"
touch go
wait $next || fail "the one that waited ended with $?"
grep -q '\.partial$' seen || fail "it took away what may be written to: $(cat seen)"
[ -z "$(find repo -name '*.partial')" ] || fail "something was left"
holds "$(point 3)" disk.raw
healthy

# As many open files as a long chain needs, though few are usual.
stop
rm -rf repo
program=$BLKSNAP
printf '#!/bin/bash\nulimit -Sn 24\nexec "%s" "$@"\n' "$program" >bin/with-few
chmod +x bin/with-few
BLKSNAP=$PWD/bin/with-few
new_disk $((1 << 20))
for n in $(seq 16); do
    [ "$n" = 1 ] || next_instant >/dev/null
    serve
    blksnap 0 backup -q "$uri" --to repo
    stop
done
holds "$(point)" disk.raw
healthy
BLKSNAP=$program

# Who started it does not want it to end by a hang-up.
rm -rf repo
new_disk $((8 << 20))
serve
(
    trap '' HUP
    exec "$BLKSNAP" backup -q --rate 4M "$uri" --to repo
) >out 2>err &
pid=$!
wait_for eval "find repo -path '*.partial/disk.sums' | grep -q ."
kill -HUP $pid
wait $pid || fail "it ended with $?: $(cat err)"
holds "$(point)" disk.raw
stop

# As many points as QEMU can find one through the other: a long path makes that
# few. Before it fails there is a full backup, and all of them can be read, also
# if the path becomes longer.
deep=$PWD
for _ in $(seq 16); do deep+=/$(printf '%0200d' 0); done
mkdir -p "$deep"
for n in $(seq 25); do
    [ "$n" = 1 ] || next_instant >/dev/null
    serve
    blksnap 0 backup "$uri" --to "$deep/repo"
    stop
    ! grep -q 'which is as many as QEMU can follow' err || break
done
says err 'full backup: the newest point stands on'
[ "$n" -gt 5 ] || fail "after $n points already"
mv "$deep/repo" "$deep/$(printf '%0200d' 0)"
"$BLKSNAP" verify -q "$deep/$(printf '%0200d' 0)" || fail "it cannot be read"
next_instant >/dev/null
serve
blksnap 0 backup --incremental "$uri" --to "$deep/$(printf '%0200d' 0)"

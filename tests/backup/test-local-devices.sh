#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Devices of this machine: one server of ours takes one snapshot of all of them,
# and is gone when the backup is, however that ends.
. "$(dirname "$0")/functions.sh"
requires nbdkit flock

# A stand-in beside a copy of blksnap, which runs the one that is beside it.
mkdir bin
cp "$BLKSNAP" bin/blksnap
BLKSNAP=$PWD/bin/blksnap
# stand_in COMMAND... : it notes its words and its process.
stand_in() {
    cat >bin/blksnap-nbd <<EOF
#!/bin/bash
printf '%s\n' "\$@" >'$PWD/words'
echo \$\$ >'$PWD/server.pid'
$*
EOF
    chmod +x bin/blksnap-nbd
    rm -f words server.pid
}
gone() { ! kill -0 "$(cat server.pid)" 2>/dev/null; }
backup_vdx() {
    blksnap "$1" backup /dev/vdx --diff /var/tmp --limit 1G --to repo
}

new_disk $((4 << 20))
stand_in exec "$BLKSNAP_NBD" file="$PWD/disk.raw" name=vdx cbt="$PWD/map"
backup_vdx 0
printf '%s\n' device=/dev/vdx diff=/var/tmp limit=1G --log-level=error |
    diff - words
gone || fail "the server is there still"
holds "$(point)" disk.raw vdx
[ "$(manifest .source)" = /dev/vdx ] || fail "source"
next_instant >/dev/null
backup_vdx 0
[ "$(manifest .kind)" = incremental ] || fail "kind"
holds "$(point)" disk.raw vdx

# Two, and an export of somebody else's: one server, one point.
mkdir devices
cp disk.raw devices/vdx
cp disk.raw devices/vdy
printf x | dd of=devices/vdy conv=notrunc status=none
stand_in exec nbdkit -f file dir="$PWD/devices"
serve
blksnap 0 backup /dev/vdx "$uri" /dev/mapper/vdy --diff d --limit 1 --to repo
printf '%s\n' device=/dev/vdx device=/dev/mapper/vdy diff=d limit=1 \
    --log-level=error |
    diff - words
[ "$(jq -c '[.disks[].name]' "repo/$(point)/manifest.json")" = \
    '["vdx","disk","vdy"]' ] || fail "disks"
holds "$(point)" devices/vdy vdy
healthy

# Two whose names end alike, and one with a character that URIs have a use for:
# the server calls them by more of their paths, and is asked for that.
mkdir named
cp disk.raw named/vg1-root
cp devices/vdy named/vg2-root
cp disk.raw 'named/a#%b'
stand_in exec nbdkit -f file dir="$PWD/named"
blksnap 0 backup /dev/vg1/root /dev/vg2/root '/dev/a#%b' --name vg1-root \
    --name vg2-root --name c --diff d --limit 1 --to repo
holds "$(point)" named/vg1-root vg1-root
holds "$(point)" named/vg2-root vg2-root
holds "$(point)" 'named/a#%b' c
blksnap 0 backup /dev/vg1/root /dev/vg2/root --diff d --limit 1 --to repo
[ "$(jq -c '[.disks[].name]' "repo/$(point)/manifest.json")" = \
    '["vg1-root","vg2-root"]' ] || fail "disks"
healthy
before=$(points)

# It cannot take the snapshot.
stand_in 'echo "device=/dev/vdx: no filter" >&2; exit 1'
backup_vdx 1
says err 'blksnap: blksnap-nbd failed: device=/dev/vdx: no filter; nbd'

# The image dies under the copy: its server knows why, and goes on. nbdkit itself
# would add a line for each read that it lets fail, and only the last lines are kept.
stand_in 'echo "2026-11-22 01:02:03.004 blksnap error: vdx: it is corrupted" >&2
    exec nbdkit -f --filter=error pattern 4M error=EIO error-pread-rate=100% 2>/dev/null'
backup_vdx 1
says err 'Input/output error; the server says: vdx: it is corrupted'
gone || fail "the server is there still"
[ "$(points)" -eq "$before" ] || fail "a point came to be"

# No snapshot for a repository that cannot be written to.
mkdir others
touch others/file
blksnap 1 backup /dev/vdx --diff /var/tmp --limit 1G --to others
says err 'not a repository, and not empty'
stand_in 'exit 1'
# shellcheck disable=SC2016
flock repo/lock sh -c 'echo "$$ somebody" >repo/lock
    "$0" backup /dev/vdx --diff d --limit 1 --to repo 2>err' \
    "$BLKSNAP" && fail "two at a time"
says err 'one writer at a time'
[ ! -e words ] || fail "a snapshot was taken"

# blksnap is killed, or ended, in the middle: so is the server.
stand_in exec nbdkit -f --filter=delay pattern 64M rdelay=1
for signal in KILL TERM; do
    rm -rf server.pid repo/*.partial
    "$BLKSNAP" backup /dev/vdx --diff d --limit 1 --to repo >out 2>err &
    pid=$!
    servers+=("$pid")
    wait_for eval "find repo -path '*.partial/vdx.sums' | grep -q ."
    kill -$signal $pid
    status=0
    wait $pid || status=$?
    wait_for gone
    echo "$signal $status" >>ended
done
diff - ended <<<'KILL 137
TERM 1' || fail "exit status"
says err 'interrupted'
[ "$(points)" -eq "$before" ] || fail "a point came to be"
[ -z "$(find repo -name '*.partial')" ] || fail "something was left"
healthy

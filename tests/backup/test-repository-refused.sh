#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# What is no repository is left alone; one writer at a time; names that are safe.
. "$(dirname "$0")/functions.sh"
requires flock

new_disk $((1 << 20))
serve
mkdir home
echo precious >home/file
blksnap 1 backup "$uri" --to home
says err "not a repository, and not empty: it has 'file'"
[ "$(ls -A home)" = file ] || fail "something came to be: $(ls -A home)"
blksnap 1 list home
says err 'not a repository'
blksnap 1 list nowhere
says err 'No such file or directory'
blksnap 1 verify home
blksnap 1 restore home --to x.raw
[ ! -e x.raw ] || fail "a file came to be"
blksnap 1 backup "$uri" --to no/such/folder
says err 'No such file or directory'

# What a break in the making of one leaves is no reason to refuse.
mkdir repo
touch repo/lock repo/blksnap-repository.json.123.tmp
blksnap 0 backup "$uri" --to repo
[ "$(points)" -eq 1 ] || fail "no point"
echo '{"format": 3}' >home/blksnap-repository.json
blksnap 1 backup "$uri" --to home
says err 'of a format that is not known'

exec 9<>repo/lock
flock 9
echo "$$ somebody" >&9
blksnap 1 backup "$uri" --to repo
says err "repo/lock is held by process $$ somebody"
blksnap 0 list repo
blksnap 0 verify -q repo
exec 9>&-

for name in '' . .. .x -x a/b 'a b' 'a,b' ä "$(printf '%065d' 0)"; do
    blksnap 1 backup --name="$name" "nbd+unix:///?socket=nowhere" --to repo
done
for name in .x a/b; do
    blksnap 1 backup --name="$name" "$uri" --to repo
    says err "--name '$name': letters, digits"
done
blksnap 1 backup --name x --name y "$uri" --to repo
says err 'more --name than SOURCE'
blksnap 1 backup "$uri" "$uri" --to repo
says err 'two of the disks are called disk'
blksnap 1 backup --rate 0 "$uri" --to repo
blksnap 1 backup --rate x "$uri" --to repo
blksnap 1 backup /dev/null --to repo
says err 'a snapshot of a device needs --diff and --limit'
blksnap 1 backup --diff /tmp "$uri" --to repo
says err 'no SOURCE is one'
truncate -s 1000 odd.raw
kill "${servers[0]}"
wait "${servers[0]}" || :
servers=()
"$BLKSNAP_NBD" -U odd.sock -P odd.pid file=odd.raw name=odd 2>>server.log &
servers+=($!)
wait_for test -e odd.pid
blksnap 1 backup 'nbd+unix:///odd?socket=odd.sock' --to repo
says err 'is not a multiple of 512'
[ "$(points)" -eq 1 ] || fail "points"

# A damaged point is passed over, and told; its name is not used again.
mkdir repo/20990101T000000Z
echo '{"format": 1, "disks": [{"name": "../../etc"}]}' \
    >repo/20990101T000000Z/manifest.json
serve
blksnap 1 list repo
says err 'damaged:'
blksnap 0 backup "$uri" --to repo
says err 'a damaged point is passed over'
says out 'point=20990101T000000Z-2'
blksnap 1 verify repo
says out 'bad: '

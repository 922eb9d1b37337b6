#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Points are removed from the beginning, the middle and the end; all others stay
# what they were, and so do backups that go on from them.
. "$(dirname "$0")/functions.sh"
requires flock

declare -A content=() # of each point, a file
instants=0
# step [ARG...] : the next instant, and a point of it.
step() {
    next_instant >/dev/null
    serve
    blksnap 0 backup "$uri" --to repo "$@"
    stop
    remember
}
remember() {
    instants=$((instants + 1))
    cp --sparse=always disk.raw at.$instants
    content[$(point)]=at.$instants
}
all_hold() {
    local name
    for name in $("$BLKSNAP" list --json repo | jq -r '.points[].point'); do
        holds "$name" "${content[$name]}"
    done
    healthy
    # Nothing but points is left, and no image stands on what is not there.
    [ "$(find repo -mindepth 1 -maxdepth 1 -type d | wc -l)" -eq "$(points)" ] ||
        fail "left: $(ls repo)"
}
# prune STATUS ARG...
prune() {
    local status=$1
    shift
    blksnap "$status" prune repo "$@"
}
kinds() { "$BLKSNAP" list --json repo | jq -r '[.points[].disks[0].kind[:1]] | join("")'; }

new_disk $((6 << 20))
serve
blksnap 0 backup "$uri" --to repo
stop
remember
for _ in 2 3 4 5; do step; done
step --compress
step
step --full
step
[ "$(kinds)" = fiiiiiifi ] || fail "$(kinds)"
all_hold

# One of the middle: its child stands on its parent now, and says so.
before=$(point 3) child=$(point 5)
since=$(jq -r '.disks[0].since' "repo/$(point 4)/manifest.json")
cp "repo/$child/manifest.json" child.json
prune 0 --point "$(point 4)"
[ "$(points)" -eq 8 ] || fail "points"
[ "$(jq -r '.disks[0] | "\(.parent) \(.since)"' "repo/$child/manifest.json")" = \
    "$before $since" ] || fail "$(cat "repo/$child/manifest.json")"
# It is the same content, and the same checkpoint.
for field in content checkpoint size; do
    [ "$(jq ".disks[0].$field" child.json)" = \
        "$(jq ".disks[0].$field" "repo/$child/manifest.json")" ] || fail "$field"
done
[ "$(qemu-img info --output=json "repo/$child/disk.qcow2" |
    jq -r '."backing-filename"')" = "../$before/disk.qcow2" ] || fail "backing"
all_hold

# The full one: what stood on it is full, and stands on nothing.
prune 0 --point "$(point 1)"
[ "$(kinds)" = fiiiifi ] || fail "$(kinds)"
[ "$(jq '.disks[0].parent' "repo/$(point 1)/manifest.json")" = null ] ||
    fail "parent"
all_hold

# The newest: the next backup goes on from the one before it, whose checkpoint
# it asks for.
prune 0 --point "$(point)"
step
says err 'what changed since'
[ "$(kinds)" = fiiiifi ] || fail "$(kinds)"
all_hold

# Several in a row, up to a full one; and as JSON.
gone=("$(point 2)" "$(point 3)" "$(point 4)" "$(point 5)")
prune 0 --json --point "${gone[0]}" --point "${gone[1]}" --point "${gone[2]}" \
    --point "${gone[3]}"
[ "$(jq -c '[(.removed | length), (.kept | length), .dry_run]' out)" = \
    '[4,3,false]' ] || fail "$(cat out)"
[ "$(kinds)" = ffi ] || fail "$(kinds)"
all_hold

# By what is to be kept.
for _ in 1 2 3; do step; done
prune 0 --dry-run --keep-last 2
[ "$(grep -c '^would remove ' out)" -eq 4 ] || fail "$(cat out)"
[ "$(points)" -eq 6 ] || fail "a dry run has removed something"
prune 0 --keep-last 2
[ "$(grep -c '^removed ' out)/$(grep -c '^kept ' out)" = 4/2 ] || fail "$(cat out)"
[ "$(kinds)" = "fi" ] || fail "$(kinds)"
all_hold
step
[ "$(kinds)" = fii ] || fail "$(kinds)"
all_hold

# Who reads a point keeps it, and what it stands on.
mkfifo gate
for reader in 1 2; do
    flock --shared "repo/$(point $reader)" sh -c 'touch reading; read -r _ <gate' &
    wait_for test -e reading
    prune 1 --point "$(point 1)"
    says err 'not all was removed: '
    says err 'is being read'
    [ "$(grep -c '^kept ' out)" -eq 3 ] || fail "$(cat out)"
    [ "$(points)" -eq 3 ] || fail "it was removed while it was read"
    echo >gate
    wait $!
    rm reading
done

# What can go goes, and that is told.
cp -r repo several
middle=$(point 2)
flock --shared "repo/$(point 3)" sh -c 'touch reading; read -r _ <gate' &
wait_for test -e reading
serve
blksnap 0 backup --full "$uri" --to repo
newest=$(point)
blksnap 0 backup --full "$uri" --to repo
stop
prune 1 --json --point "$newest" --point "$middle"
[ "$(jq -r '.removed[]' out)" = "$newest" ] || fail "$(cat out)"
[ "$(jq -c '[(.kept | length), (.failed | length)]' out)" = '[4,1]' ] || fail "$(cat out)"
echo >gate
wait $!
rm -r reading repo
mv several repo

# A program that has an image open: nothing is begun.
qemu-nbd -k "$PWD/reader.sock" -r -t -f qcow2 "repo/$(point 2)/disk.qcow2" &
servers+=($!)
wait_for listens reader.sock
prune 1 --point "$(point 1)"
says err 'lock'
stop
[ "$(points)" -eq 3 ] || fail "it has begun"
all_hold

# Bad arguments, and what would leave nothing.
prune 1
says err 'what is to be kept'
prune 1 --keep-last 1 --point "$(point)"
says err 'exclude each other'
prune 1 --point 20200101T000000Z
says err "there is no point '20200101T000000Z'"
prune 1 --point "$(point 1)" --point "$(point 2)" --point "$(point 3)"
says err 'no point would be left'
blksnap 1 prune nowhere --keep-last 1
says err 'No such file or directory'
mkdir other
blksnap 1 prune other --keep-last 1
says err 'not a repository'
[ -z "$(ls other)" ] || fail "something was made in it"
# Nobody knows what a damaged one stands on.
damaged=repo/$(point 2)/manifest.json
cp "$damaged" good.json
echo '{' >"$damaged"
prune 1 --point "$(point 1 2>/dev/null)"
says err 'a point is damaged, and nothing is removed'
cp good.json "$damaged"
all_hold
# A point that somebody moved to another file system: nothing of it can be renamed, and
# nothing has begun.
elsewhere=$(mktemp -d /dev/shm/blksnap-XXXXXX)
trap 'rm -rf "$elsewhere"; cleanup' EXIT
first=$(point 1)
if [ "$(stat -c %d "$elsewhere")" != "$(stat -c %d repo)" ]; then
    mv "repo/$first" "$elsewhere"
    ln -s "$elsewhere/$first" "repo/$first"
    for named in "$first" "$(point 2)"; do
        before=$(find -L repo -type f -not -name lock -exec sha256sum {} + | sort)
        if [ "$named" = "$first" ]; then
            prune 1 --point "$named"
            says err "repo/$first is not a directory on the repository's own file system"
            [ "$before" = "$(find -L repo -type f -not -name lock -exec sha256sum {} + |
                sort)" ] || fail "it has begun"
        else
            prune 0 --point "$named"
        fi
        healthy
    done
    holds "$first" "${content[$first]}"
fi

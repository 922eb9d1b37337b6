#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Files of a repository that are not what its manifests say: nothing else is
# read, written, or built upon.
. "$(dirname "$0")/functions.sh"

new_disk $((6 << 20))
back_up_times 3
serve
mv repo good
mapfile -t names < <("$BLKSNAP" list --json good | jq -r '.points[].point')
first=${names[0]} second=${names[1]}
# fresh : a copy in ./repo.
fresh() {
    rm -rf repo
    cp -r --sparse=always good repo
}
# useless WHY [POINT] : nothing is read through the point, not even for an
# increment; other commands say why.
useless() {
    rm -f no.raw
    blksnap 1 restore repo --point "${2:-$second}" --to no.raw
    says err "point ${2:-$second}, disk disk is damaged: $1"
    [ ! -e no.raw ] || fail "something was restored"
    blksnap 1 export repo --point "${2:-$second}" -U sock
    says err "point ${2:-$second}, disk disk is damaged: $1"
    blksnap 3 backup --incremental "$uri" --to repo
    says err "no incremental backup: point ${names[2]} is damaged: "
    blksnap 1 verify repo
    says out "bad: ${2:-$second} disk $1"
}

# An image that stands on a file of others.
head -c 6M < <(yes 'of nobody here') >victim
sha256sum victim >victim.sum
fresh
qemu-img rebase -u -b "$PWD/victim" -F raw "repo/$second/disk.qcow2"
useless "the image stands on '$PWD/victim', not on '../$first/disk.qcow2'"
for point in "$first" "$second"; do
    blksnap 1 prune repo --point "$point"
    says err "disk disk is damaged: "
done
[ "$(points)" -eq 3 ] || fail "a point was removed"
sha256sum --quiet -c victim.sum
qemu-img rebase -u -b "../$first/disk.qcow2" -F qcow2 "repo/$second/disk.qcow2"
holds "$second" at.2

# One that has its data elsewhere.
fresh
qemu-img create -q -f qcow2 -o "data_file=$PWD/data,data_file_raw=on" \
    "repo/$first/disk.qcow2" 6M
useless "the image has its data in another file, '$PWD/data'" "$first"

# Names that nobody may follow, since no answer would come or another machine gave it:
# a fifo, a device without an end, a socket.
mkfifo fifo
python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind("plain.sock")'
hostile=0
for backing in "$PWD/fifo" 'nbd+unix:///?socket=plain.sock' \
    'json:{"driver": "raw", "file": {"driver": "host_device", "filename": "/dev/zero"}}'; do
    fresh
    qemu-img rebase -u -b "$backing" -F raw "repo/$second/disk.qcow2"
    useless "the image stands on '$backing', not on"
    blksnap 1 verify repo
    says out "bad: $second disk the image stands on '$backing'"
    hostile=$((hostile + 1))
done
# The same in the place of each file. (QEMU looks at more than its name says.)
for thing in fifo plain.sock /dev/zero "good/$second/disk.qcow2" nowhere; do
    for file in disk.qcow2 disk.sums manifest.json; do
        [[ $thing != *qcow2 || $file = *qcow2 ]] || continue
        fresh
        ln -sf "$(realpath "$thing")" "repo/$second/$file"
        blksnap 1 verify repo
        says out "bad: $second "
        says out "repo/$second/$file is not a plain file"
        rm -f no.raw
        blksnap 1 restore repo --point "$second" --to no.raw
        says err "$file is not a plain file"
        blksnap 0 backup "$uri" --to repo
        [ "$(manifest .kind)" = full ] || fail "an increment on $thing as $file"
        hostile=$((hostile + 1))
    done
done
fresh
rm "repo/$second/disk.sums"
mkfifo "repo/$second/disk.sums"
blksnap 1 verify repo
says out "disk.sums is not a plain file"
for file in blksnap-repository.json lock; do
    fresh
    rm "repo/$file"
    mkfifo "repo/$file"
    blksnap 1 backup "$uri" --to repo
    says err "$file is not a plain file"
done
[ $hostile -ge 15 ] || fail "$hostile"
# A folder that is a link: from there ../PARENT is another one.
fresh
mkdir -p "away/$first"
mv "repo/$second" away
ln -s "$PWD/away/$second" "repo/$second"
useless "$PWD/repo/$second is a symbolic link"
# No image, and half a one.
fresh
head -c 100 "good/$second/disk.qcow2" >"repo/$second/disk.qcow2"
useless "$PWD/repo/$second/disk.qcow2: the header of the image makes no sense"
echo text >"repo/$second/disk.qcow2"
useless "$PWD/repo/$second/disk.qcow2 is no qcow2 image"

# A copy whose images were made to stand on those of the original.
fresh
qemu-img rebase -u -b "$PWD/good/$first/disk.qcow2" -F qcow2 "repo/$second/disk.qcow2"
(cd good && find . -type f -not -name lock -exec sha256sum {} +) >good.sum
useless "the image stands on '$PWD/good/$first/disk.qcow2', not on"
blksnap 1 prune repo --point "$first"
(cd good && sha256sum --quiet -c ../good.sum)

# Image and digests of another disk, which agree with each other.
fresh
mv repo ours
stop
mv disk.raw disk.ours
mv map map.ours
new_disk $((6 << 20))
next_instant 77 >/dev/null
serve
blksnap 0 backup "$uri" --to repo
mv repo others
stop
mv disk.ours disk.raw
mv map.ours map
serve
mv ours repo
cp others/*Z/disk.{qcow2,sums} "repo/$first/"
useless 'disk.sums does not have the digests of the manifest'
blksnap 0 backup "$uri" --to repo
says err "full backup: point ${names[2]} is damaged: disk.sums does not have the"
holds "$(point)" disk.raw

# The child of a point that is being removed cannot be read: who knows.
fresh
mkdir bin
# shellcheck disable=SC2016
printf '#!/bin/bash\n[ "$1" = commit ] || exec /usr/bin/qemu-img "$@"\nkill -9 $PPID\n' \
    >bin/qemu-img
chmod +x bin/qemu-img
status=0
PATH=$PWD/bin:$PATH "$BLKSNAP" prune -q repo --point "$first" 2>err || status=$?
[ $status = 137 ] || fail "it was not killed: $(cat err)"
[ -e "repo/$first/manifest.removed.json" ] || fail "it has not begun"
mv "repo/$second/manifest.json" hidden
blksnap 0 backup "$uri" --to repo
says err 'not yet: a point is damaged, and nothing is removed'
[ -e "repo/$first/disk.qcow2" ] || fail "what others stand on was removed"
mv hidden "repo/$second/manifest.json"
healthy
holds "$second" at.2
# Nor while its image says something else.
qemu-img rebase -u -b "$PWD/victim" -F raw "repo/$second/disk.qcow2"
blksnap 1 prune repo --point "$(point)"
says err "not yet: the removal of point $first is not complete"
sha256sum --quiet -c victim.sum
qemu-img rebase -u -b "../$first/disk.qcow2" -F qcow2 "repo/$second/disk.qcow2"
blksnap 0 prune -q repo --point "$(point)"
[ ! -e "repo/$first" ] || fail "the point is there still"
holds "$second" at.2
healthy

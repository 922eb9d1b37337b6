#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Whatever is damaged is found, and all of it is told.
. "$(dirname "$0")/functions.sh"

new_disk $((8 << 20))
serve
blksnap 0 backup "$uri" --to repo
stop
next_instant >/dev/null
serve
blksnap 0 backup "$uri" --to repo
first=$(point 1)
second=$(point 2)
healthy
[ "$(sed -n s/^images=//p verified)" -eq 2 ] || fail "$(cat verified)"
mv repo good

# damaged COMMAND... : with a fresh copy in ./repo.
damaged() {
    rm -rf repo
    cp -r --sparse=always good repo
    "$@"
}
# bad TEXT... : verify says each of them, on a line of their own.
bad() {
    blksnap 1 verify repo
    for text in "$@"; do says out "bad: $text"; done
    [ "$(grep -c '^bad: ' out)" -eq $# ] || fail "$(cat out)"
    says out "bad=$#"
    case $# in
    1) says err "repo: 1 thing is bad" ;;
    *) says err "repo: $# things are bad" ;;
    esac
}

# A byte of data: where qemu-img says that the block of an offset lies.
flip() {
    local place
    place=$(qemu-img map --output=json "repo/$1/disk.qcow2" |
        jq "[.[] | select(.depth == 0 and .data)][$2] | .start, .offset")
    read -r -d '' offset at <<<"$place" || :
    printf '\xff\xfe' |
        dd of="repo/$1/disk.qcow2" bs=1 seek=$((at + 5)) conv=notrunc status=none
}
damaged flip "$first" 0
bad "$first disk at offset $offset: 1 blocks of the image do not have"
one=$offset
flip "$second" 0
bad "$first disk at offset $one: 1 blocks" "$second disk at offset $offset: 1 b"
blksnap 1 verify --point "$second" repo
says out "bad: $second disk at offset"
blksnap 1 verify --json --quiet repo
[ "$(head -1 out | jq .finding.offset)" -eq "$one" ] || fail "$(cat out)"

# A cluster that an increment should not have.
allocate() {
    qemu-img map --output=json "repo/$second/disk.qcow2" >layers
    at=$(jq '[.[] | select(.depth == 1 and .data)][0].start' layers)
    qemu-io -c "write -P 77 $at 64k" "repo/$second/disk.qcow2" >/dev/null
}
damaged allocate
bad "$second disk at offset $at: 1 blocks of the image do not"

damaged rm "repo/$first/disk.qcow2"
bad "$first disk open $PWD/repo/$first/disk.qcow2: No such file" "$second disk"
damaged rm -r "repo/$first"
bad "$first $PWD/repo/$first is not there, and blksnap-repository.json has it" \
    "$second disk point $second stands on $first, which is not there"
damaged rm "repo/$first/manifest.json"
bad "$first open $PWD/repo/$first/manifest.json" \
    "$second disk point $second stands on"
blksnap 1 verify --point "$first" repo
says out "bad: $first open $PWD/repo/$first/manifest.json"
blksnap 1 list --json repo
[ "$(jq -r '.damaged[] | .point' out)" = "$first" ] || fail "$(cat out)"
blksnap 1 restore repo --point "$first" --to no.raw
says err "repo: point $first is damaged: open $PWD/repo/$first/manifest.json"
damaged eval 'echo garbage >"repo/$first/manifest.json"'
blksnap 1 verify repo
says out "bad: $first $PWD/repo/$first/manifest.json: not a manifest: parse error"
damaged truncate -s 100 "repo/$second/disk.sums"
bad "$second disk $PWD/repo/$second/disk.sums: it has 100 bytes, not"
damaged dd if=/dev/urandom of="repo/$second/disk.sums" bs=32 count=1 seek=3 \
    conv=notrunc status=none
bad "$second disk disk.sums does not have the digests of the manifest" \
    "$second disk at offset 196608: 1 blocks"
damaged qemu-img rebase -u -b '' "repo/$second/disk.qcow2"
blksnap 1 verify repo
says out "bad: $second disk the image stands on '', not on '../$first/disk.qcow2'"
damaged qemu-img resize -q "repo/$second/disk.qcow2" 9M
blksnap 1 verify repo
says out "bad: $second disk the image has 9437184 bytes, the manifest 8388608"
# A table of references that is wrong.
damaged dd if=/dev/zero of="repo/$first/disk.qcow2" bs=64K seek=2 count=1 \
    conv=notrunc status=none
blksnap 1 verify repo
says out "bad: $first disk qemu-img check: the image is corrupt"

# A live source of the same instant, and of another.
rm -rf repo
cp -r good repo
blksnap 0 verify --source "$uri" repo
stop
next_instant >/dev/null
serve
blksnap 1 verify --source "$uri" repo
says out 'differ from nbd+unix:///disk?socket=socket'
blksnap 1 verify --point 20200101T000000Z repo
says err "there is no point '20200101T000000Z'"
blksnap 1 verify --disk vda repo
says err "has no disk 'vda', but disk"

# That QEMU cannot be run says nothing about the backups.
mkdir empty
status=0
PATH=$PWD/empty "$BLKSNAP" verify repo >out 2>err || status=$?
[ $status = 1 ] || fail "it ended with $status"
says err 'qemu-img: there is no such program'
[ ! -s out ] || fail "$(cat out)"

# Somebody else removes points: what cannot be looked at now is not bad.
blksnap 0 backup "$uri" --to repo
exec 9<"repo/$second"
flock -x 9
blksnap 0 verify repo
says err "not looked at: $PWD/repo/$second is being removed"
[ "$(sed -n 's/^skipped=//p' out) $(sed -n 's/^images=//p' out)" = '2 1' ] ||
    fail "$(cat out)"
exec 9<&-
# And what somebody has removed since the points were listed: while the first
# one is looked at, all that follows becomes another chain.
next_instant >/dev/null
stop
serve
blksnap 0 backup "$uri" --to repo
mkdir bin
cat >bin/qemu-img <<EOF
#!/bin/bash
if [ "\$1" = check ] && mkdir once 2>/dev/null; then
    PATH=$PATH "$BLKSNAP" prune -q repo --point $second --point $(point 3) >pruned 2>&1
fi
exec "$(command -v qemu-img)" "\$@"
EOF
chmod +x bin/qemu-img
status=0
PATH=$PWD/bin:$PATH "$BLKSNAP" verify repo >out 2>err || status=$?
[ "$(grep -c '^removed ' pruned)" -eq 2 ] || fail "prune: $(cat pruned)"
[ $status = 0 ] || fail "it ended with $status: $(cat out)"
[ "$(sed -n 's/^skipped=//p' out) $(sed -n 's/^images=//p' out)" = '2 2' ] ||
    fail "$(cat out err)"
healthy

# The same before the comparison with a source, which is of the newest point.
rm -rf repo once bin/qemu-img
cp -r good repo
blksnap 0 backup "$uri" --to repo
cat >bin/qemu-img <<EOF
#!/bin/bash
if [ "\$1" = check ] && mkdir once 2>/dev/null; then
    PATH=$PATH "$BLKSNAP" prune -q repo --point $second >pruned 2>&1
fi
exec "$(command -v qemu-img)" "\$@"
EOF
chmod +x bin/qemu-img
status=0
PATH=$PWD/bin:$PATH "$BLKSNAP" verify repo --source "$uri" >out 2>err || status=$?
[ $status = 0 ] || fail "it ended with $status: $(cat out err)"
says out 'skipped=1'

# What is bad is told, whatever else comes to the repository at that time.
damaged flip "$second" 0
cat >bin/qemu-img <<EOF
#!/bin/bash
if [ "\$1" = check ]; then
    PATH=$PATH "$BLKSNAP" backup -q --full "$uri" --name other --to repo >/dev/null
fi
exec "$(command -v qemu-img)" "\$@"
EOF
status=0
PATH=$PWD/bin:$PATH "$BLKSNAP" verify repo --point "$second" >out 2>err || status=$?
[ $status = 1 ] || fail "it ended with $status: $(cat out err)"
[ "$(find repo -name other.qcow2 | wc -l)" -eq 1 ] || fail "looked at again"
says out "bad: $second disk at offset"

# QEMU's programs are killed, for want of memory say: that is no damage.
for program in qemu-img qemu-nbd; do
    printf '#!/bin/bash\n[ "$1" = create ] || kill -9 $$\nexec %s "$@"\n' \
        "$(command -v $program)" >bin/$program
    chmod +x bin/$program
done
rm -rf repo
cp -r good repo
for words in 'verify repo' 'restore repo --to no.raw' "backup $uri --to repo"; do
    status=0
    # shellcheck disable=SC2086  # words
    PATH=$PWD/bin:$PATH "$BLKSNAP" $words >out 2>err || status=$?
    [ $status = 1 ] || fail "$words ended with $status: $(cat out err)"
    says err 'was ended by signal 9'
    ! grep -e bad -e damaged out err || fail "$words: damaged?"
done
[ "$(points)" -eq 2 ] || fail "points"
rm bin/qemu-img bin/qemu-nbd

# How far it is is told of all images together. (It waits before each of them.)
rm -rf repo
head -c 8M /dev/urandom >big.raw
"$BLKSNAP_NBD" -U big.sock -P big.pid file=big.raw name=big 2>/dev/null &
servers+=($!)
wait_for test -e big.pid
for _ in 1 2 3 4; do
    blksnap 0 backup 'nbd+unix:///big?socket=big.sock' --to repo
done
cat >bin/qemu-nbd <<EOF
#!/bin/bash
[ "\$1" = --version ] || sleep 0.6
exec "$(command -v qemu-nbd)" "\$@"
EOF
chmod +x bin/qemu-nbd
PATH=$PWD/bin:$PATH "$BLKSNAP" verify --json repo >out
jq -s '[.[].progress // empty] | (map(.done_bytes) | . == sort) and
       (map(.total_bytes) | unique | length) == 1 and
       (last | .done_bytes * 2 > .total_bytes)' out | grep -qx true || fail "$(cat out)"

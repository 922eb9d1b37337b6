# SPDX-License-Identifier: LGPL-2.1-or-later
# Sourced by every test of this folder: a disk that changes from instant to
# instant, servers that show it, and the verbs of blksnap about repositories.
# shellcheck shell=bash

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/functions.sh
source "$here/../functions.sh"

: "${BLKSNAP:?the blksnap program to test}"
: "${BLKSNAP_NBD:?the blksnap-nbd program to serve with}"
requires qemu-img qemu-nbd qemu-io jq cmp python3

# shellcheck disable=SC2034  # for the tests
generation=3f0c6f0e-1c4b-4d0a-9a52-0f7c6f5f4f0e

# new_disk SIZE [INSTANT] : ./disk.raw with some data, and ./map of its first
# take, whose instant is 16 hexadecimal digits.
new_disk() {
    "$here/disk.py" new disk.raw map "$1" $generation "${@:2}"
}
# next_instant [SEED] : some of it is overwritten, zeroed, or marked and not
# changed; the map says so. Prints "DATA ZERO": bytes dirty and not zero, dirty
# and zero.
next_instant() {
    "$here/disk.py" step disk.raw map "${1:-1}"
}

# serve [WORD...] : blksnap-nbd with ./disk.raw as it is now, as export "disk".
# shellcheck disable=SC2034  # for the tests
uri='nbd+unix:///disk?socket=socket'
serve() {
    rm -f pid
    "$BLKSNAP_NBD" -v -U socket -P pid file=disk.raw name=disk cbt=map "$@" \
        2>>server.log &
    servers+=($!)
    wait_for test -e pid
}
# blksnap STATUS ARG... : it must end with STATUS; what it printed is in ./out
# and ./err. A failure is one line that begins with "blksnap: ", after what
# else was noted.
blksnap() {
    local wanted=$1 status=0
    shift
    "$BLKSNAP" "$@" >out 2>err || status=$?
    [ "$status" -eq "$wanted" ] ||
        fail "blksnap $* ended with $status, not $wanted: $(cat err)"
    if [ "$wanted" -ne 0 ] && [[ $1 != @(verify|list|prune) ]]; then
        [ ! -s out ] || fail "failure, but printed $(cat out)"
    fi
    ! grep -v '^blksnap: ' err || fail "not a sentence of blksnap: $(cat err)"
}

# back_up_times N : N points in ./repo of ./disk.raw, which is a new instant each time;
# ./at.I has the content of the Ith. Nothing is served after that.
back_up_times() {
    local i
    for ((i = 1; i <= $1; i++)); do
        [ $i = 1 ] || next_instant >/dev/null
        serve
        blksnap 0 backup "$uri" --to repo
        stop
        cp --sparse=always disk.raw at.$i
    done
}

# point [N] : the name of the newest point, or of the Nth.
# shellcheck disable=SC2120  # the argument is optional
point() {
    local names
    mapfile -t names < <("$BLKSNAP" list --json repo | jq -r '.points[].point')
    echo "${names[${1:-0} - 1]}"
}
# points : how many there are.
points() {
    "$BLKSNAP" list --json repo | jq '.points | length'
}
# manifest FILTER : of the newest point, of its first disk.
manifest() {
    jq -r ".disks[0] | $1" "repo/$(point)/manifest.json"
}

# holds POINT FILE [DISK] : the point has the content of the file, as QEMU reads
# it and as blksnap restores it; and the digests are those of the file.
holds() {
    local image="repo/$1/${3:-disk}.qcow2"
    qemu-img compare -q -U -f qcow2 -F raw "$image" "$2" ||
        fail "point $1 is not $2"
    rm -f restored.raw
    "$BLKSNAP" restore -q repo --point "$1" --disk "${3:-disk}" \
        --to restored.raw >/dev/null || fail "restore of point $1"
    cmp restored.raw "$2" || fail "what is restored of point $1 is not $2"
    [ "$(jq -r ".disks[] | select(.name == \"${3:-disk}\").content" \
        "repo/$1/manifest.json")" = "$("$here/disk.py" content "$2")" ] ||
        fail "content of point $1"
}
# seal FILE : gives a changed manifest or catalogue the digest that it needs, as
# FORMAT.md says.
seal() {
    local digest
    sed -i "2s/[0-9a-f]\{64\}/$(printf %064d 0)/" "$1"
    digest=$(sha256sum "$1")
    sed -i "2s/0\{64\}/${digest%% *}/" "$1"
}
# healthy : everything that is in the repository is as its manifests say.
healthy() {
    "$BLKSNAP" verify -q repo >verified || fail "repository: $(cat verified)"
}

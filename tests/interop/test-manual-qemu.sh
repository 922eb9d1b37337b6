#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The backup of QEMU's image in blksnap(8), typed as it stands there: the first
# day, and the next, which fails first; then the machine runs again, and what is
# typed is the same.
. "$(dirname "$0")/functions.sh"
requires qemu-img qemu-nbd qemu-io jq
tools=$(cd "$(dirname "$BLKSNAP_NBD")" && pwd)
[ -x "$tools/blksnap" ] || skip "no blksnap beside blksnap-nbd"

# The blocks from there to the end of the section, without the first word of
# paths that only root may write to.
sed -n '/^With QEMU as the server/,/^\.Sh/p' "$here/../../tools/man/blksnap.8" |
    awk '/^\.Ed/ { literal = 0 }
         literal { print >("typed." blocks) }
         /^\.Bd/ { literal = 1; ++blocks }'
[ -s typed.1 ] && [ -s typed.2 ] && [ ! -e typed.3 ] || fail "other examples: $(ls typed.*)"
sed -i "s,\\\\e,\\\\,g; s,/run/vda,$PWD/vda,g; s,/backup,$PWD/repo,g" typed.*

ends() { ! kill -0 "$(cat vda.pid)" 2>/dev/null || [ ! -e "/proc/$(cat vda.pid)/exe" ]; }
cleanup_server() { [ ! -s vda.pid ] || ends || kill "$(cat vda.pid)"; }
trap 'cleanup_server; cleanup' EXIT

broken=0 # how many more backups break
blksnap() {
    if ((broken > 0)); then
        ((--broken))
        [ "$1" = backup ] && [ -S vda.sock ] || fail "not a backup of a server"
        return 1
    fi
    "$tools/blksnap" "$@" >out
}
# typed BLOCK : its status. (As in a shell of one's own: neither -e nor -u.)
typed() {
    local status=0
    set +eu
    # shellcheck source=/dev/null
    . "./typed.$1" 2>said || status=$?
    set -eu
    ends || fail "the server goes on"
    return $status
}
machine_writes() { # OFFSET
    qemu-io -f qcow2 -c "write -P $((RANDOM % 255 + 1)) $1 64k" vda.qcow2 >/dev/null
}
bitmaps() {
    qemu-img info --output=json vda.qcow2 |
        jq -r '."format-specific".data.bitmaps // [] | map(.name) | sort | join(" ")'
}
# backed_up KIND READ : the newest point is of the kind, and the image.
backed_up() {
    local image
    "$tools/blksnap" list --json repo >listed
    [ "$(jq -r '.points[-1].disks[0].kind' listed)" = "$1" ] || fail "kind: $(cat listed)"
    image=$(jq -r '.points[-1].disks[0].image' listed)
    qemu-img compare -q -f qcow2 -F qcow2 vda.qcow2 "$image" ||
        fail "the point is not the image"
    says out "read_bytes=$2 "
}

qemu-img create -q -f qcow2 vda.qcow2 8M
machine_writes 0
typed 1 || fail "the first backup: $(cat said)"
backed_up full 65536
[ "$(bitmaps)" = monday ] || fail "bitmaps: $(bitmaps)"

machine_writes 1M
broken=1
! typed 2 || fail "a backup that broke is none that was made"
[ "$(bitmaps)" = 'monday tuesday' ] || fail "bitmaps: $(bitmaps)"
machine_writes 2M
typed 2 || fail "the next backup: $(cat said)"
backed_up incremental 131072
[ "$(bitmaps)" = tuesday ] || fail "bitmaps: $(bitmaps)"

# Once more, by mistake, does nothing: the bitmap that it begins at is gone.
points=$(jq '.points | length' listed)
! typed 2 || fail "made again"
[ "$(bitmaps)" = tuesday ] || fail "bitmaps: $(bitmaps)"
[ "$("$tools/blksnap" list --json repo | jq '.points | length')" = "$points" ] ||
    fail "another point"

# The day after. 2M was written after tuesday had been added, and counts again.
sed -i 's/tuesday/wednesday/; s/monday/tuesday/g' typed.2
machine_writes 3M
typed 2 || fail "the third backup: $(cat said)"
backed_up incremental 131072
[ "$(bitmaps)" = wednesday ] || fail "bitmaps: $(bitmaps)"

# While a machine runs nothing begins, and nothing is said to be of Thursday.
sed -i 's/wednesday/thursday/; s/tuesday/wednesday/g' typed.2
mkfifo commands
qemu-io -f qcow2 vda.qcow2 <commands >machine.out &
servers+=($!)
exec 9>commands
echo length >&9
wait_for grep -q MiB machine.out
! typed 2 || fail "of a machine that runs"
says said lock
exec 9>&-

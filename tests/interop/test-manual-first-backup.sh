#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The first backup of blksnap(7), typed as it stands there. Copies of a disk on
# two days are what the snapshots of the device show, and the stand-in for the
# module is the kernel that knows the device.
. "$(dirname "$0")/functions.sh"
# shellcheck source=tests/interop/examples.sh
. "$here/examples.sh"
: "${FAKE_MODULE:?the stand-in for the module}"
requires qemu-img qemu-nbd
tools=$(cd "$(dirname "$BLKSNAP_NBD")" && pwd)
[ -x "$tools/blksnap" ] || skip "no blksnap beside blksnap-nbd"
! is_sanitized "$BLKSNAP_NBD" || skip "built with a sanitizer"
two_days
take_examples "$here/../../tools/man/blksnap.7" 'A FIRST BACKUP'
sed -i 's,/backup/,backup/,' typed # which only root may write to
mkdir backup

# The server of the next day, for those who type it and for blksnap, which runs
# the one beside it. What follows device=, diff= and limit= is as it was given.
mkdir bin
cp "$tools/blksnap" bin/blksnap
printf '%s\n' monday tuesday monday tuesday tuesday >days
cat >bin/blksnap-nbd <<EOF
#!/bin/bash
cd '$PWD'
[ "\$1 \$2 \$3" = 'device=/dev/vdb diff=/var/tmp limit=10G' ] || exit 100
day=\$(head -1 days)
sed -i 1d days
exec '$tools/blksnap-nbd' "file=\$day.img" "cbt=\$day.cbt" name=vdb \
    checkpoints='$PWD/names' "\${@:4}"
EOF
chmod +x bin/blksnap-nbd
export PATH=$PWD/bin:$PATH FAKE_DEVICE=/dev/vdb
blksnap() {
    if [ "$1" = checkpoint ]; then
        LD_PRELOAD=$FAKE_MODULE command blksnap "$@" --file names
    else
        command blksnap "$@"
    fi
}
set +e # one of them is to fail
# shellcheck source=/dev/null
. ./typed >seen 2>&1
set -e

# Points are named by the time, images take what the file system makes of them,
# and the page folds lines.
plain() {
    sed -E ':join; $!N; s/\n {4}/ /; t join; P; D' "$1" |
        sed -E 's/20[0-9]{6}T[0-9]{6}Z(-[0-9])?/POINT/g; s/ +/ /g
            s/^(POINT vdb [a-z]+ (POINT|-) 8M) [0-9.]+[KM] /\1 SPACE /' >"$1.plain"
}
plain expected
plain seen
same "what the examples print" expected.plain seen.plain
[ ! -s days ] || fail "no run for $(cat days)"
cmp copy.raw tuesday.img || fail "the increment is not the disk"
cmp vdb.raw tuesday.img || fail "what is restored is not the disk"

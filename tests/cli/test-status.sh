#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# status: what changed since each checkpoint that has a name and stands.
. "$(dirname "$0")/functions.sh"
requires jq
mkdir block
touch block/fake
export FAKE_BLOCK=$scratch/block
names=$scratch/names.json

# 1000 blocks of 64 KiB, whose bytes are 0 to 7 again and again.
blksnap 0 status --checkpoints "$names"
says out '/dev/fake   62.5M  '"$uuid"'     7    64K   7.8M (12.5 %)  /dev/blksnap-259-1  8b76c5e2a45b4d9c  2023-11-14T22:13:26Z'
! grep -q CHECKPOINT out || fail "names of nothing"

# A module that keeps no instants, and a device before its first take.
FAKE_FAIL=cbtinstants=25 blksnap 0 status --checkpoints "$names"
says out '/dev/blksnap-259-1  -                 -'
FAKE_FAIL=cbtinstants=25 blksnap 0 status --json --checkpoints "$names"
jq -e '.devices[0] | has("instant") or has("taken") | not' out >/dev/null || fail "$(cat out)"
FAKE_TAKE=0 blksnap 0 status --json --checkpoints "$names"
jq -e '.devices[0] | has("instant") or has("taken") | not' out >/dev/null || fail "$(cat out)"
blksnap 0 status --json --checkpoints "$names"
jq -e '.devices[0] | [.instant, .taken] == ["8b76c5e2a45b4d9c", "2023-11-14T22:13:26Z"]' \
    out >/dev/null || fail "$(cat out)"

for number in 7 5 1; do
    blksnap 0 checkpoint add "n$number" -d /dev/fake -c "$uuid.$number" --file "$names"
done
sed -i "s/n1\"/stale\"/; s/$uuid.1.5d10f7b2a9c3e684/4f0c6f0e-1c4b-4d0a-9a52-0f7c6f5f4f0e.1/" "$names"
blksnap 0 checkpoint add since-1 -d /dev/fake -c "$uuid.1" --file "$names"
blksnap 0 status --checkpoints "$names"
grep -A 3 '^CHECKPOINT' out >table || fail "no names: $(cat out)"
diff table - <<'EOF' || fail "other changes"
CHECKPOINT  TAKE         CHANGED SINCE  DEVICE
n7             7             0 (0.0 %)  /dev/fake
n5             5        15.6M (25.0 %)  /dev/fake
since-1        1        46.9M (75.0 %)  /dev/fake
EOF
blksnap 0 status --json --checkpoints "$names"
jq -e '.devices[0].changed_bytes == 125 * 65536 and
    [.devices[0].checkpoints[] | [.name, .checkpoint, .changed_bytes, .changed_percent]] ==
    [["n7", "'"$uuid"'.7.8b76c5e2a45b4d9c", 0, 0], ["n5", "'"$uuid"'.5.d154d67d50d38094", 250 * 65536, 25],
     ["since-1", "'"$uuid"'.1.5d10f7b2a9c3e684", 750 * 65536, 75]]' out >/dev/null || fail "$(cat out)"

# Without names all the rest is told, and why.
echo '{' >"$names"
blksnap 0 status --json --checkpoints "$names"
jq -e '.devices[0].checkpoints == [] and
    (.warnings | any(startswith("names of checkpoints are not known: '"$names"': parse error at line")))' \
    out >/dev/null || fail "$(cat out)"

# What somebody should do something about. (The image of the device is lost.)
warns() { # JQ-CONDITION
    jq -e ".warnings | any($1)" out >/dev/null
}
lost='startswith("/dev/fake: its image /dev/blksnap-259-1 is lost: No space left on device; ")'
late='test("^/dev/fake: take [0-9]+ of 254 of this generation; ")'
EALREADY=114
FAKE_TAKE=250 FAKE_FAIL=snapshotadd=$EALREADY blksnap 0 status --json --checkpoints "$names"
warns "$lost" || fail "an image is lost: $(cat out)"
warns "$late" || fail "a generation ends: $(cat out)"
jq -e '.snapshots[0].devices == ["/dev/fake"]' out >/dev/null || fail "$(cat out)"
touch image
FAKE_TAKE=249 FAKE_IMAGE=$scratch/image blksnap 0 status --json --checkpoints "$names"
! warns "$lost" || fail "no image is lost: $(cat out)"
! warns "$late" || fail "no generation ends yet: $(cat out)"

#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# --json: every command prints objects, one a line, and nothing else.
. "$(dirname "$0")/functions.sh"
requires jq

# json_is JSON... : ./out has these objects, in this order.
json_is() {
    jq -c . out >got || fail "no JSON: $(cat out)"
    [ "$(wc -l <out)" -eq "$(wc -l <got)" ] || fail "not one a line: $(cat out)"
    diff <(printf '%s\n' "$@" | jq -c .) got || fail "$(cat out)"
}

blksnap 0 version --json
json_is '{"version": "2.0.0.0"}'

blksnap 0 attach --json -d /dev/fake
json_is '{"device": "/dev/fake", "already_attached": false}'
FAKE_FAIL=attach=114 blksnap 0 attach -d /dev/fake --json
json_is '{"device": "/dev/fake", "already_attached": true}'
blksnap 0 detach -d /dev/fake --json
json_is '{"device": "/dev/fake"}'

blksnap 0 cbtinfo -d /dev/fake --json
json_is '{"block_size": 65536, "device_capacity": 65536000, "block_count": 1000,
    "generation_id": "'"$uuid"'", "changes_number": 7}'
blksnap 0 readcbtmap -d /dev/fake -f map --json
json_is '{"device": "/dev/fake", "file": "map", "format": "raw",
    "block_size": 65536, "device_capacity": 65536000, "block_count": 1000,
    "generation_id": "'"$uuid"'", "changes_number": 7}'
blksnap 0 markdirtyblock -d /dev/fake -r 0:8 2048:16 --json
json_is '{"device": "/dev/fake",
    "ranges": [{"offset": 0, "count": 8}, {"offset": 2048, "count": 16}]}'
made 'cbtdirty 0:8 2048:16'

blksnap 0 snapshot_create -f /var/tmp -l 1G -d /dev/fake --json
json_is '{"id": "'"$uuid"'"}'
blksnap 0 snapshot_add -i "$uuid" -d /dev/fake --json
json_is '{"id": "'"$uuid"'", "device": "/dev/fake"}'
for verb in take destroy; do
    blksnap 0 snapshot_$verb -i "$uuid" --json
    json_is '{"id": "'"$uuid"'"}'
    made $verb
done
blksnap 0 snapshot_info -d /dev/fake --json
json_is '{"error_code": -28, "image": "/dev/blksnap-259-1", "quiesced": "frozen"}'
blksnap 0 snapshot_info -d /dev/fake -f image --json
json_is '{"image": "/dev/blksnap-259-1"}'
blksnap 0 snapshot_info -d /dev/fake -f error_code --json
json_is '{"error_code": -28}'
blksnap 0 snapshot_collect --json
json_is '{"snapshots": ["'"$uuid"'", "ffffffff-ffff-ffff-ffff-ffffffffffff"]}'

blksnap 0 snapshot_waitevent -i "$uuid" -t 1000 --json
json_is '{"result": "ok", "time": 1700000000000000000, "event": "no_space",
    "requested_bytes": 1073741824}'
FAKE_FAIL=wait_event=3 blksnap 0 snapshot_waitevent -i "$uuid" -t 10 --json
json_is '{"result": "not found"}'
blksnap 0 snapshot_watcher -i "$uuid" --json
json_is '{"watching": "'"$uuid"'"}' \
    '{"time": 1700000000000000000, "event": "no_space", "requested_bytes": 1073741824}' \
    '{"time": 1700000000000000001, "event": "corrupted", "device": "259:1", "error_code": 28}' \
    '{"finished": "'"$uuid"'"}'

# Errors are what they were.
FAKE_FAIL=take=16 blksnap 1 snapshot_take -i "$uuid" --json
[ ! -s out ] || fail "a failure prints: $(cat out)"

# Every command has it.
commands >verbs
[ "$(wc -l <verbs)" -ge 19 ] || fail "commands: $(cat verbs)"
while read -r verb; do
    # shellcheck disable=SC2086  # it may be of two words
    "$BLKSNAP" $verb --help >out
    says out '--json'
done <verbs


# No device of this machine is tracked; two snapshots, and one of them has gone
# when it is asked about.
blksnap 0 status --json
json_is '{"devices": [], "snapshots": [
    {"id": "'"$uuid"'", "devices": [], "storage_limit": 1073741824,
     "storage_size": 1006632960, "storage_used": 943718400, "chunks": 5,
     "copies": 4, "copies_queued": 3, "waits": 2},
    {"id": "ffffffff-ffff-ffff-ffff-ffffffffffff", "devices": []}],
    "warnings": ["snapshot '"$uuid"': 88 % of its storage is used; when it is full, its images are lost"]}'

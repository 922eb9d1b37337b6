#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# What --json prints has the members that blksnap(8) tells of, and no others.
. "$(dirname "$0")/functions.sh"
PATH=$PATH:/sbin:/usr/sbin
requires jq nbdkit qemu-img qemu-io qemu-nbd flock mkfs.ext4 debugfs sfdisk

# Of a command, "prune" and "checkpoint list" alike, as the page tells.
told() { # COMMAND
    awk -v command="$1" '
        /^\.Sh/ { json = /JSON/; next }
        !json { next }
        sub(/^\.It Cm /, "") { mine = 0; n = split($0, names, " , ")
                               for (i in names) if (names[i] == command) mine = 1; next }
        mine && sub(/^\.It Va /, "")' "$SOURCE_DIR/tools/man/blksnap.8"
}
# Members of the objects in ./out, added to a list of those that were seen.
# A list of objects, and an object, is there by its members; an empty list may be
# one of objects.
seen() { # COMMAND
    jq -r 'def members($at): to_entries[] | ($at + .key) as $name | .value |
               if type == "object" then members($name + ".")
               elif type == "array" and (.[0] | type) == "object"
               then .[] | members($name + "[].")
               elif type == "array" then $name + "[]"
               else $name end;
           members("")' out >>"seen.${1// /-}" || fail "no JSON: $(cat out)"
}
# What has a paragraph.
elsewhere='^progress\b'
compare() { # COMMAND
    told "$1" | grep -vE "$elsewhere" | sort >page
    grep -vE "$elsewhere" "seen.${1// /-}" | sort -u |
        while read -r member; do
            [[ $member != *'[]' ]] || ! grep -qF "$member." page || continue
            echo "$member"
        done >printed
    diff page printed ||
        fail "$1: what the page tells (<), and what is printed (>)"
}
# does COMMAND ARG... : the command may be of two words.
does() {
    # shellcheck disable=SC2086
    blksnap 0 $1 --json "${@:2}"
    seen "$1"
}

# Repositories. (Notes on a full backup are on standard error.)
nbdkit -f -U "$PWD/socket" pattern 4M &
servers+=($!)
wait_for listens socket
uri='nbd+unix:///?socket=socket'
"$BLKSNAP" backup --json "$uri" --name disk --checkpoint monday --rate 4M --to repo \
    >out 2>err || fail "$(cat err)"
seen backup
diff <(awk '/^\.It Cm backup , restore/ { mine = 1 } /^\.El/ { mine = 0 }
            mine && sub(/^\.It Va /, "")' "$SOURCE_DIR/tools/man/blksnap.8" | sort) \
    <(grep '^progress\.' seen.backup | sort -u) || fail "progress"
point=$(jq -r 'select(.point) | .point' out)
does list repo
does verify repo
does restore repo --to copy
does prune repo --keep-last 1 --dry-run
sleep 1
"$BLKSNAP" backup -q "$uri" --name disk --to repo >/dev/null
does prune repo --point "$point"
# One that is being read, one with a block that is wrong, one that is damaged.
# fails COMMAND ARG...
fails() {
    ! "$BLKSNAP" "$1" --json "${@:2}" >out 2>err || fail "$* did not fail"
    seen "$1"
}
"$BLKSNAP" backup -q "$uri" --name disk --to repo >/dev/null
newest=$("$BLKSNAP" list --json repo | jq -r '.points[-1].point')
flock --shared "repo/$newest" "$BLKSNAP" prune --json repo --point "$newest" \
    >out 2>err && fail "what is being read was removed"
seen prune
cp -r repo bad
qemu-io -c 'write -P 7 1M 64k' "bad/$newest/disk.qcow2" >/dev/null
fails verify bad
echo garbage >"bad/$newest/manifest.json"
mkdir bad/20990101T000000Z.partial
fails list bad
"$BLKSNAP" export --json repo -U sock >exported &
servers+=($!)
wait_for test -s exported
cp exported out
seen export

# The module's.
does version
does attach -d /dev/fake
does detach -d /dev/fake
does cbtinfo -d /dev/fake
does readcbtmap -d /dev/fake -f map.raw
does markdirtyblock -d /dev/fake -r 0:8
does snapshot_create -f /var/tmp -l 1G
does snapshot_add -i "$uuid" -d /dev/fake
does snapshot_take -i "$uuid"
does snapshot_destroy -i "$uuid"
does snapshot_info -d /dev/fake
does snapshot_collect
does snapshot_watcher -i "$uuid"
cp seen.snapshot_watcher seen.snapshot_waitevent # the other event
sed -i '/^\(watching\|finished\)$/d' seen.snapshot_waitevent
does snapshot_waitevent -i "$uuid" -t 10
does 'checkpoint add' monday -d /dev/fake --file names
does 'checkpoint list' --file names
mkdir block
touch block/fake
FAKE_BLOCK=$scratch/block does status --checkpoints names
does 'checkpoint remove' monday -d /dev/fake --file names

# A map with a partition, a file and something to note.
blksnap 0 readcbtmap -d /dev/fake -f map --format saved
truncate -s 65536000 disk
printf 'start=2048, size=65536, name=one\nstart=67584, size=2048\n' |
    sfdisk -q --label gpt disk
mkdir tree
head -c 1M /dev/urandom >tree/file
truncate -s 32M fs
mkfs.ext4 -q -d tree fs
dd if=fs of=disk bs=1M seek=1 conv=notrunc status=none
dd if=fs of=disk bs=1M seek=33 count=1 conv=notrunc status=none
does map --files --image disk map
# A server that says a checkpoint.
"$(dirname "$BLKSNAP")/blksnap-nbd" -U nbd -P ready file=disk cbt=map 2>server.log &
servers+=($!)
wait_for test -e ready
does pull 'nbd+unix:///?socket=nbd' pulled

commands | while read -r command; do
    [ -s "seen.${command// /-}" ] || fail "$command was not tried"
    compare "$command"
done

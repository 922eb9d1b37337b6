#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Names of checkpoints: only what the kernel knows gets one, and only what is
# known not to stand loses it.
. "$(dirname "$0")/functions.sh"
requires jq
mkdir block empty
export FAKE_BLOCK=$scratch/empty # no device is tracked, but /dev/fake answers
other=4f0c6f0e-1c4b-4d0a-9a52-0f7c6f5f4f0e
names=$scratch/names.json

checkpoint() { # STATUS VERB ARG...
    blksnap "$1" checkpoint "$2" --file "$names" "${@:3}"
}
bad() { # SAYS VERB ARG...
    local before after
    before=$(cat "$names" 2>&1 || :)
    checkpoint 1 "${@:2}"
    says err "$1"
    [ ! -s out ] || fail "an error, but printed $(cat out)"
    after=$(cat "$names" 2>&1 || :)
    [ "$before" = "$after" ] || fail "an error, but changed the names"
}
# known NAME=CHECKPOINT... : the file has these names, in this order.
known() {
    printf '%s\n' "$@" | diff - <(jq -r \
        '.checkpoints[] | .name + "=" + .checkpoint' "$names") ||
        fail "other names"
}

# The usual file comes with the first name; another that is named has to be there.
if [ ! -e /var/lib/blksnap/checkpoints.json ]; then
    blksnap 0 checkpoint list
    prints 'No checkpoint has a name.'
fi
bad "file of names $names: No such file or directory" list
bad "file of names $names: No such file or directory" remove --stale
[ ! -e "$names.lock" ] || fail "a list makes a file"
blksnap 0 status --checkpoints "$names"
says out "warning: names of checkpoints are not known: file of names $names: No such file"

# The last take; any one that was, with its instant or without; by a link.
first=$uuid.1.5d10f7b2a9c3e684
second=$uuid.2.ba21ef655387cd08
last=$uuid.7.8b76c5e2a45b4d9c
checkpoint 0 add monday --device /dev/fake
prints name=monday device=/dev/fake "checkpoint=$last"
checkpoint 0 add early -d /dev/fake-link -c "$uuid.1"
prints name=early device=/dev/fake "checkpoint=$first"
checkpoint 0 add early -d /dev/fake -c "$first"
known "monday=$last" "early=$first"
[ "$(jq -r '.version, .checkpoints[0].device' "$names" | paste -sd' ')" = '2 /dev/fake' ] ||
    fail "$(cat "$names")"
[ "$(stat -c %a "$names")" = 644 ] || fail "servers cannot read it"

# No number that was not, no other history, nothing that looks like another.
bad "$uuid.8 is still to come: the last one of /dev/fake is $last" \
    add x -d /dev/fake -c "$uuid.8"
bad "$other.3 is of generation $other; /dev/fake's tracking is of generation $uuid" \
    add x -d /dev/fake -c "$other.3"
bad "$uuid.2.5d10f7b2a9c3e684 is of another history: this take of /dev/fake is $second" \
    add x -d /dev/fake -c "$uuid.2.5d10f7b2a9c3e684"
bad "$uuid.0 is when tracking began" add x -d /dev/fake -c "$uuid.0"
bad "'7' is not a checkpoint" add x -d /dev/fake -c 7
for name in backup-vdb "$uuid.7" "${uuid^^}.7" a/b "$(printf '%065d' 0)" ''; do
    bad "'$name' cannot be the name of a checkpoint" add "$name" -d /dev/fake
done
bad '--device is required' add x
bad 'NAME is required' add -d /dev/fake
bad 'No such file' add x -d /dev/none
FAKE_TAKE=0 bad 'no snapshot of /dev/fake was taken' add x -d /dev/fake
FAKE_FAIL=cbtinstants=2 bad 'no filter is attached' add x -d /dev/fake

# A module that keeps no instants.
FAKE_FAIL=cbtinstants=25 checkpoint 0 add short -d /dev/fake
prints name=short device=/dev/fake "checkpoint=$uuid.7"
FAKE_FAIL=cbtinstants=25 bad "$last has an instant, and those of /dev/fake's takes are not known" \
    add x -d /dev/fake -c "$last"
checkpoint 0 remove short -d /dev/fake

# A name that is given does not move by itself.
bad "'monday' is the name of $last of /dev/fake already; --force moves it" \
    add monday -d /dev/fake -c "$uuid.2"
cp "$names" before
checkpoint 0 add monday -d /dev/fake # the same again
cmp before "$names" || fail "it was given again"
checkpoint 0 add monday -d /dev/fake -c "$uuid.2" --force
known "early=$first" "monday=$second"

# What stands: of a history that is here, up to its last take; and the take itself,
# not one of a machine that was put back since.
sed "s/$first/$other.1/; s/monday/ahead/; s/$second/$uuid.9/" "$names" >mixed
mv mixed "$names"
checkpoint 0 add good -d /dev/fake
checkpoint 0 add reverted -d /dev/fake -c "$uuid.3"
sed -i 's/1732e717fd4bb38c/0732e717fd4bb38c/' "$names"
sed -i 's/"added": ".*"/"added": "2026-11-22T01:02:03Z"/' "$names"
checkpoint 0 list
prints \
    "NAME      DEVICE     $(printf %-57s CHECKPOINT)  ADDED                 STANDS" \
    "early     /dev/fake  $(printf %-57s "$other.1")  2026-11-22T01:02:03Z  no" \
    "ahead     /dev/fake  $(printf %-57s "$uuid.9")  2026-11-22T01:02:03Z  no" \
    "good      /dev/fake  $(printf %-57s "$last")  2026-11-22T01:02:03Z  yes" \
    "reverted  /dev/fake  $(printf %-57s "$uuid.3.0732e717fd4bb38c")  2026-11-22T01:02:03Z  no"
checkpoint 0 list --json -d /dev/fake-link
jq -e '[.checkpoints[] | [.name, .device, .added, .stands]] ==
    [["early", "/dev/fake", "2026-11-22T01:02:03Z", false],
     ["ahead", "/dev/fake", "2026-11-22T01:02:03Z", false],
     ["good", "/dev/fake", "2026-11-22T01:02:03Z", true],
     ["reverted", "/dev/fake", "2026-11-22T01:02:03Z", false]]' out >/dev/null ||
    fail "$(cat out)"
checkpoint 0 list -d /dev/none
prints 'No checkpoint has a name.'

# By another path, as after a hot plug: the generation is what counts.
sed -i 's,/dev/fake,/dev/gone,' "$names"
checkpoint 0 list --json
[ "$(jq -c '[.checkpoints[].stands]' out)" = '[false,false,false,false]' ] || fail "$(cat out)"
touch block/fake
FAKE_BLOCK=$scratch/block checkpoint 0 list --json
[ "$(jq -c '[.checkpoints[].stands]' out)" = '[false,false,true,false]' ] || fail "$(cat out)"
sed -i 's,/dev/gone,/dev/fake,' "$names"

# Nothing is known without the kernel, or where it does not answer; and what is
# not known is not stale.
status=0
"$BLKSNAP" checkpoint list --file "$names" --json >out 2>err || status=$?
[ $status -eq 0 ] || fail "the list needs the module: $(cat err)"
[ "$(jq -c '[.checkpoints[].stands]' out)" = '[null,null,null,null]' ] || fail "$(cat out)"
"$BLKSNAP" checkpoint list --file "$names" | tail -n 1 | grep -q ' unknown$' ||
    fail "what is not known is told"
cp "$names" before
"$BLKSNAP" checkpoint remove --stale --file "$names" >out 2>err && fail "removed blindly"
says err 'which names still stand cannot be told'
cmp before "$names"
FAKE_FAIL=cbtinstants=1 checkpoint 0 remove --stale
cmp before "$names"

checkpoint 0 remove --stale -d /dev/none
known "early=$other.1" "ahead=$uuid.9" "good=$last" "reverted=$uuid.3.0732e717fd4bb38c"
checkpoint 0 remove --stale
prints "name=early device=/dev/fake checkpoint=$other.1" \
    "name=ahead device=/dev/fake checkpoint=$uuid.9" \
    "name=reverted device=/dev/fake checkpoint=$uuid.3.0732e717fd4bb38c"
known "good=$last"

bad "no checkpoint of /dev/fake has the name 'goo'" remove goo -d /dev/fake
bad "no checkpoint of /dev/none has the name 'good'" remove good -d /dev/none
bad '--device is required' remove good
bad 'either NAME' remove
bad 'excludes' remove good --stale
checkpoint 0 remove good --device /dev/fake-link --json
[ "$(jq -c . out)" = "{\"name\":\"good\",\"device\":\"/dev/fake\",\"checkpoint\":\"$last\"}" ] ||
    fail "$(cat out)"
checkpoint 0 list --json
[ "$(cat out)" = '{"checkpoints":[]}' ] || fail "$(cat out)"

# A damaged file is neither listed as empty nor written over.
echo '{"version": 1, "checkpoints": [' >"$names"
for verb in list 'add x -d /dev/fake' 'remove x -d /dev/fake' 'remove --stale'; do
    # shellcheck disable=SC2086
    bad "$names: parse error at line 2" $verb
done
echo '{"version": 3}' >"$names"
bad "$names: of version 3" list

#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# A manifest or a catalogue that was changed, and points that were renamed,
# swapped, put in the place of others, or lost: each is told, and nothing is made
# to stand on it.
. "$(dirname "$0")/functions.sh"

# good/ : three points, the contents are at.N.
new_disk $((4 << 20))
back_up_times 3
healthy
mapfile -t names < <("$BLKSNAP" list --json repo | jq -r '.points[].point')
# Whoever knows FORMAT.md can check a manifest, and the catalogue.
for file in repo/blksnap-repository.json repo/*/manifest.json; do
    cp "$file" sealed
    seal sealed
    cmp sealed "$file"
done
[ "$(jq -r '.disks[0] | "\(.parent) \(.parent_id) \(.parent_content)"' \
    "repo/${names[2]}/manifest.json")" = \
    "${names[1]} $(jq -r '"\(.id) \(.disks[0].content)"' \
        "repo/${names[1]}/manifest.json")" ] || fail "links"
# The example there is one.
format=$here/../../core/repository/FORMAT.md
sed -n '/^## Worked/,$p' "$format" | sed -n '/^    {/,/^    }/s/^    //p' >example
cp example sealed
seal sealed
cmp sealed example
for byte in a '\0' a; do head -c 65536 /dev/zero | tr '\0' "$byte"; done >example.raw
[ "$(jq -r .disks[0].content example)" = "$("$here/disk.py" content example.raw)" ] ||
    fail "the example of FORMAT.md"
mv repo good
next_instant >/dev/null
serve
fresh() {
    rm -rf repo
    cp -r --sparse=always good repo
}
manifest_of() { echo "repo/${names[$1 - 1]}/manifest.json"; }

# One digit of what the next increment asks for: it would miss data.
fresh
[ "$(manifest .checkpoint)" = $generation.3 ] || fail "checkpoint"
sed -i "s/\"$generation.3\"/\"$generation.2\"/" "$(manifest_of 3)"
blksnap 1 verify repo
says out "bad: ${names[2]} $PWD/$(manifest_of 3): it has been changed"
blksnap 0 backup "$uri" --to repo
says err 'a damaged point is passed over: '
holds "$(point)" disk.raw
# The same, of one in the middle: what stands on it stands no more.
fresh
sed -i "s/\"$generation.2\"/\"$generation.1\"/" "$(manifest_of 2)"
blksnap 0 backup "$uri" --to repo
[ "$(manifest .kind)" = full ] || fail "on a chain that is broken"
blksnap 1 restore repo --point "${names[2]}" --to restored.raw
says err "stands on ${names[1]}, which is not there"

# Two are swapped.
fresh
mv "repo/${names[1]}" away
mv "repo/${names[2]}" "repo/${names[1]}"
mv away "repo/${names[2]}"
blksnap 1 verify repo
says out "bad: ${names[1]} $PWD/$(manifest_of 2): it is the manifest of point ${names[2]}"
says out "bad: ${names[2]} $PWD/$(manifest_of 3): it is the manifest of point ${names[1]}"
# One is renamed: it is missed, and is nobody else.
fresh
mv "repo/${names[2]}" repo/20200101T000000Z
blksnap 1 verify repo
says out "bad: 20200101T000000Z $PWD/repo/20200101T000000Z/manifest.json: it is the manifest"
says out "bad: ${names[2]} $PWD/repo/${names[2]} is not there"

# The newest is lost. By its name alone nobody can say of which instant a bitmap
# is; a checkpoint of ours says it itself.
fresh
rm -r "repo/${names[2]}"
blksnap 1 list repo
says err "the point is lost"
blksnap 1 verify repo
says out "bad: ${names[2]} "
blksnap 0 backup "$uri" --to repo
[ "$(manifest .kind) $(manifest .parent)" = "incremental ${names[1]}" ] || fail "kind"
holds "$(point 2>/dev/null)" disk.raw
fresh
rm -r "repo/${names[2]}"
qemu-img convert -f raw -O qcow2 disk.raw source.qcow2
qemu-img bitmap --add source.qcow2 b
serve_qemu -r -f qcow2 -B b source.qcow2
words=("$qemu_uri" --name disk --since b --checkpoint c --to repo)
blksnap 3 backup "${words[@]}" --incremental
says err "checkpoint b may be that of a newer point than ${names[1]}"
says err "${names[2]} is not there"
# It is forgotten, when that is said; what is there stays.
blksnap 0 prune repo --point "${names[2]}" -n
says out "${names[2]}"
blksnap 1 verify repo
blksnap 0 prune repo --point "${names[2]}"
healthy
[ "$(points)" -eq 2 ] || fail "points"
holds "${names[1]}" at.2

# A point that is damaged goes when it is named, and with it what stands on it.
fresh
echo '{' >"$(manifest_of 2)"
blksnap 1 prune repo --point "${names[0]}"
says err 'a point is damaged, and nothing is removed'
blksnap 1 prune repo --point "${names[1]}"
says err "point ${names[2]} stands on ${names[1]}, and has to go with it: name both"
blksnap 0 prune repo --point "${names[1]}" --point "${names[2]}"
healthy
# What stays may stand on it through others: its data are there still.
fresh
echo '{' >"$(manifest_of 1)"
blksnap 1 prune repo --point "${names[0]}" --point "${names[1]}"
says err "point ${names[2]} stands on ${names[0]}, and has to go with it"
cp "good/${names[0]}/manifest.json" "$(manifest_of 1)"
healthy
holds "${names[2]}" at.3
# Nor does it go while somebody reads it.
fresh
echo '{' >"$(manifest_of 3)"
flock --shared "repo/${names[2]}" "$BLKSNAP" prune repo --point "${names[2]}" >out 2>err &&
    fail "it was removed"
says err 'is being read'
[ -e "repo/${names[2]}/disk.qcow2" ] || fail "it was removed"
fresh
echo '{' >"$(manifest_of 2)"
blksnap 0 prune repo --point "${names[1]}" --point "${names[2]}"
[ "$(ls repo)" = "${names[0]}
blksnap-repository.json
lock" ] || fail "left: $(ls repo)"

# Another point of the same name, sealed and listed.
fresh
jq '.id = "3f0c6f0e-1c4b-4d0a-9a52-000000000000"' good/"${names[0]}"/manifest.json \
    >"$(manifest_of 1)"
seal "$(manifest_of 1)"
blksnap 1 verify repo
says out "bad: ${names[0]} $PWD/$(manifest_of 1): its id is not that of blksnap-repository.json"
sed -i "s/\"${names[0]}\": \"[^\"]*\"/\"${names[0]}\": \"3f0c6f0e-1c4b-4d0a-9a52-000000000000\"/" \
    repo/blksnap-repository.json
seal repo/blksnap-repository.json
blksnap 1 verify repo
says out "bad: ${names[1]} disk point ${names[1]} stands on ${names[0]}, and that is another point"
blksnap 0 verify repo --point "${names[0]}"
blksnap 0 backup "$uri" --to repo
says err "full backup: point ${names[2]} is damaged"
holds "$(point 2>/dev/null)" disk.raw
# One whose data are other data, with digests and all.
fresh
rm -rf other
blksnap 0 backup "$uri" --name disk --to other
cp "other/$("$BLKSNAP" list --json other | jq -r '.points[0].point')"/disk.* "repo/${names[0]}"
content=$("$here/disk.py" content disk.raw)
sed -i "s/\"content\": \"[^\"]*\"/\"content\": \"$content\"/" "$(manifest_of 1)"
seal "$(manifest_of 1)"
blksnap 0 verify repo --point "${names[0]}"
blksnap 1 verify repo
says out "point ${names[1]} stands on ${names[0]}, whose digests are not those of then"
blksnap 1 restore repo --point "${names[1]}" --to restored.raw

# A manifest that says that it is of the first format, which needs no digest.
fresh
jq 'del(.digest, .id, .point, .disks[].parent_id, .disks[].parent_content) | .format = 1' \
    good/"${names[2]}"/manifest.json >"$(manifest_of 3)"
blksnap 1 verify repo
says out "bad: ${names[2]} $PWD/$(manifest_of 3): its id is not that of"
sed 's/"format": 2/"format": 1/' good/"${names[2]}"/manifest.json >"$(manifest_of 3)"
blksnap 1 verify repo
says out "bad: ${names[2]} $PWD/$(manifest_of 3): it has been changed"

# The catalogue itself: points are read as they are, and it is made anew.
for change in "s/${names[1]}/${names[1]}-2/" '/"points"/s/points/Points/' '$d'; do
    fresh
    sed -i "$change" repo/blksnap-repository.json
    if [ "$change" = '$d' ]; then
        blksnap 1 restore repo --to restored.raw
        says err 'blksnap-repository.json: not the file of a repository'
        echo '{"format": 2}' >repo/blksnap-repository.json
    fi
    blksnap 1 verify repo
    says out "bad: repository $PWD/repo/blksnap-repository.json: it "
    holds "${names[2]}" at.3
    blksnap 3 backup "${words[@]}" --incremental
    says err 'there may have been a newer one: '
    blksnap 0 backup "$uri" --to repo
    says err 'whether a point is lost is not known'
    [ "$(manifest .kind)" = incremental ] || fail "kind"
    holds "$(point)" disk.raw
    healthy
done
# A break after the commit: the point is one, and is listed by the next.
fresh
jq --arg name "${names[2]}" 'del(.points[$name])' good/blksnap-repository.json \
    >repo/blksnap-repository.json
seal repo/blksnap-repository.json
healthy
holds "${names[2]}" at.3
blksnap 0 backup "$uri" --to repo
healthy
jq -e --arg name "${names[2]}" '.points[$name]' repo/blksnap-repository.json >/dev/null ||
    fail "it is not listed"
# What breaks leave is listed, and goes with the next backup; what others put there stays.
fresh
mkdir repo/20990101T000000Z.partial
echo x >repo/20990101T000000Z.partial/disk.sums
left=("20990101T000000Z.partial" "${names[0]}/manifest.json.77.tmp" blksnap-repository.json.123.tmp)
touch "repo/${left[1]}" "repo/${left[2]}" repo/notes.tmp repo/lock.tmp repo/manifest.json.x1.tmp
blksnap 0 list repo
for name in "${left[@]}"; do says out "left over: $name ("; done
blksnap 0 list --json repo
[ "$(jq -c '[.leftovers[].name] | sort' out)" = \
    "$(printf '%s\n' "${left[@]}" | sort | jq -Rnc '[inputs]')" ] || fail "$(cat out)"
blksnap 0 backup "$uri" --to repo
blksnap 0 list repo
! grep 'left over' out || fail "it stays"
for name in notes.tmp lock.tmp manifest.json.x1.tmp; do
    [ -e "repo/$name" ] || fail "$name is gone"
done
healthy

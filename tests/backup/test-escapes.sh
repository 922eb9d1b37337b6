#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Words of others, in manifests, of servers, of QEMU's programs, do not reach a
# terminal as something that it obeys, and make no line of their own.
. "$(dirname "$0")/functions.sh"

# ESC, a control of ISO 6429 in UTF-8, and a line that looks like ours.
hostile=$'x\e]0;title\a\u009b31m\nforged'
clean() {
    local file
    for file; do
        ! LC_ALL=C grep -nP '[\x00-\x09\x0b-\x1f\x7f]|\xc2[\x80-\x9f]' "$file" ||
            fail "$file: $(cat -v "$file")"
        ! grep -q '^forged' "$file" || fail "$file has a line of somebody else's"
    done
}

new_disk $((1 << 20))
serve
blksnap 0 backup "$uri" --to repo
stop
name=$(point)
healthy
rows=$("$BLKSNAP" list repo | wc -l)

# A manifest, with a seal and all.
manifest=repo/$name/manifest.json
jq --arg words "$hostile" '.disks[0].checkpoint = $words | .disks[0].why = $words |
    .disks[0].source = $words | .tool = $words' "$manifest" >changed
cp changed "$manifest"
seal "$manifest"
blksnap 0 list repo
says out 'x?]0;title??31m?forged'
[ "$(wc -l <out)" -eq "$rows" ] || fail "rows: $(cat out)"
clean out err
blksnap 0 list --json repo
clean out err
[ "$(jq -r '.points[0].disks[0].checkpoint' out)" = "$hostile" ] || fail "JSON: $(cat out)"
blksnap 0 restore repo --to restored.raw
clean out err
# It is what the next backup asks for, and tells about.
serve
blksnap 0 backup "$uri" --to repo
clean out err
# One that cannot be read, with words in it that the message repeats.
jq --arg words "$hostile" '.disks[0].name = $words' "$manifest" >changed
cp changed "$manifest"
seal "$manifest"
blksnap 1 list repo
clean out err
blksnap 1 verify repo
clean out err
blksnap 0 backup "$uri" --to repo
clean out err
stop

# A server's name, description and bitmap.
qemu-img create -q -f qcow2 source.qcow2 1M
serve_qemu -r -f qcow2 --description "$hostile" -x "$hostile" source.qcow2
encoded=$(jq -rn --arg words "$hostile" '$words | @uri')
blksnap 1 backup "nbd+unix:///$encoded?socket=qemu.sock" --to repo
says err 'cannot be that of a disk'
clean out err
blksnap 0 backup "nbd+unix:///$encoded?socket=qemu.sock" --name vdb --to repo
clean out err
blksnap 1 backup "nbd+unix:///other$encoded?socket=qemu.sock" --name vdb --to repo
clean out err
stop

# The name of a file that QEMU's program complains about.
mkdir "$hostile"
echo x >"$hostile/image"
blksnap 1 backup "$uri" --to "$hostile/image"
clean out err
blksnap 1 restore repo --to "$hostile/image" --disk none
clean out err
# And the log of our server.
serve
"$BLKSNAP" pull "nbd+unix:///$encoded?socket=socket" pulled.raw >out 2>err || :
clean out err server.log

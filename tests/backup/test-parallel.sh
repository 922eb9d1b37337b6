#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# --parallel: so many disks at a time, by default all of a few; no more.
. "$(dirname "$0")/functions.sh"
requires nbdkit

# Two disks of one block each. A read of it takes until the other disk is being
# read too, and fails if that does not come; or, where it must not, fails if it
# does come within a second.
cat >reading <<'SCRIPT'
#!/bin/bash
# reading SELF OTHER COUNT
cd "$(dirname "$0")" || exit 1
: >"$1.begun"
if [ -e apart ]; then
    for ((i = 0; i < 20; ++i)); do
        [ ! -e "$2.begun" ] || [ -e "$2.ended" ] || { echo "EIO too many" >&2; exit 1; }
        sleep 0.05
    done
else
    for ((i = 0; i < 600; ++i)); do
        [ ! -e "$2.begun" ] || break
        sleep 0.05
    done
    ((i < 600)) || { echo "EIO too few" >&2; exit 1; }
fi
: >"$1.ended"
head -c "$3" /dev/urandom
SCRIPT
chmod +x reading
sources=()
for pair in 'a b' 'b a'; do
    disk=${pair% *}
    nbdkit -f -U "$PWD/$disk.sock" eval get_size='echo 65536' \
        pread="exec '$PWD/reading' $pair \$3" &
    servers+=($!)
    wait_for listens "$disk.sock"
    sources+=("nbd+unix:///?socket=$disk.sock" --name "$disk")
done

for option in '' '--parallel=2' '--parallel=64'; do
    rm -f ./*.begun ./*.ended
    blksnap 0 backup ${option:+"$option"} "${sources[@]}" --to repo
done
touch apart
rm -f ./*.begun ./*.ended
blksnap 0 backup --parallel=1 "${sources[@]}" --to repo
[ "$(ls ./*.ended)" = "$(printf '%s\n' ./a.ended ./b.ended)" ] || fail "$(ls)"

#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# The first incremental backup, from a fresh Debian 12 (root, or sudo): a guest
# with a stock kernel has a live disk; this machine pulls a full copy of it and
# then what has changed, over NBD, and proves both.
#
# Most of its time is the build. No limit of time is its own: those of the guest
# follow the speed of the machine (tests/vm/slowness.sh).
# shellcheck disable=SC2016 # scripts in quotes expand in the guest
set -euo pipefail
cd "$(dirname "$0")"

work=$PWD/build/demo
guest=$work/guest
step=0
began=$SECONDS

say() { printf '\n\033[1m%d. %s\033[0m (after %d s)\n' $((step += 1)) "$*" $((SECONDS - began)); }
show() { # COMMAND...: print it, run it
	printf '   $ %s\n' "$*" >&2
	"$@" | sed 's/^/   /'
}
# A script in the guest, with the functions that test cases have; its output
# comes back.
inside() {
	tests/vm/guest exec --workdir "$guest" --timeout 200 -- \
		'source "$VM_DIR/lib.sh"'$'\n'"$1"
}
hash_file() { b2sum -l 256 "$1" | cut -d ' ' -f 1; }
# Of a whole device in the guest, read from the device and not from a cache.
hash_inside() { inside "dd if=$1 iflag=direct bs=1M status=none | b2sum -l 256 | cut -d ' ' -f 1"; }
checkpoint_of() { nbdinfo "$1" | sed -n 's/.*checkpoint=\([^ ]*\).*/\1/p' | head -n 1; }
bytes() { numfmt --grouping "$1" 2>/dev/null || echo "$1"; }

clean_up() {
	tests/vm/guest stop --workdir "$guest" >/dev/null 2>&1 || true
	wait
}

say "Packages and build"
tests/install
began=$SECONDS # packages not counted
rm -rf "$work"
mkdir -p "$work"
cmake -S . -B build -G Ninja -DBLKSNAP_KMOD=ON >/dev/null
# Without the tests, for one kernel, and while the guest boots.
kernel=$(tests/vm/kernels | tail -n 1)
build() {
	cmake --build build --target "kmod_${kernel//[^[:alnum:]]/_}" blksnap blksnap-nbd \
		nbdkit-blksnap-plugin >"$work/build.log" 2>&1 || {
		tail -n 30 "$work/build.log" >&2
		return 1
	}
}
build &
builder=$!

say "Boot the stock kernel $kernel in a guest, with a live disk of 256 MiB"
trap clean_up EXIT
# Twice as fast over the network. Not for tests, but the filter is attached here
# while nothing is written.
export VM_TCG=multi
tests/vm/guest start --name demo --build build --kernel "$kernel" \
	--disk 256M --disk 128M --memory 1024 --workdir "$guest" \
	--forward 127.0.0.1:0:10809 --forward 127.0.0.1:0:10810
port_of() { awk -F: -v inner="$1" '$3 == inner {print $2}' "$guest/forwards"; }
uri=nbd://127.0.0.1:$(port_of 10809)/vda
bitmaps=nbd://127.0.0.1:$(port_of 10810)/vda

# One file, because the guest sees this machine's files through a slow share.
(cd /usr/share && tar -c -f "$guest/out/doc.tar" doc/[a-g]*)
cat >"$guest/out/writer.py" <<'PYTHON'
# A database in use: commits rows until it is stopped.
import itertools, os, sqlite3, time
db = sqlite3.connect("/srv/live.sqlite")
db.execute("create table if not exists log (n integer primary key, data blob)")
for n in itertools.count():
    db.execute("insert into log (data) values (?)", (os.urandom(2000),))
    db.commit()
    time.sleep(0.02)
PYTHON
inside 'mkfs.ext4 -q /dev/vda
	mkdir -p /srv
	mount /dev/vda /srv
	tar -x -f /out/doc.tar -C /srv
	df -h /srv | tail -n 1'
wait $builder
inside 'insmod $MODULES_DIR/blkfilter.ko
	insmod $MODULES_DIR/blksnap.ko'

say "Take a snapshot while the writer keeps writing, and serve it"
inside 'blksnap attach -d /dev/vda
	setsid python3 /out/writer.py >/out/writer.log 2>&1 &
	setsid blksnap-nbd -i 0.0.0.0 -P /run/server.pid \
		device=/dev/vda diff=/dev/vdb limit=128M >/out/server.log 2>&1 &
	wait_for 60 test -s /run/server.pid || { cat /out/server.log; exit 1; }
	blksnap cbtinfo -d /dev/vda; blksnap snapshot_info -d /dev/vda'
show nbdinfo "$uri"
first=$(checkpoint_of "$uri")

say "Full copy with stock nbdcopy"
image=$(inside 'blksnap snapshot_info -d /dev/vda -f image')
hash_inside "$image" >"$work/first" & # by the guest's other processor
hasher=$!
show nbdcopy "$uri" "$work/copy.raw"
full_bytes=$(du -B1 "$work/copy.raw" | cut -f 1)
first_copy=$(hash_file "$work/copy.raw")
wait $hasher
first_inside=$(<"$work/first")
echo "   image in the guest $first_inside"
echo "   copy               $first_copy"
qemu-img convert -f raw -O qcow2 "$work/copy.raw" "$work/previous.qcow2"

say "Change files; release the first snapshot"
inside 'kill "$(cat /run/server.pid)"
	wait_for 60 test ! -e /run/server.pid
	head -c 20000000 /dev/urandom >/srv/new-file
	rm -rf /srv/doc/b* && sync -f /srv'

say "Second snapshot, served by the nbdkit plugin; it tells what has changed"
inside 'nbdkit -P /run/nbdkit.pid -i 0.0.0.0 -p 10809 \
		$BUILD_DIR/nbdkit-plugin/nbdkit-blksnap-plugin.so \
		device=/dev/vda diff=/dev/vdb limit=128M \
		bitmaps=tcp:0.0.0.0:10810 >/out/nbdkit.log 2>&1 || { cat /out/nbdkit.log; exit 1; }
	wait_for 60 test -s /run/nbdkit.pid'
hash_inside "$image" >"$work/second" &
hasher=$!
second=$(checkpoint_of "$bitmaps")
show nbdinfo --map="qemu:dirty-bitmap:$first" --totals "$bitmaps"

say "Increment with blksnap pull --since"
echo "   $ blksnap pull --since $first $bitmaps copy.raw"
build/tools/blksnap pull --since "$first" "$bitmaps" "$work/copy.raw" |
	tee "$work/pull.txt" | sed 's/^/   /'
read_bytes=$(sed -n 's/^read_bytes=//p' "$work/pull.txt")

say "The same increment with stock qemu-img, from the export with the changes alone"
show qemu-img convert -f raw -O qcow2 -B "$work/previous.qcow2" -F qcow2 \
	"$uri@$first+changed" "$work/increment.qcow2"
increment_bytes=$(du -B1 "$work/increment.qcow2" | cut -f 1)

say "Proof"
wait $hasher
second_inside=$(<"$work/second")
pulled=$(hash_file "$work/copy.raw")
qemu-img convert -O raw "$work/increment.qcow2" "$work/from-qcow2.raw"
converted=$(hash_file "$work/from-qcow2.raw")
show e2fsck -fn "$work/copy.raw"
inside 'kill "$(cat /run/nbdkit.pid)"
	pkill -f writer.py
	gone() { ! pgrep -x nbdkit >/dev/null; }
	wait_for 60 gone
	unmount /srv
	blksnap detach -d /dev/vda
	rmmod blksnap blkfilter'
trap - EXIT
tests/vm/guest stop --workdir "$guest" # fails if the kernel had a complaint

verdict() { [ "$1" = "$2" ] && echo equal || echo DIFFERENT; }
echo
printf '%-36s %s\n' \
	"kernel" "$kernel" \
	"bytes of the device" "$(bytes "$(stat -c %s "$work/copy.raw")")" \
	"bytes of the full copy on disk" "$(bytes "$full_bytes")" \
	"bytes pulled as increment" "$(bytes "$read_bytes")" \
	"bytes of the qcow2 increment" "$(bytes "$increment_bytes")" \
	"first checkpoint" "$first" \
	"second checkpoint" "$second" \
	"first image = nbdcopy" "$(verdict "$first_inside" "$first_copy")" \
	"second image = blksnap pull" "$(verdict "$second_inside" "$pulled")" \
	"second image = qemu-img convert -B" "$(verdict "$second_inside" "$converted")" \
	"seconds, with the build" $((SECONDS - began))
[ "$first_inside" = "$first_copy" ] && [ "$second_inside" = "$pulled" ] &&
	[ "$second_inside" = "$converted" ] && [ "$first_inside" != "$second_inside" ]

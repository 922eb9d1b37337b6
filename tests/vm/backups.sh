# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
#
# A file system in use, and a repository of backups of it, for cases. After
# lib.sh and snapshot.sh. Case-wide: $repo, and truth[POINT], the hash of what the point is of.

repo=store/repo
declare -A truth=()

points() { blksnap list --json $repo | jq -r '.points[].point'; }
kind() { blksnap list --json $repo | jq -r '.points[-1].disks[0].kind'; }

# use_files FOLDER : files come, change and go in it, until stop_using.
use_files() {
	while :; do
		n=$((RANDOM % 40))
		case $((RANDOM % 4)) in
		0) rm -f "$1/$n" ;;
		*) head -c $((RANDOM * 8)) /dev/urandom >"$1/$n" ;;
		esac
		sync "$1/$n" 2>/dev/null || :
		# Changes are to come all the time, and to take little of the machine's.
		sleep 1.5
	done &
	workload=$!
	on_exit end_writers $workload
}
stop_using() { end_writers $workload; }

# back_up_often N BACK_UP KEEP_COPY : a full backup and N increments, which the
# one function makes and notes in truth; before two of three, another tool has
# its turn, which is the other function.
back_up_often() {
	local n
	"$2"
	assert_eq "first" "$(kind)" full
	for ((n = 1; n <= $1; n++)); do
		((n % 3 == 1)) || "$3"
		"$2"
		assert_eq "backup $n" "$(kind)" incremental
		# In the middle of a chain, and its beginning.
		if ((n % 5 == 3)); then
			blksnap prune -q $repo --point "$(points | sed -n 1p)" \
				--point "$(points | sed -n 3p)" >/dev/null
		fi
	done
}

# Each point that is kept is what it was made from.
check_points() {
	local point
	for point in $(points); do
		blksnap restore -q $repo --point "$point" --to store/restored >/dev/null
		assert_eq "point $point" "$(hash_file store/restored)" "${truth[$point]}"
		rm store/restored
	done
	blksnap verify -q $repo >/dev/null
}

# mount_past POINT DISK NBD : mounts an export of the point, with what its file
# system has still to do written nowhere.
mount_past() {
	local export_pid
	mkdir -p past
	modprobe nbd
	blksnap export $repo --point "$1" --writable -U /run/past.sock >exported &
	export_pid=$!
	on_exit eval "kill $export_pid 2>/dev/null || true"
	wait_for 60 grep -q '^uri=' exported
	nbd-client -unix /run/past.sock -N "$2" "$3" >/dev/null
	on_exit nbd-client -d "$3"
	on_exit unmount past
	mount "$3" past
	[ -n "$(ls past)" ] || fail "nothing is in it"
	find past -type f -exec cat {} + >/dev/null
	unmount past
	e2fsck -fn "$3" >fsck.txt || fail "$(cat fsck.txt)"
	nbd-client -d "$3" >/dev/null
	kill $export_pid
	wait $export_pid || fail "export ended with $?"
	blksnap restore -q $repo --point "$1" --to store/restored >/dev/null
	assert_eq "the point after it was mounted" "$(hash_file store/restored)" "${truth[$1]}"
	rm store/restored
}

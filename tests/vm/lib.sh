# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
#
# What cases share; they begin with:  source "$VM_DIR/lib.sh"
# It runs in the guest. The runner sets:
#
#   BUILD_DIR    CMake's build folder; its tools/ is first in PATH
#   MODULES_DIR  blkfilter.ko and blksnap.ko for this kernel
#   KVER         the kernel's full version
#   OUT          folder for what shall be brought back to the host
#   CASE         name of the case
#   VM_DIR       the folder of this file
#   BOOT         1, and 2 when the case goes on after cut_power
#   VM_SCALE     how many times the usual rounds of cases that repeat something
#
# Limits of time are for an idle machine; see slowness.sh.

set -euo pipefail
shopt -s inherit_errexit # a failure in $(...) counts too

# shellcheck source=tests/vm/slowness.sh
source "$VM_DIR/slowness.sh"

# -- verdicts ---------------------------------------------------------------

fail() { # MESSAGE...
	echo "FAILED at line ${BASH_LINENO[0]}: $*" >&2
	exit 1
}

skip() { # MESSAGE...
	echo "skipped: $*" >&2
	exit 77
}

assert_eq() { # WHAT GOT WANT
	[ "$2" = "$3" ] && return
	echo "FAILED at line ${BASH_LINENO[0]}: $1: got '$2', want '$3'" >&2
	exit 1
}

# Runs a command that must end with this exit code, e.g. must be refused.
expect_rc() { # CODE COMMAND...
	local want=$1 got=0
	shift
	"$@" || got=$?
	[ "$got" = "$want" ] && return
	echo "FAILED at line ${BASH_LINENO[0]}: exit code $got, want $want: $*" >&2
	exit 1
}

# A plain "set -e" ends a script without a word; this says where it was.
trap 'echo "failed at line $LINENO: ${BASH_COMMAND%%$'"'\n'"'*}" >&2' ERR
set -o errtrace

# -- cleaning up --------------------------------------------------------------

_on_exit=()

# Commands run when the case ends, however it ends, the last one first.
on_exit() { # COMMAND...
	_on_exit=("$(printf '%q ' "$@")" "${_on_exit[@]}")
}

_clean_up() {
	local code=$? command
	trap - ERR
	set +e
	for command in "${_on_exit[@]}"; do
		eval "$command"
	done
	exit "$code"
}
trap _clean_up EXIT
# At a timeout the runner sends TERM; that, too, must go through EXIT.
trap 'exit 143' TERM

# -- power ----------------------------------------------------------------------

# Ends the first half of a case with the header "power-cut: yes". The guest is
# killed, with all that still runs in it; then the case runs again from its
# beginning in a new boot with the same disks.
cut_power() {
	trap - EXIT
	exit 78
}

# -- modules ------------------------------------------------------------------

# Loads the modules; arguments go to blksnap.ko. Unloads them at the end.
load_modules() { # [PARAMETER=VALUE...]
	[ -e "$MODULES_DIR/blksnap.ko" ] || skip "no modules in $MODULES_DIR"
	on_exit unload_modules
	insmod "$MODULES_DIR/blkfilter.ko"
	insmod "$MODULES_DIR/blksnap.ko" "$@"
	settle
}

# Does nothing if they are not loaded.
unload_modules() {
	local name
	for name in blkcount blksnap blkfilter; do
		[ ! -d "/sys/module/$name" ] || rmmod "$name" || return
	done
}

# -- waiting ------------------------------------------------------------------

# Tries a command until it succeeds, for so many seconds of an idle machine.
wait_for() { # SECONDS COMMAND...
	local began=$SECONDS seconds=$1 limit
	limit=$(scaled "$1")
	shift
	until "$@"; do
		if [ $((SECONDS - began)) -ge "$limit" ]; then
			limit=$(later_limit "$seconds" "$limit") || return 1
		fi
		sleep 0.2
	done
}

# Unmounts what is mounted; somebody may have a file there open for a moment.
unmount() { # FOLDER
	! mountpoint -q "$1" || wait_for 30 umount "$1"
}

# Waits until udev has done with what is new.
settle() {
	[ ! -S /run/udev/control ] || wait_for 120 udevadm settle --timeout=10
}

# -- disks --------------------------------------------------------------------

# A disk of null_blk, /dev/NAME, gone when the case ends. "power=1" comes last:
# from then on it is there.
null_disk() { # NAME SETTING=VALUE...
	local dir=/sys/kernel/config/nullb/$1 setting
	if [ ! -d /sys/module/null_blk ]; then
		on_exit rmmod null_blk
		modprobe null_blk nr_devices=0
	fi
	mountpoint -q /sys/kernel/config || mount -t configfs none /sys/kernel/config
	on_exit rmdir "$dir"
	mkdir "$dir"
	for setting in "${@:2}"; do
		echo "${setting#*=}" >"$dir/${setting%%=*}"
	done
}

# An array of md, /dev/NAME, gone when the case ends. It has no metadata on its
# disks (DISK: vdb, vdc1), so that mdadm is not needed and nothing is resynced.
md_array() { # NAME LEVEL CHUNK-BYTES KIB-OF-EACH-DISK DISK...
	local array=/sys/block/$1/md disk slot=0
	modprobe "$2"
	echo "$1" >/sys/module/md_mod/parameters/new_array
	on_exit clear_md_array "$1"
	echo none >"$array/metadata_version"
	echo "$2" >"$array/level"
	[ "$2" = raid1 ] || echo "$3" >"$array/chunk_size"
	echo $(($# - 4)) >"$array/raid_disks"
	for disk in "${@:5}"; do
		cat "/sys/class/block/$disk/dev" >"$array/new_dev"
		echo $((slot++)) >"$array/dev-$disk/slot"
		echo "$4" >"$array/dev-$disk/size"
	done
	if [ "$2" = raid1 ]; then
		echo "$4" >"$array/component_size"
		echo none >"$array/resync_start"
	fi
	echo active >"$array/array_state"
	settle
}
clear_md_array() { # NAME
	echo clear >"/sys/block/$1/md/array_state"
}

# A hash of all of a device, as the device has it: O_DIRECT, because the page
# cache may know something else. BLAKE2, which takes half of SHA-256's time under
# emulation.
hash_dev() { # DEVICE
	dd if="$1" iflag=direct bs=1M status=none | hash_of
}

hash_file() { # FILE
	hash_of <"$1"
}

hash_of() {
	b2sum --length 256 | cut -d ' ' -f 1
}

# Makes a disk read as zeroes, with no signature left for udev to act on.
fresh_disk() { # DEVICE
	blkdiscard --zeroout "$1"
	blockdev --flushbufs "$1"
	settle
}

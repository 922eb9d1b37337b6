# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
#
# How slow this guest is at the moment, in percent of the time that an idle
# machine takes under emulation: 100 is that machine, or a faster one; 300 takes
# three times as long. All limits of time are given for 100 and multiplied by
# what is known here. Sourced by init, lib.sh and leftovers.
#
# The kernel's command line may have: vm_least, below which the debug kernel does
# not get; vm_slower, by which a selftest makes this guest look slower than it is.

# Beyond that nothing is waited for: a hang has to end on any machine.
SLOWNESS_MAX=1000
_slowness_file=/run/vm-slowness
_slower_file=/run/vm-slower # percent; a selftest may change it later
# Microseconds of the work below on that machine: measured 360000 to 420000.
_slowness_reference=450000

# Nothing but this shell and its children: a program would have to be read from
# the host, which may be what hangs.
_slowness_work() {
	local i sum=0
	for ((i = 0; i < 5000; i++)); do
		sum=$(((sum * 31 + i) % 65521))
	done
	for ((i = 0; i < 8; i++)); do
		(:)
	done
}

# Prints what it is now, between vm_least and SLOWNESS_MAX.
measure_slowness() {
	local began=${EPOCHREALTIME/[.,]/} percent least=${vm_least:-100}
	_slowness_work
	percent=$(((${EPOCHREALTIME/[.,]/} - began) * 100 / _slowness_reference))
	[ "$percent" -gt "$least" ] || percent=$least
	percent=$((percent * $(<$_slower_file) / 100))
	[ "$percent" -lt $SLOWNESS_MAX ] || percent=$SLOWNESS_MAX
	echo "$percent"
}

# Prints the greatest that was measured in this boot.
slowness() { echo "$(<$_slowness_file)"; }

# Prints seconds of this guest for seconds of the reference.
scaled() { # SECONDS
	echo $(($1 * $(<$_slowness_file) / 100))
}

# The kernel's own detectors of stalls and hangs. On hardware less would do; here
# a host may be busy. What is longer than this is reported, and fails the case.
set_kernel_limits() {
	scaled 120 >/proc/sys/kernel/hung_task_timeout_secs
	scaled 60 >/sys/module/rcupdate/parameters/rcu_cpu_stall_timeout
	scaled 120 >/sys/module/workqueue/parameters/watchdog_thresh
} 2>/dev/null

# A limit has been reached: measures again, and prints the limit as it is now.
# Fails if it is no later one, which it cannot be for ever.
later_limit() { # SECONDS LIMIT
	local limit now
	limit=$(scaled "$1")
	# Or else another one has measured since.
	if [ "$limit" -le "$2" ]; then
		now=$(measure_slowness)
		[ "$now" -gt "$(<$_slowness_file)" ] || return
		echo "$now" >$_slowness_file.new
		mv $_slowness_file.new $_slowness_file
		limit=$(scaled "$1")
	fi
	[ "$limit" -gt "$2" ] && echo "$limit"
}

# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
#
# NVMe over TCP within a guest, for cases: targets of nvmet, and the driver that
# connects to them. After lib.sh; the case needs nvmet-tcp and nvme-tcp. What is
# made is gone when the case ends.

_nvmet=/sys/kernel/config/nvmet

# Loads both sides and opens a port on the loopback interface.
nvme_begin() {
	modprobe nvmet-tcp
	on_exit eval 'rmmod nvmet_tcp nvmet; rmmod nvme_core 2>/dev/null || true'
	modprobe nvme-tcp
	on_exit eval 'rmmod nvme_tcp nvme_fabrics'
	mountpoint -q /sys/kernel/config || mount -t configfs none /sys/kernel/config
	on_exit rmdir "$_nvmet/ports/1"
	mkdir "$_nvmet/ports/1"
	echo tcp >"$_nvmet/ports/1/addr_trtype"
	echo ipv4 >"$_nvmet/ports/1/addr_adrfam"
	echo 127.0.0.1 >"$_nvmet/ports/1/addr_traddr"
	echo 4420 >"$_nvmet/ports/1/addr_trsvcid"
}

# A target with one namespace, of blocks of DEVICE.
nvme_target() { # NAME DEVICE
	local namespace=$_nvmet/subsystems/$1/namespaces/1
	_nvme_subsystem "$1"
	on_exit rmdir "$namespace"
	mkdir "$namespace"
	echo "$2" >"$namespace/device_path"
	echo 1 >"$namespace/enable"
	_nvme_offer "$1"
}

# A target that passes all commands on to a controller, /dev/nvmeN.
nvme_passthru_target() { # NAME CONTROLLER
	local passthru=$_nvmet/subsystems/$1/passthru
	_nvme_subsystem "$1"
	echo "$2" >"$passthru/device_path"
	# The driver refuses a second namespace with the same identifiers.
	echo 1 >"$passthru/clear_ids"
	on_exit eval "echo 0 >$passthru/enable"
	echo 1 >"$passthru/enable"
	_nvme_offer "$1"
}

_nvme_subsystem() { # NAME
	on_exit rmdir "$_nvmet/subsystems/$1"
	mkdir "$_nvmet/subsystems/$1"
	echo 1 >"$_nvmet/subsystems/$1/attr_allow_any_host"
}

_nvme_offer() { # NAME
	on_exit rm "$_nvmet/ports/1/subsystems/$1"
	ln -s "$_nvmet/subsystems/$1" "$_nvmet/ports/1/subsystems/$1"
}

# Connects to a target. $nvme_controller and $nvme_disk are the names in /dev.
nvme_connect() { # NAME
	local fabrics answer
	exec {fabrics}<>/dev/nvme-fabrics
	echo "transport=tcp,traddr=127.0.0.1,trsvcid=4420,nqn=$1" >&"$fabrics"
	read -r answer <&"$fabrics"
	exec {fabrics}<&-
	answer=${answer#*instance=}
	nvme_controller=nvme${answer%%,*}
	on_exit eval "echo 1 >/sys/class/nvme/$nvme_controller/delete_controller"
	wait_for 60 _nvme_has_disk || fail "$nvme_controller has no disk"
	settle
}

# The disk is the multipath head, nvme0n1; the controller has a path, nvme0c0n1.
_nvme_has_disk() {
	local path
	for path in /sys/class/nvme/"$nvme_controller"/nvme*n*; do
		nvme_disk=$(sed -E 's/c[0-9]+(n[0-9]+)$/\1/' <<<"${path##*/}")
		[ ! -b "/dev/$nvme_disk" ] || return 0
	done
	return 1
}

# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
#
# LVM for cases, of the storage-tools. After lib.sh; the case needs
# storage-tools and dm-mod.

storage_tools=$BUILD_DIR/vm/cache/storage-tools

# Without udev, of which it has no rules here, and without daemons.
_lvm_config='activation { udev_sync=0 udev_rules=0 monitoring=0 }
	devices { obtain_device_list_from_udev=0 use_devicesfile=0 }
	global { use_lvmpolld=0 } backup { backup=0 archive=0 }'

lvm() { # COMMAND...
	LVM_SUPPRESS_FD_WARNINGS=1 \
		LD_LIBRARY_PATH=$storage_tools/lib/x86_64-linux-gnu:$storage_tools/usr/lib/x86_64-linux-gnu \
		"$storage_tools/sbin/lvm" "$1" "${@:2}" --config "$_lvm_config" 2>&1
}

# Makes a volume group of one disk, which is gone when the case ends.
volume_group() { # NAME DISK
	mkdir -p /run/lock/lvm
	modprobe dm-mod
	on_exit eval "lvm vgremove -ff -y $1 >/dev/null 2>&1 || true"
	lvm pvcreate -ff -y "$2" >/run/lvm.out || fail "$(cat /run/lvm.out)"
	lvm vgcreate "$1" "$2" >/run/lvm.out || fail "$(cat /run/lvm.out)"
}

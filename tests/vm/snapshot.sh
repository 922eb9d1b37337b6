# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
#
# Snapshots for cases, by the raw kernel interface: what is tested here is the
# modules, and not our tools. After lib.sh.

_uapi() { # PYTHON...
	# -S: uapi needs no packages of the host, and to look for them takes time.
	PYTHONPATH=$VM_DIR python3 -S -B -c "
import sys, uuid, uapi
$1" "${@:2}"
}

# Attaches the filter, and detaches it when the case ends.
attach() { # DEVICE...
	on_exit detach "$@"
	_uapi 'for path in sys.argv[1:]: uapi.Device(path).attach()' "$@"
}

# Of devices where it is attached.
detach() { # DEVICE...
	_uapi '
for path in sys.argv[1:]:
    try: uapi.Device(path).detach()
    except OSError as error: print(path, error, file=sys.stderr)' "$@"
}

# Prints the snapshot's UUID.
take_snapshot() { # STORE LIMIT DEVICE...
	_uapi '
control = uapi.Control()
snapshot = control.create(sys.argv[1], int(sys.argv[2]) // 512)
try:
    for path in sys.argv[3:]: uapi.Device(path).snapshot_add(snapshot)
    control.take(snapshot)
except OSError:
    control.destroy(snapshot)
    raise
print(uuid.UUID(bytes=snapshot))' "$1" "$(numfmt --from=iec "$2")" "${@:3}" || return
	settle
}

destroy_snapshot() { # UUID
	_uapi 'uapi.Control().destroy(uuid.UUID(sys.argv[1]).bytes)' "$1"
}

# Prints the image's path.
image_of() { # DEVICE
	_uapi 'print("/dev/" + uapi.Device(sys.argv[1]).snapshot_info()[1])' "$1"
}

# Prints the image's error, 0 or a negative errno.
image_error() { # DEVICE
	_uapi 'print(uapi.Device(sys.argv[1]).snapshot_info()[0])' "$1"
}

# Ends background processes, also stopped ones, and waits for them.
end_writers() { # PID...
	kill -CONT "$@" 2>/dev/null || true
	kill -TERM "$@" 2>/dev/null || true
	wait "$@" 2>/dev/null || true
}

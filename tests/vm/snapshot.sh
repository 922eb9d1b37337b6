# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
#
# Snapshots for cases, by the raw kernel interface: what is tested here is the
# modules, and not our tools. After lib.sh.

# Starts the server that _uapi asks (uapi_server.py), until the case ends.
_start_uapi() {
	_uapi_folder=$(mktemp -d /run/uapi.XXXXXX)
	mkfifo "$_uapi_folder/port"
	exec {_uapi_port}<>"$_uapi_folder/port"
	PYTHONPATH=$VM_DIR python3 -S -B "$VM_DIR/uapi_server.py" "$_uapi_folder" \
		</dev/null {_uapi_port}<&- &
	_uapi_server=$!
	on_exit _end_uapi
}

_end_uapi() {
	echo >&"$_uapi_port"
	wait "$_uapi_server"
}

# Runs Python that has uapi, and waits for its end.
_uapi() { # PYTHON [ARGUMENT...]
	local reply=$_uapi_folder/$BASHPID answer in out err code part
	mkfifo "$reply"
	# Duplicates: while echo writes to the port, the port is this shell's file 1.
	exec {answer}<>"$reply" {in}<&0 {out}>&1 {err}>&2
	printf '%s\0' "$@" >"$reply.request"
	echo "$BASHPID $in $out $err" >&"$_uapi_port"
	# A read that is out of time may have begun the line.
	code=
	until read -r -t 10 -u "$answer" part; do
		code+=$part
		kill -0 "$_uapi_server" || return 125
	done
	exec {answer}<&- {in}<&- {out}>&- {err}>&-
	return "$code$part"
}

# The same in a process of its own, the last child of this shell, which has all of
# its files and can be killed.
_uapi_alone() { # PYTHON [ARGUMENT...]
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

# Creates a snapshot that is not taken yet. Prints its UUID.
create_snapshot() { # STORE LIMIT DEVICE...
	_uapi '
control = uapi.Control()
snapshot = control.create(sys.argv[1], int(sys.argv[2]) // 512)
for path in sys.argv[3:]: uapi.Device(path).snapshot_add(snapshot)
print(uuid.UUID(bytes=snapshot))' "$1" "$(numfmt --from=iec "$2")" "${@:3}"
}

_take() { # METHOD STORE LIMIT DEVICE...
	_uapi '
control = uapi.Control()
snapshot = control.create(sys.argv[2], int(sys.argv[3]) // 512)
try:
    for path in sys.argv[4:]: uapi.Device(path).snapshot_add(snapshot)
    getattr(control, sys.argv[1])(snapshot)
except OSError:
    control.destroy(snapshot)
    raise
print(uuid.UUID(bytes=snapshot))' "$1" "$2" "$(numfmt --from=iec "$3")" "${@:4}" || return
	settle
}

# Prints the snapshot's UUID.
take_snapshot() { # STORE LIMIT DEVICE...
	_take take "$@"
}
take_read_only() { # STORE LIMIT DEVICE...
	_take take_flags "$@"
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

# Prints how the file systems on a device in a snapshot were at rest.
quiesced() { # DEVICE
	_uapi 'print(uapi.Device(sys.argv[1]).quiesced())' "$1"
}

# Ends background processes, also stopped ones, and waits for them.
end_writers() { # PID...
	kill -CONT "$@" 2>/dev/null || true
	kill -TERM "$@" 2>/dev/null || true
	wait "$@" 2>/dev/null || true
}

_start_uapi

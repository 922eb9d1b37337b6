# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
#
# Our server on a unix socket, for cases. After lib.sh.

socket=/run/blksnap.sock
uri() { echo "nbd+unix:///$1?socket=$socket"; } # EXPORT

# Starts blksnap-nbd and waits until it serves; WORDs as on its command line.
serve() { # WORD...
	on_exit stop_serving
	# One that ran as another user, or was killed, could not remove it.
	rm -f /run/blksnap.pid
	blksnap-nbd -U $socket -P /run/blksnap.pid "$@" >>"$OUT/server.log" 2>&1 &
	server=$!
	wait_for 60 test -s /run/blksnap.pid || {
		cat "$OUT/server.log" >&2
		fail "the server does not start"
	}
	settle
}

# Ends it, and with it the snapshot that it took.
stop_serving() {
	[ -n "${server:-}" ] || return 0
	kill "$server"
	wait "$server" || fail "the server ended with code $?"
	server=
}

# The checkpoint that an export shows.
checkpoint_of() { # EXPORT
	nbdinfo "$(uri "$1")" | sed -n 's/.*checkpoint=\([^ ]*\).*/\1/p' | head -n 1
}

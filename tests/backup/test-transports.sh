#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# TCP and TLS, of our server and of QEMU's, as a source and as a target; and
# what a URI says in confidence does not get into the repository.
. "$(dirname "$0")/functions.sh"
requires openssl ss

mkdir keys
echo "alice:$(openssl rand -hex 32)" >keys/keys.psk
key="tls-psk-file=$PWD/keys/keys.psk"
tls=(--object "tls-creds-psk,id=psk,endpoint=server,dir=$PWD/keys" --tls-creds psk)

# A port that was free a moment ago; qemu-nbd does not choose one by itself.
free_port() {
    python3 -c 'import socket
with socket.create_server(("127.0.0.1", 0)) as s: print(s.getsockname()[1])'
}
listens() { [ -n "$(ss -Hltn "sport = :$port")" ]; }
serve_tcp() { # SERVER ARG...
    port=$(free_port)
    "$@" -p "$port" 2>>server.log &
    servers+=($!)
    wait_for listens
}
ours() { exec "$BLKSNAP_NBD" -v -i 127.0.0.1 file=disk.raw name=disk cbt=map "$@"; }
qemus() { exec qemu-nbd -b 127.0.0.1 -e 0 -t "$@"; }

# incremental URI WHAT : one more point, and only what changed was read.
incremental() {
    blksnap 0 backup --incremental "$1" --name disk "${@:3}" --to repo
    holds "$(point)" "$2"
    [ "$(manifest .kind)" = incremental ] || fail "kind"
}

new_disk $((4 << 20))
serve_tcp ours
blksnap 0 backup "nbd://127.0.0.1:$port/disk" --to repo
stop
next_instant >/dev/null
serve_tcp ours
incremental "nbd://127.0.0.1:$port/disk" disk.raw
stop
next_instant >/dev/null
serve_tcp ours --tls=require --tls-psk=keys/keys.psk
blksnap 1 backup --incremental "nbd://127.0.0.1:$port/disk" --to repo
says err TLS
incremental "nbds://alice@127.0.0.1:$port/disk?$key" disk.raw
stop
cp disk.raw at.ours
ours_last=$(point)

mv repo ours
qemu-img create -q -f qcow2 source.qcow2 4M
qemu-io -c 'write -P 1 1M 1M' source.qcow2 >/dev/null
for n in 1 2 3; do
    qemu-img bitmap --disable source.qcow2 "b$((n - 1))" 2>/dev/null || :
    qemu-img bitmap --add source.qcow2 b$n
    qemu-img convert -O raw source.qcow2 at.$n
    options=(-r -f qcow2)
    [ $n = 1 ] || options+=(-B "b$((n - 1))")
    case $n in
    1 | 2)
        serve_tcp qemus "${options[@]}" source.qcow2
        source="nbd://127.0.0.1:$port/"
        ;;
    3)
        serve_tcp qemus "${options[@]}" "${tls[@]}" source.qcow2
        source="nbds://alice@127.0.0.1:$port/?$key"
        ;;
    esac
    if [ $n = 1 ]; then
        blksnap 0 backup "$source" --name disk --checkpoint b1 --to repo
    else
        # Another port: only the user knows that it is the same disk.
        blksnap 3 backup --incremental "$source" --name disk --to repo
        says err "is checkpoint b$((n - 1)) the same there?"
        incremental "$source" at.$n --since b$((n - 1)) --checkpoint b$n
    fi
    stop
    qemu-io -c "write -P $((n + 1)) $((n * 64))k 100k" source.qcow2 >/dev/null
done
healthy
! grep -r -e alice -e keys.psk repo ours || fail "the URI is told"

# Into an export that somebody else serves encrypted.
qemu-img create -q -f raw target.raw 4M
serve_tcp qemus -f raw "${tls[@]}" target.raw
blksnap 0 restore ours --point "$ours_last" --to "nbds://alice@127.0.0.1:$port/?$key"
stop
cmp target.raw at.ours

#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# nbdkit's own TLS around the plugin, by certificates and by shared keys: who
# has credentials gets the data, who has none gets nothing.
. "$(dirname "$0")/functions.sh"
requires nbdcopy openssl cmp

make_disk
# Names of this run alone: an authority, a server, a client of its, and a
# client of an authority of its own.
authority() { # FOLDER
    mkdir -p "$1"
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes \
        -days 2 -subj "/CN=$1" -keyout "$1/ca-key.pem" -out "$1/ca-cert.pem" \
        -addext basicConstraints=critical,CA:true \
        -addext keyUsage=critical,keyCertSign 2>log || fail "$(cat log)"
}
certificate() { # FOLDER NAME USAGE AUTHORITY
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes \
        -subj "/CN=$2" -keyout "$1/$2-key.pem" -out request 2>log || fail "$(cat log)"
    openssl x509 -req -in request -CA "$4/ca-cert.pem" -CAkey "$4/ca-key.pem" \
        -CAcreateserial -days 2 -out "$1/$2-cert.pem" -extfile <(
            echo "extendedKeyUsage=$3"
            echo "subjectAltName=DNS:localhost,IP:127.0.0.1"
        ) 2>log || fail "$(cat log)"
}
authority pki
certificate pki server serverAuth pki
certificate pki client clientAuth pki
authority stranger
certificate stranger client clientAuth stranger
cp pki/ca-cert.pem stranger # it knows the server, which does not know it

secure() { # FOLDER : with the certificates that are there
    echo "nbds+unix:///?socket=nbdkit.sock&tls-certificates=$PWD/$1&tls-hostname=localhost"
}
# Newer libnbd knows the name; to the older one a Unix socket has none.
[[ $(nbdinfo --version) != *1.14.* ]] ||
    secure() { echo "nbds+unix:///?socket=nbdkit.sock&tls-certificates=$PWD/$1&tls-verify-peer=false"; }
refused() { # URI WHY
    ! nbdinfo --size "$1" >out 2>err || fail "served, though $2"
    ! nbdinfo --list "$1" >out 2>err || fail "exports listed, though $2"
    ! grep -q disk.raw out err || fail "names are told, though $2"
}

serve --tls=require --tls-certificates=pki --tls-verify-peer "$PLUGIN" file=disk.raw
nbdcopy "$(secure pki)" copy.raw
cmp disk.raw copy.raw
nbdinfo "$(secure pki)" >out
says out 'with TLS'
nbdinfo --list "$(secure pki)" >out
says out disk.raw
refused "$(uri)" "there is no TLS"
refused "$(secure stranger)" "nobody knows the client"
stop

# Over TCP the server's certificate is checked, too.
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0))
print(s.getsockname()[1])')
"${nbdkit[@]}" -f -i 127.0.0.1 -p "$port" -P tcp.pid --tls=require --tls-certificates=pki \
    "$PLUGIN" file=disk.raw &
servers+=($!)
wait_for test -s tcp.pid
nbdcopy "nbds://localhost:$port/?tls-certificates=$PWD/pki" copy.raw
cmp disk.raw copy.raw
mkdir other
authority other
refused "nbds://localhost:$port/?tls-certificates=$PWD/other" "the server is not known"
stop

# Shared keys.
for file in keys wrong; do
    echo "backup:$(openssl rand -hex 32)" >$file
done
psk() { echo "nbds+unix://backup@/?socket=nbdkit.sock&tls-psk-file=$PWD/$1"; }
serve --tls=require --tls-psk=keys "$PLUGIN" file=disk.raw cbt=disk.cbt
nbdcopy --connections=4 "$(psk keys)" copy.raw
cmp disk.raw copy.raw
refused "$(uri)" "there is no TLS"
refused "$(psk wrong)" "the key is wrong"
stop

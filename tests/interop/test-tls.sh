#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Encrypted, by clients with another TLS library (GnuTLS) than ours: with
# certificates, with pre-shared keys, and not without either.
. "$(dirname "$0")/functions.sh"
requires nbdcopy nbdinfo openssl qemu-img

mkdir pki
cat >pki/conf <<'END'
[req]
distinguished_name = name
[name]
[authority]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign
[peer]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth, clientAuth
subjectAltName = DNS:localhost
END
certificate() { # NAME EXTENSIONS ARG...
    openssl req -x509 -config pki/conf -newkey rsa:2048 -nodes -days 2 \
        -subj "/CN=$1" -extensions "$2" -keyout "pki/$1-key.pem" \
        -out "pki/$1-cert.pem" "${@:3}" 2>openssl.log || fail "$(cat openssl.log)"
}
certificate ca authority
certificate server peer -CA pki/ca-cert.pem -CAkey pki/ca-key.pem
certificate client peer -CA pki/ca-cert.pem -CAkey pki/ca-key.pem
mkdir known stranger
cp pki/ca-cert.pem pki/client-cert.pem pki/client-key.pem known
cp pki/ca-cert.pem stranger

key=$(openssl rand -hex 32)
echo "alice:$key" >keys.psk
echo "alice:$(openssl rand -hex 32)" >wrong.psk
echo "mallory:$key" >unknown.psk
mkdir qemu-keys
cp keys.psk qemu-keys/keys.psk

# serve_on SOCKET ARG...
serve_on() {
    "$BLKSNAP_NBD" -v -U "$1" -P "$1.pid" --tls=require "${@:2}" \
        file=disk.raw cbt=map name=disk 2>"$1.log" &
    servers+=($!)
    wait_for test -e "$1.pid"
}
serve_on x509 --tls-certificates=pki
serve_on mutual --tls-certificates=pki --tls-verify-peer --tls-allow=CN=client
serve_on psk --tls-psk=keys.psk

refused() { # WHY URI
    ! nbdinfo "$2" >out 2>&1 || fail "$1: $(cat out)"
}
nbdkit_uri() { # SOCKET [USER@] MORE
    echo "nbds+unix://$2localhost/disk?socket=$1&$3"
}
x509=$(nbdkit_uri x509 '' "tls-certificates=$PWD/stranger")
mutual=$(nbdkit_uri mutual '' "tls-certificates=$PWD/known")
psk=$(nbdkit_uri psk 'alice@' "tls-psk-file=$PWD/keys.psk")

for uri in "$x509" "$mutual" "$psk"; do
    [ "$(nbdinfo --size "$uri")" = "$size" ] || fail "$uri: size"
    nbdcopy "$uri" copy.raw
    cmp copy.raw disk.raw || fail "$uri: they differ"
    nbdcopy --synchronous "$uri" copy.raw
    cmp copy.raw disk.raw || fail "$uri: they differ"
    nbdinfo --map="$(bitmap 3)" "$uri" | awk '{print $1, $2, $3}' >got
    extents 3 >wanted
    same "$uri: bitmap" wanted got
done
grep -q "TLSv1.3, CN=client" mutual.log || fail "who came is not told: $(grep TLS mutual.log)"
grep -q "TLSv1.3, user alice" psk.log || fail "who came is not told: $(grep TLS psk.log)"

refused 'no TLS' 'nbd+unix:///disk?socket=x509'
! nbdinfo --list 'nbd+unix:///?socket=x509' >out 2>&1 || fail "a list"
! grep -q disk out || fail "the name of the export is told"
refused 'no certificate' \
    "$(nbdkit_uri mutual '' "tls-certificates=$PWD/stranger")"
refused 'another key' \
    "$(nbdkit_uri psk 'alice@' "tls-psk-file=$PWD/wrong.psk")"
refused 'another user' \
    "$(nbdkit_uri psk 'mallory@' "tls-psk-file=$PWD/unknown.psk")"
nbdinfo --size "$psk" >/dev/null || fail "served no more"

# QEMU's client.
qemu_compare() { # SOCKET CREDENTIALS
    qemu-img compare --object "$2,id=tls0,endpoint=client" --image-opts \
        driver=raw,file.filename=disk.raw \
        "driver=nbd,server.type=unix,server.path=$1,export=disk,tls-creds=tls0,tls-hostname=localhost" \
        >out 2>&1 || fail "$1: $(cat out)"
}
qemu_compare x509 "tls-creds-x509,dir=$PWD/stranger"
qemu_compare mutual "tls-creds-x509,dir=$PWD/known"
qemu_compare psk "tls-creds-psk,dir=$PWD/qemu-keys,username=alice"
! qemu-img compare --image-opts driver=raw,file.filename=disk.raw \
    "driver=nbd,server.type=unix,server.path=x509,export=disk" >out 2>&1 ||
    fail "qemu-img without TLS"

#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# qemu-nbd --list walks every export with INFO and LIST_META_CONTEXT, and
# hangs up without waiting for the reply to ABORT.
. "$(dirname "$0")/functions.sh"
requires qemu-nbd
serve

qemu-nbd --list -k "$PWD/socket" >list
grep -q '^exports available: 3$' list || fail "$(cat list)"
grep -q "export: 'disk'" list || fail "$(cat list)"
grep -q "size:  $size" list || fail "$(cat list)"
grep -q "flags: .*readonly.*df.*multi" list || fail "$(cat list)"
grep -qF "   $(bitmap 8)" list || fail "$(cat list)"
grep -q "checkpoint=$generation.9" list || fail "$(cat list)"
qemu-nbd --list -k "$PWD/socket" >/dev/null || fail "a second time"

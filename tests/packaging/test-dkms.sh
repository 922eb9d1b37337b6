#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# kmod/ as it stands is a dkms package: added, built and installed for the newest
# stock kernel here (VM_KERNELS=all: for each), in trees of our own; refused for
# kernels that cannot do.
# shellcheck source=../functions.sh
. "$(dirname "$0")/../functions.sh"
requires dkms make modinfo
[ "$(id -u)" = 0 ] || skip "dkms installs for root alone"
mapfile -t kernels < <("$SOURCE_DIR/tests/vm/kernels")
[ ${#kernels[@]} != 0 ] || skip "no stock kernel with headers"
[ "${VM_KERNELS:-}" = all ] || kernels=("${kernels[-1]}")

# shellcheck disable=SC2016 # expands in the inner shell, which has no set -u
[ "$(bash -c '. "$0" && echo "$PACKAGE_VERSION"' "$SOURCE_DIR/kmod/dkms.conf")" = "$VERSION" ] ||
    fail "kmod/dkms.conf is not of version $VERSION"

rm -rf "$BUILT_DIR"
mkdir -p src dkms
cp -r "$SOURCE_DIR/kmod" "src/blksnap-$VERSION"
# Or it would make itself a key in /var/lib/dkms.
export sign_file=none

run_dkms() { # VERB WORD...
    dkms "$1" "blksnap/$VERSION" --sourcetree "$scratch/src" \
        --dkmstree "$scratch/dkms" --installtree "$scratch/modules" \
        --no-depmod "${@:2}" &>log
}
refused() { # CODE SENTENCE COMMAND...
    local code=0
    "${@:3}" || code=$?
    [ "$code" = "$1" ] || { cat log; fail "exit code $code, want $1: ${*:3}"; }
    grep -q -- "$2" log || { cat log; fail "it does not say '$2': ${*:3}"; }
}

run_dkms add || { cat log; fail "dkms add"; }

for kernel in "${kernels[@]}"; do
    mkdir -p "modules/$kernel"
    for verb in build install; do
        run_dkms "$verb" -k "$kernel" -a x86_64 || {
            cat log dkms/blksnap/"$VERSION"/build/make.log
            fail "dkms $verb for $kernel"
        }
    done
    run_dkms status -k "$kernel"
    grep -q ": installed$" log || { cat log; fail "status of $kernel"; }
    for name in blkfilter blksnap; do
        # Compressed where the kernel's own modules are.
        module=$(echo "modules/$kernel/updates/dkms/$name".ko*)
        [ "$(modinfo -F version "$module")" = "$VERSION" ] ||
            fail "$module is not of version $VERSION"
        [[ $(modinfo -F vermagic "$module") = "$kernel "* ]] ||
            fail "$module is not for $kernel"
    done
    [ "$(modinfo -F depends "$module")" = blkfilter ] ||
        fail "$module does not ask for blkfilter"
    # For a guest that loads them (tests/vm/cases/015-dkms).
    mkdir -p "$BUILT_DIR/$kernel"
    cp "modules/$kernel/updates/dkms"/*.ko* "$BUILT_DIR/$kernel"
done

# Kernels that are passed over: too old, another machine, without ftrace as we
# need it. dkms has one sentence for all; ours are Kbuild's.
exclusive="BUILD_EXCLUSIVE directive which does not match"
refused 77 "$exclusive" run_dkms build -k 6.0.19-amd64 -a x86_64
refused 77 "$exclusive" run_dkms build -k 5.10.0-30-amd64 -a x86_64
refused 77 "$exclusive" run_dkms build -k 6.10.0-amd64 -a aarch64
mkdir headers
echo "CONFIG_DYNAMIC_FTRACE=y" >headers/.config
refused 77 "$exclusive" run_dkms build -k 6.10.0-amd64 -a x86_64 \
    --kernelsourcedir "$scratch/headers"

build() { make -C "src/blksnap-$VERSION" KVER="${kernels[0]}" "$@" &>log; }
refused 2 "needs Linux 6.1 or later, and this is 6.0:" build PATCHLEVEL=0 VERSION=6
refused 2 "needs Linux 6.1 or later, and this is 5.19:" build PATCHLEVEL=19 VERSION=5
refused 2 "is for x86-64" build CONFIG_X86_64=
refused 2 "needs a kernel with CONFIG_DYNAMIC_FTRACE_WITH_ARGS" \
    build CONFIG_DYNAMIC_FTRACE_WITH_ARGS=
refused 2 "no headers of kernel 6.10.0-none" build KVER=6.10.0-none

# Nothing of all this is where the next build would meet it.
run_dkms remove --all || { cat log; fail "dkms remove"; }
[ -z "$(find modules -name '*.ko*')" ] || fail "modules are left"

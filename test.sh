#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# From a fresh Debian 12 to tests run: installs what is missing (root or sudo),
# builds, runs tests through ctest, then the user-space tests again under
# sanitizers.
#
#   ./test.sh             what every change must pass: about half an hour
#   ./test.sh --all       and all that takes longer, or fetches programs: hours
#   ./test.sh [--all] -L unit
#                         other arguments go to ctest; no sanitizers then
#
# Tests with the labels "long" and "chroot" run with --all alone. VM_SCALE is how
# often loops go round: 1, or 5 with --all. tests/README.md has a table of it.
set -euo pipefail
cd "$(dirname "$0")"

say() { printf '\n== %s\n' "$*"; }

selection=(-LE '^(long|chroot)$')
if [ "${1:-}" = --all ]; then
	shift
	all=--all
	selection=()
	export VM_SCALE=${VM_SCALE:-5} VM_KERNELS=${VM_KERNELS:-all}
fi

say "packages"
tests/install ${all:+"$all"}

say "build"
# What a run before this one has compiled, wherever its checkout was.
export CMAKE_CXX_COMPILER_LAUNCHER=ccache
export CCACHE_BASEDIR=$PWD CCACHE_NOHASHDIR=1
export CCACHE_SLOPPINESS=pch_defines,time_macros
cmake -S . -B build -G Ninja -DBLKSNAP_WERROR=ON -DBLKSNAP_KMOD=ON >/dev/null
cmake --build build

say "tests"
# One more than there are processors: guests and servers wait now and then.
ctest --test-dir build --output-on-failure -j $(($(nproc) + 1)) "${selection[@]}" "$@"

# What has arguments is somebody's choice of tests.
[ $# = 0 ] || exit 0

tests/sanitizers ${all:+"$all"}

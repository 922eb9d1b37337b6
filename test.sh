#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# From a fresh Debian 12 to all tests run: installs what is missing (root or
# sudo), builds, runs everything through ctest, then the user-space tests
# again under sanitizers. Arguments go to ctest: ./test.sh -L unit
set -euo pipefail
cd "$(dirname "$0")"

say() { printf '\n== %s\n' "$*"; }

say "packages"
tests/install

say "build"
# What a run before this one has compiled, wherever its checkout was.
export CMAKE_CXX_COMPILER_LAUNCHER=ccache
export CCACHE_BASEDIR=$PWD CCACHE_NOHASHDIR=1
export CCACHE_SLOPPINESS=pch_defines,time_macros
cmake -S . -B build -G Ninja -DBLKSNAP_WERROR=ON -DBLKSNAP_KMOD=ON >/dev/null
cmake --build build

say "tests"
# Two at a time: guests take one core each, and fewer would leave one idle.
ctest --test-dir build --output-on-failure -j 2 "$@"

# What has arguments is somebody's choice of tests.
[ $# = 0 ] || exit 0

sanitized() { # SANITIZERS FOLDER LABELS [TARGET...]
	say "tests under -fsanitize=$1"
	# A release build with sanitizers takes twice as long to compile.
	cmake -S . -B "$2" -G Ninja -DBLKSNAP_WERROR=ON -DBLKSNAP_PLUGIN=OFF \
		-DCMAKE_BUILD_TYPE=None -DCMAKE_CXX_FLAGS="-O1 -g1" \
		-DBLKSNAP_SANITIZE="$1" >/dev/null
	cmake --build "$2" ${4:+--target "${@:4}"}
	ctest --test-dir "$2" --output-on-failure -j 2 -L "$3"
}
sanitized address,undefined build-asan '^(unit|copy|backup|map|protocol)$'
# Without copy and backup: libnbd is not built for it, and the command has so many
# files that it would take as long again. (backup has run under it, clean.)
sanitized thread build-tsan '^(unit|protocol)$' \
	blksnap-unit blksnap-protocol-test blksnap-error-path-test \
	blksnap-error-path-session-test blksnap-nbd fake-module fail-new \
	handshake-replay request-replay map-file-replay settings-replay \
	checkpoint-names-replay

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
cmake -S . -B build -G Ninja -DBLKSNAP_WERROR=ON -DBLKSNAP_KMOD=ON >/dev/null
cmake --build build

say "tests"
# Two at a time: guests take one core each, and fewer would leave one idle.
ctest --test-dir build --output-on-failure -j 2 "$@"

# What has arguments is somebody's choice of tests.
[ $# = 0 ] || exit 0

sanitized='^(unit|copy|protocol)$'
for sanitizer in address,undefined thread; do
	say "tests under -fsanitize=$sanitizer"
	cmake -S . -B "build-${sanitizer%%,*}" -G Ninja -DBLKSNAP_WERROR=ON \
		-DBLKSNAP_PLUGIN=OFF -DBLKSNAP_SANITIZE=$sanitizer >/dev/null
	cmake --build "build-${sanitizer%%,*}"
	ctest --test-dir "build-${sanitizer%%,*}" --output-on-failure -j 2 \
		-L "$sanitized"
done

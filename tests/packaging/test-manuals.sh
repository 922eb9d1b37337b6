#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# The manual pages: nothing to warn of, named as they are filed, and with no
# reference to a page of ours that is not there.
# shellcheck source=../functions.sh
. "$(dirname "$0")/../functions.sh"
requires man
pages=("$SOURCE_DIR"/tools/man/*.[1-8] "$SOURCE_DIR"/nbdkit-plugin/*.[1-8])

for page in "${pages[@]}"; do
    name=$(basename "$page")
    LC_ALL=C.UTF-8 man --warnings -E UTF-8 -Tutf8 -Z -l "$page" 2>warnings >/dev/null ||
        fail "$name: $(cat warnings)"
    [ ! -s warnings ] || fail "$name: $(cat warnings)"
    title=${name%.*}
    grep -qx "\.Dt ${title^^} ${name##*.}" "$page" || fail "$name has another title"
    while read -r reference; do
        [[ " ${pages[*]##*/} " = *" $reference "* ]] ||
            fail "$name refers to $reference, which is not there"
    done < <(sed -n 's/^\.\(It \)\?Xr \(blksnap[^ ]*\|nbdkit-blksnap[^ ]*\) \([1-8]\).*/\2.\3/p' "$page")
done

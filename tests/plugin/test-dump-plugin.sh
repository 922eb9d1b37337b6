#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# nbdkit can load the plugin, and knows it for what it is; nothing but its
# entry is visible in it.
. "$(dirname "$0")/functions.sh"
requires nm

nbdkit --dump-plugin "$PLUGIN" >out
for line in name=blksnap api_version=2 thread_model=parallel \
    magic_config_key=device has_list_exports=1 has_extents=1 has_cache=1 \
    has_can_fua=1 has_block_size=1 blksnap_bitmaps=unix,tcp; do
    says out "$line"
done
nbdkit "$PLUGIN" --help >out
for key in device diff limit snapshot file cbt name read-write bitmaps; do
    says out "  $key="
done
[ "$(nm -D --defined-only "$PLUGIN" | awk '{ print $3 }')" = plugin_init ] ||
    fail "more than plugin_init is visible"

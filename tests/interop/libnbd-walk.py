#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
# Run by test-libnbd-python.sh: URI CONTEXT EXPECTED. Walks the export the way
# backup tools do, base:allocation and a dirty bitmap side by side, and prints
# the bitmap as "OFFSET LENGTH 0|1" lines.
import sys

import nbd

uri, context = sys.argv[1:]
handle = nbd.NBD()
handle.add_meta_context("base:allocation")
handle.add_meta_context(context)
handle.add_meta_context("base:allocation")  # a known tool asks twice
handle.connect_uri(uri)
assert handle.can_meta_context(context)
size = handle.get_size()

dirty, position = [], 0
while position < size:
    reply = {}

    def extents(name, offset, entries, error):
        assert offset == position and not error.value
        assert name not in reply, "a context came twice"
        reply[name] = list(zip(entries[::2], entries[1::2]))

    # 20 MiB at a time, so that there are several replies.
    handle.block_status(min(20 << 20, size - position), position, extents)
    assert reply.keys() == {"base:allocation", context}, reply.keys()
    ends = {sum(length for length, _ in run) for run in reply.values()}
    assert len(ends) == 1, "contexts end at different bytes"
    for length, flags in reply[context]:
        assert flags in (0, 1) and length > 0
        if dirty and dirty[-1][2] == flags:
            dirty[-1][1] += length
        else:
            dirty.append([position, length, flags])
        position += length
    data = 0
    for length, flags in reply["base:allocation"]:
        assert flags in (0, 3)
for extent in dirty:
    print(*extent)

# The largest read there is, and one more byte.
assert len(handle.pread(32 << 20, 0)) == 32 << 20
handle.set_strict_mode(0)
try:
    handle.pread((32 << 20) + 1, 0)
except nbd.Error as error:
    assert "maximum" in str(error) or error.errnum, error
else:
    raise AssertionError("a read above the maximum")
handle.shutdown()

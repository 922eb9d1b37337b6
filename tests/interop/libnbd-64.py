#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Run by test-libnbd-64.sh: URI PREFIX NUMBER... PREFIXNUMBER are contexts, dirty
bitmaps. Asks for status with 64-bit lengths, of all contexts and of some of
them; prints "NUMBER OFFSET LENGTH 0|1" lines of each bitmap."""
import sys

import nbd

uri, prefix, *numbers = sys.argv[1:]
base = "base:allocation"
contexts = [base] + [prefix + number for number in numbers]
handle = nbd.NBD()
for context in contexts:
    handle.add_meta_context(context)
handle.connect_uri(uri)
assert handle.get_extended_headers_negotiated()
assert all(handle.can_meta_context(context) for context in contexts)
assert handle.can_block_status_payload()
size = handle.get_size()


def status(offset, count, wanted=None):
    """{context: [(length, flags)]} by one request; wanted: of these alone."""
    reply = {}

    def extents(name, start, entries, error):
        assert start == offset and not error.value
        assert name not in reply, "a context came twice"
        reply[name] = entries

    if wanted is None:
        handle.block_status_64(count, offset, extents)
    else:
        handle.block_status_filter(count, offset, wanted, extents)
    assert reply.keys() == set(contexts if wanted is None else wanted), \
        (wanted, reply.keys())
    for entries in reply.values():
        assert sum(length for length, _ in entries) == count, \
            "not all of it by one reply"
    return reply


whole = status(0, size)
for number in numbers:
    offset = 0
    for length, flags in whole[prefix + number]:
        print(number, offset, length, flags)
        offset += length

# A choice of contexts changes nothing in what is said of these.
for wanted in ([base], contexts[1:], contexts[-1:], [contexts[-1], base]):
    chosen = status(0, size, wanted)
    assert chosen == {name: whole[name] for name in wanted}

# More than 32 bits can say, from the middle, by one reply: what ends there ends
# where the whole map has it.
middle = size // 2 + 512
assert size - middle > 1 << 32
for name, entries in status(middle, size - middle).items():
    cut, offset = [], 0
    for length, flags in whole[name]:
        if offset + length > middle:
            cut.append((offset + length - max(offset, middle), flags))
        offset += length
    assert [tuple(entry) for entry in entries] == cut, name

# What was not negotiated cannot be chosen, nor a range beyond the end.
for attempt in (lambda: status(0, size, [prefix + "0"]),
                lambda: status(512, size)):
    try:
        attempt()
    except nbd.Error:
        pass
    else:
        raise AssertionError("it was answered")
handle.set_strict_mode(0)
for attempt in (lambda: status(512, size), lambda: status(size, 512)):
    try:
        attempt()
    except nbd.Error as error:
        assert error.errnum == 22, error  # EINVAL, by the server
    else:
        raise AssertionError("it was answered")
assert status(0, 512)[base], "the connection is of no use any more"
handle.shutdown()

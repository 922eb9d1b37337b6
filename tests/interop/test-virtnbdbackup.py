#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""virtnbdbackup walks an export with 32-bit block status. For a full backup it
asks for base:allocation twice, by a default and by name; it advances by one
context and appends what the other one said as it came; and for a disk of less
than 4 GiB it asks for the whole disk each time, wherever it is, which libnbd
refuses from the second time on. So: one chunk a context however often it was
asked for, the same coverage for all, and the whole disk in the first reply."""

import unittest

from disks import DiskTest, merged, placed
from nbdwire import *

MAX_REQUEST = 2**32 - 1


class OutOfBounds(Exception):
    """What libnbd says to a request beyond the end, without sending it."""


class Walk:
    def __init__(self, test, client, primary):
        self.test, self.client, self.primary = test, client, primary
        self.entries = {name: [] for name in client.ids.values()}
        self.requests = 0

    def run(self, minimum=512):
        longest = MAX_REQUEST - minimum + 1
        size, offset = self.client.size, 0
        while offset < size:
            length = size if size < longest else min(size - offset, longest)
            if offset + length > size:
                raise OutOfBounds
            self.requests += 1
            status = self.client.block_status(offset, length)
            for name, extents in status.items():
                self.entries[name] += extents
            offset += sum(length for length, _ in status[self.primary])
        return self


class Backup(DiskTest):
    def walk(self, contexts, primary):
        client = self.client().enter("disk", contexts, [INFO_BLOCK_SIZE])
        return Walk(self, client, primary).run()

    def ranges(self, extents):
        """Their values are asserted by the tool, before it looks at them."""
        return placed(merged(extents))

    def test_full_asks_twice(self):
        names = ["base:allocation", "base:allocation"]
        client = self.client().greet()
        client.option(OPT_STRUCTURED_REPLY)
        selected = client.contexts(OPT_SET_META_CONTEXT, "disk", names)
        self.assertEqual([name for _, name in selected], names[:1])

        walk = self.walk(names, "base:allocation")
        extents = self.ranges(walk.entries["base:allocation"])
        self.assertLessEqual({flags for _, _, flags in extents}, {0, 1, 2, 3})
        # Extents that came twice would end at twice the size.
        self.assertEqual(sum(length for _, length, _ in extents), self.SIZE)
        self.assert_zero((offset, length) for offset, length, flags in extents
                         if flags == 3)

    def test_incremental(self):
        for number in 0, 4, 8:
            walk = self.walk(["base:allocation", self.dirty(number)],
                             self.dirty(number))
            extents = self.ranges(walk.entries[self.dirty(number)])
            self.assertLessEqual({flags for _, _, flags in extents}, {0, 1})
            self.assertEqual([(offset, length) for offset, length, flags
                              in extents if flags], self.dirty_ranges(number))
            # Appended as they came, the extents of the other one are still
            # where they belong.
            allocation = self.ranges(walk.entries["base:allocation"])
            self.assertEqual(sum(length for _, length, _ in allocation),
                             self.SIZE)
            self.assert_zero((offset, length) for offset, length, flags
                             in allocation if flags == 3)

    def test_a_server_may_be_asked_for_a_bitmap_alone(self):
        walk = self.walk([self.dirty(3)], self.dirty(3))
        self.assertEqual(
            [(offset, length) for offset, length, flags
             in self.ranges(walk.entries[self.dirty(3)]) if flags],
            self.dirty_ranges(3))


class SmallDisk(Backup):
    """Less than 4 GiB: one request is all it may need."""
    SIZE = (4 << 30) - 4096
    ISLANDS = 0, (1 << 20) + 4096, (3 << 30) + 512

    def test_one_reply_covers_it(self):
        walk = self.walk(["base:allocation", self.dirty(5)], self.dirty(5))
        self.assertEqual(walk.requests, 1)
        self.assertGreater(len(walk.entries[self.dirty(5)]), 1000)

    def test_this_tool_cannot_go_on_after_a_short_reply(self):
        """Or else the test above would show nothing."""
        client = self.client().enter("disk", [self.dirty(5)])
        complete = client.block_status

        def short(offset, length):
            return complete(offset, length // 2)
        client.block_status = short
        with self.assertRaises(OutOfBounds):
            Walk(self, client, self.dirty(5)).run()


class ManyExtents(DiskTest):
    """As many as a chunk may have: still the whole disk in one reply."""
    SIZE = 512 * (2**20 - 1)
    BLOCK = 512
    ISLANDS = (0,)

    @classmethod
    def changed_at(cls, block):
        return block % 2 * 9

    def test_one_reply_covers_it(self):
        client = self.client().enter(
            "disk", ["base:allocation", self.dirty(5)], [INFO_BLOCK_SIZE])
        walk = Walk(self, client, self.dirty(5)).run()
        self.assertEqual(walk.requests, 1)
        self.assertEqual(len(walk.entries[self.dirty(5)]), 2**20 - 1)


if __name__ == "__main__":
    unittest.main()

#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""KubeVirt asks for base:allocation and a bitmap at once, for all the rest of
the disk each time, and lays one over the other as far as both go. It then goes
on where the longer of them ended: what only one of them has covered is in no
map, and not in the backup. So both have to end at the same byte, always."""

import unittest

from disks import DiskTest
from nbdwire import *

ZERO, DIRTY = 2, 1


class Mapper:
    """The merged map: [(offset, length, ZERO | DIRTY)]."""

    def __init__(self, client, bitmap):
        self.client, self.bitmap = client, bitmap
        self.map = []
        self.requests = 0

    def add(self, offset, length, flags):
        if self.map and self.map[-1][2] == flags and \
                self.map[-1][0] + self.map[-1][1] == offset:
            self.map[-1][1] += length
        else:
            self.map.append([offset, length, flags])

    def merge(self, offset, allocation, dirty):
        allocation = [[length, flags & ZERO] for length, flags in allocation]
        dirty = [list(extent) for extent in dirty]
        a = d = 0
        while a < len(allocation) and d < len(dirty):
            step = min(allocation[a][0], dirty[d][0])
            self.add(offset, step, allocation[a][1] | dirty[d][1])
            offset += step
            for extent in allocation[a], dirty[d]:
                extent[0] -= step
            a += not allocation[a][0]
            d += not dirty[d][0]

    def run(self):
        offset = 0
        while offset < self.client.size:
            self.requests += 1
            status = self.client.block_status(offset, self.client.size - offset)
            allocation = status["base:allocation"]
            dirty = status[self.bitmap]
            self.merge(offset, allocation, dirty)
            offset += max(sum(length for length, _ in extents)
                          for extents in (allocation, dirty))
        return self

    def dirty_ranges(self):
        """Whatever else they are."""
        found = []
        for offset, length, flags in self.map:
            if not flags & DIRTY:
                continue
            if found and found[-1][0] + found[-1][1] == offset:
                found[-1] = found[-1][0], found[-1][1] + length
            else:
                found.append((offset, length))
        return found


class Export(DiskTest):
    extended = True

    def mapper(self, number):
        names = ["base:allocation", self.dirty(number)]
        client = self.client().enter("disk", names)
        # It makes sure of both before it goes on.
        self.assertEqual(set(client.ids.values()), set(names))
        return Mapper(client, self.dirty(number))


class Incremental(Export):
    def test_the_map_is_whole_and_true(self):
        for number in 0, 4, 8:
            mapper = self.mapper(number).run()
            self.assertEqual(sum(length for _, length, _ in mapper.map),
                             self.SIZE)
            self.assertEqual(mapper.dirty_ranges(), self.dirty_ranges(number))
            self.assert_zero((offset, length) for offset, length, flags
                             in mapper.map if flags & ZERO)
            # Zeroes are not read, changed or not, or trimming would make
            # increments large.
            self.assertTrue(any(flags == ZERO | DIRTY
                                for _, _, flags in mapper.map))

    def test_this_client_loses_data_where_coverage_differs(self):
        """Or else the tests of this file would show nothing."""
        mapper = self.mapper(4)
        equal = mapper.client.block_status

        def unequal(offset, length):
            status = equal(offset, length)
            extents = status[mapper.bitmap]
            if len(extents) > 1000:
                status[mapper.bitmap] = extents[:1000]
            return status
        mapper.client.block_status = unequal
        self.assertNotEqual(mapper.run().dirty_ranges(), self.dirty_ranges(4))


class Fragmented(Export):
    """A bitmap with more extents than a chunk may have, over an allocation
    with a few."""
    SIZE = 520 << 20
    BLOCK = 512
    ISLANDS = 0, (256 << 20) + 4096

    @classmethod
    def changed_at(cls, block):
        return block % 2 * 9

    def test_several_replies(self):
        mapper = self.mapper(4).run()
        self.assertGreater(mapper.requests, 1)
        self.assertEqual(mapper.dirty_ranges(), self.dirty_ranges(4))


if __name__ == "__main__":
    unittest.main()

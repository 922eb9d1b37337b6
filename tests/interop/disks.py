# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the tests of backup tools' protocol behaviour are run against. The tools
themselves need hypervisors; what they say on the wire does not."""

import os
import shutil
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "protocol"))

from mapfile import ChangeMap
from nbdwire import Server, ServerTest


class DiskTest(ServerTest):
    """Like ServerTest, with a sparse disk of any size: data of DATA bytes at the
    offsets of ISLANDS, and a change map by changed_at()."""

    SIZE = 6 << 30
    BLOCK = 64 << 10
    ISLANDS = 0, (1 << 20) + 4096, (2 << 30) - (300 << 10), 5 << 30, \
        (6 << 30) - (600 << 10)
    DATA = 600 << 10

    @classmethod
    def changed_at(cls, block):
        """The take after which a block was written, 0 to 9."""
        return block * block // 37 % 10

    @classmethod
    def setUpClass(cls):
        cls.directory = tempfile.mkdtemp(prefix="blksnap-nbd-")
        cls.addClassCleanup(shutil.rmtree, cls.directory)
        cls.disk = os.path.join(cls.directory, "disk.raw")
        cls.data = os.urandom(cls.DATA)
        with open(cls.disk, "wb") as disk:
            disk.truncate(cls.SIZE)
            for start in cls.ISLANDS:
                disk.seek(start)
                disk.write(cls.data)
        cls.map = ChangeMap(
            cls.SIZE, cls.BLOCK, cls.GENERATION, 9,
            bytes(cls.changed_at(block) for block in
                  range((cls.SIZE + cls.BLOCK - 1) // cls.BLOCK)))
        cls.map.save(os.path.join(cls.directory, "map"))
        cls.server = Server(cls.directory, "file=" + cls.disk, "name=disk",
                            "cbt=" + os.path.join(cls.directory, "map"))
        cls.addClassCleanup(cls.end)

    @classmethod
    def content_at(cls, offset, length):
        """What the disk itself has there."""
        with open(cls.disk, "rb") as disk:
            disk.seek(offset)
            return disk.read(length)

    def dirty_ranges(self, number):
        return [(offset, length) for offset, length, dirty
                in self.map.since(number) if dirty]

    def assert_zero(self, ranges):
        """What a tool does not read has to be zero: in the disk itself."""
        for offset, length in ranges:
            end = offset + length
            for start in self.ISLANDS:
                self.assertTrue(end <= start or start + self.DATA <= offset,
                                f"data at {start} is said to be zero")


def merged(extents):
    """Neighbours that are alike become one: [(length, value)]."""
    result = []
    for length, value in extents:
        if result and result[-1][1] == value:
            result[-1] = result[-1][0] + length, value
        else:
            result.append((length, value))
    return result


def placed(extents, offset=0):
    """[(offset, length, value)]"""
    result = []
    for length, value in extents:
        result.append((offset, length, value))
        offset += length
    return result

#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""oVirt imageio has an NBD client of its own. It does not ask for NO_ZEROES,
extended headers or any information, takes an export with two bitmaps for one
without, and ends the session at whatever it does not expect. This says on the
wire what that client does, and insists on what it does."""

import struct
import unittest

from disks import DiskTest, merged, placed
from nbdwire import *

STEP = 2 << 30  # of a block status
MAX_EXTENTS = (2**32 - 1) // 4096  # more of them in a chunk are a protocol error


class Imageio(Client):
    """From the greeting to transmission, and extents from there."""

    def open(self, test, export, dirty):
        self.minimum = 1
        self.greet(flags=1)
        self.option(OPT_STRUCTURED_REPLY)
        wanted = ["base:allocation", "qemu:allocation-depth"]
        self.bitmap = None
        if dirty:
            bitmaps = self.contexts(OPT_LIST_META_CONTEXT, export,
                                    ["qemu:dirty-bitmap:"])
            if len(bitmaps) == 1:
                self.bitmap = bitmaps[0][1]
                wanted.append(self.bitmap)
        found = self.contexts(OPT_SET_META_CONTEXT, export, wanted)
        test.assertLessEqual({name for _, name in found}, set(wanted))
        self.ids = dict(found)
        items = self.info(OPT_GO, export)
        if INFO_BLOCK_SIZE in items:
            self.minimum, = struct.unpack(">I", items[INFO_BLOCK_SIZE][:4])
        return self

    def extents(self, test, context):
        """The whole export in its steps, merged."""
        offset, found = 0, []
        while offset < self.size:
            # Its replies must be chunks of status, one a context, of ids that
            # were negotiated: block_status() takes nothing else.
            status = self.block_status(offset, min(STEP, self.size - offset))
            for extents in status.values():
                test.assertLessEqual(len(extents), MAX_EXTENTS)
                for length, _ in extents:
                    test.assertEqual(length % self.minimum, 0)
            for length, flags in status[context]:
                length = min(length, self.size - offset)
                found.append((length, flags))
                offset += length
        return merged(found)


class Backup(DiskTest):
    def open(self, export, dirty):
        client = Imageio(self.server.path)
        self.addCleanup(client.close)
        return client.open(self, export, dirty)

    def test_full(self):
        client = self.open("disk", dirty=False)
        extents = placed(client.extents(self, "base:allocation"))
        self.assertEqual(sum(length for _, length, _ in extents), self.SIZE)
        self.assert_zero((offset, length) for offset, length, flags in extents
                         if flags & 2)
        for offset, length, flags in extents:
            if not flags & 2:
                for at in range(offset, offset + length, 32 << 20):
                    size = min(32 << 20, offset + length - at)
                    self.assertEqual(client.read(at, size),
                                     self.content_at(at, size))
        # Or else everything was said to be data.
        self.assertTrue(any(flags & 2 for _, _, flags in extents))

    def test_incremental(self):
        export = f"disk@{self.GENERATION}.4"
        client = self.open(export, dirty=True)
        self.assertEqual(client.bitmap, self.dirty(4))
        seen = [(offset, length) for offset, length, flags
                in placed(client.extents(self, client.bitmap)) if flags & 1]
        self.assertEqual(seen, self.dirty_ranges(4))

    def test_an_export_without_a_bitmap_to_choose(self):
        """An export that lists several gives it none; one gives it that one."""
        client = self.client().greet(flags=1)
        client.option(OPT_STRUCTURED_REPLY)
        listed = client.contexts(OPT_LIST_META_CONTEXT, "disk",
                                 ["qemu:dirty-bitmap:"])
        opened = self.open("disk", dirty=True)
        self.assertEqual(opened.bitmap,
                         listed[0][1] if len(listed) == 1 else None)

    def test_clones_whether_or_not_they_are_advertised(self):
        first = self.open("disk", dirty=False)
        clones = [first] + [self.open("disk", dirty=False) for _ in range(7)]
        for offset in self.ISLANDS:
            expected = self.content_at(offset, self.DATA)
            cookies = [clone.request(CMD_READ, offset, self.DATA)
                       for clone in clones]
            for clone, cookie in zip(clones, cookies):
                data = bytearray(self.DATA)
                for kind, payload in clone.chunks(cookie):
                    place_chunk(data, offset, kind, payload)
                self.assertEqual(data, expected)

    def test_it_hangs_up_after_disc(self):
        client = self.open("disk", dirty=False)
        client.request(CMD_DISC)
        client.socket.close()
        self.open("disk", dirty=False)


class Fragmented(DiskTest):
    """More extents than may be in a reply."""
    SIZE = 520 << 20
    BLOCK = 512
    ISLANDS = (0,)

    @classmethod
    def changed_at(cls, block):
        return block % 2 * 9

    def test_no_reply_has_too_many(self):
        client = Imageio(self.server.path)
        self.addCleanup(client.close)
        client.open(self, f"disk@{self.GENERATION}.4", dirty=True)
        extents = client.extents(self, client.bitmap)
        self.assertEqual(extents, [(512, block % 2)
                                   for block in range(self.SIZE // 512)])


if __name__ == "__main__":
    unittest.main()

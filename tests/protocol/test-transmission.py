#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Requests and replies, against the program itself."""

import os
import random
import ssl
import struct
import subprocess
import unittest

from nbdwire import *


class Transmission(ServerTest):
    def simple_client(self):
        client = self.client().greet()
        client.info(OPT_GO, "disk")
        return client

    def test_read(self):
        client = self.client().enter("disk")
        for offset, length in (0, self.SIZE), (1, 1), (self.SIZE - 1, 1), \
                              ((1 << 20) - 3, 7), ((3 << 20) - 512, 1 << 19):
            for flags in 0, FLAG_DF:
                self.assertEqual(client.read(offset, length, flags),
                                 self.content[offset:offset + length])

    def test_df_gets_one_chunk(self):
        client = self.client().enter("disk")
        chunks = client.chunks(client.request(CMD_READ, 0, self.SIZE, FLAG_DF))
        self.assertEqual([kind for kind, _ in chunks], [CHUNK_DATA])

    def test_holes_are_told_as_holes(self):
        client = self.client().enter("disk")
        for length in 512, 4096, 40_000, 1 << 20:
            chunks = client.chunks(client.request(CMD_READ, 0, length))
            self.assertEqual([kind for kind, _ in chunks], [CHUNK_HOLE])
            self.assertEqual(chunks[0][1], struct.pack(">QI", 0, length))
        # One that begins with a hole, and one that ends in it.
        for offset in (1 << 20) - 50_000, (3 << 19) - 50_000:
            self.assertEqual(client.read(offset, 100_000),
                             self.content[offset:offset + 100_000])

    def test_what_the_file_becomes_is_what_is_read(self):
        client = self.client().enter("disk")
        offset, length = 1 << 20, 1 << 18
        self.assertEqual(client.read(offset, length),
                         self.content[offset:offset + length])
        with open(self.disk, "r+b") as disk:
            for data in os.urandom(length), bytes(length), os.urandom(length):
                disk.seek(offset)
                disk.write(data)
                disk.flush()
                self.content[offset:offset + length] = data
                self.assertEqual(client.read(offset, length), data)
            # A hole comes to be, and is filled again.
            subprocess.run(["fallocate", "-p", "-o", str(offset), "-l",
                            str(length), self.disk], check=True)
            self.assertEqual(client.read(offset, length), bytes(length))
            data = os.urandom(length)
            disk.seek(offset)
            disk.write(data)
            disk.flush()
            self.content[offset:offset + length] = data
            self.assertEqual(client.read(offset, length), data)

    def test_simple_replies(self):
        client = self.simple_client()
        cookie = client.request(CMD_READ, 1 << 20, 100_000)
        self.assertEqual(client.simple_reply(cookie), 0)
        self.assertEqual(client.receive(100_000),
                         self.content[1 << 20:(1 << 20) + 100_000])
        for command, offset, length, error in (
                (CMD_READ, self.SIZE, 1, EINVAL),
                (CMD_READ, 0, 0, EINVAL),
                (CMD_FLUSH, 0, 0, 0),
                (CMD_TRIM, 0, 512, EPERM),
                (CMD_WRITE_ZEROES, 0, 512, EPERM),
                (CMD_CACHE, 0, 512, 0),
                (CMD_CACHE, self.SIZE, 512, EINVAL),
                (CMD_BLOCK_STATUS, 0, 512, EINVAL),
                (4711, 0, 512, EINVAL)):
            with self.subTest(command=command):
                cookie = client.request(command, offset, length)
                self.assertEqual(client.simple_reply(cookie), error)

    def test_errors_come_with_a_message(self):
        client = self.client().enter("disk")
        for command, offset, length, flags, error in (
                (CMD_READ, self.SIZE, 1, 0, EINVAL),
                (CMD_READ, self.SIZE - 1, 2, 0, EINVAL),
                (CMD_READ, (1 << 64) - 1, 1, 0, EINVAL),
                (CMD_READ, (1 << 64) - 512, 1024, 0, EINVAL),
                (CMD_READ, 0, 0, 0, EINVAL),
                (CMD_READ, 0, 512, FLAG_REQ_ONE, EINVAL),
                (CMD_READ, 0, 512, 0x8000, EINVAL),
                (CMD_FLUSH, 0, 512, 0, EINVAL),
                (CMD_TRIM, 0, 512, 0, EPERM),
                (CMD_WRITE_ZEROES, 0, 512, 0, EPERM),
                (CMD_CACHE, 0, 0, 0, EINVAL),
                (8, 0, 512, 0, EINVAL),
                (0xffff, 0, 512, 0, EINVAL),
                (CMD_BLOCK_STATUS, 0, 512, 0, EINVAL)):
            with self.subTest(command=command, offset=offset, flags=flags):
                self.assertEqual(
                    client.failure(command, offset, length, flags), error)
        self.assertEqual(client.read(0, 512), bytes(512))

    def test_a_read_of_4_gib(self):
        client = self.client().enter("disk")
        self.assertEqual(client.failure(CMD_READ, 0, 0xffffffff), EINVAL)
        self.assertEqual(client.read(0, 512), bytes(512))

    def test_a_write_is_refused_and_its_data_skipped(self):
        client = self.client().enter("disk")
        # The data looks like requests, and is not to be taken for any.
        lure = struct.pack(">IHHQQI", REQUEST_MAGIC, 0, CMD_READ, 1, 0, 512)
        payload = lure * 10_000
        self.assertEqual(
            client.failure(CMD_WRITE, 0, len(payload), 0, payload), EPERM)
        self.assertEqual(client.read(0, 512), bytes(512))

    def test_alignment_binds_who_asked_for_the_block_size(self):
        client = self.client().enter("disk", infos=[INFO_BLOCK_SIZE])
        # A plain file has a minimum of 1.
        self.assertEqual(client.read(1, 1), b"\0")

    def test_pipelined_reads_keep_their_cookies(self):
        client = self.client().enter("disk")
        expected = {}
        for _ in range(200):
            offset = random.randrange(self.SIZE)
            length = random.randint(1, min(70_000, self.SIZE - offset))
            cookie = client.request(CMD_READ, offset, length)
            expected[cookie] = offset, bytearray(b"?" * length)
        while expected:
            flags, kind, cookie, payload = client.chunk()
            offset, data = expected[cookie]
            place_chunk(data, offset, kind, payload)
            if flags & CHUNK_DONE:
                self.assertEqual(data, self.content[offset:offset + len(data)])
                del expected[cookie]

    def test_cache(self):
        client = self.client().enter("disk")
        for offset, length in (0, self.SIZE), (self.SIZE - 1, 1):
            cookie = client.request(CMD_CACHE, offset, length)
            self.assertEqual(client.chunks(cookie), [(CHUNK_NONE, b"")])

    def test_disc(self):
        client = self.client().enter("disk")
        client.request(CMD_DISC)
        self.assertTrue(client.at_end())


class BlockStatus(ServerTest):
    def expected(self, number, offset, length):
        """What the map says, clipped: [(length, flags)]."""
        extents = []
        for start, size, dirty in self.map.since(number):
            begin = max(start, offset)
            end = min(start + size, offset + length)
            if begin < end:
                extents.append((end - begin, dirty))
        return extents

    def test_allocation_and_bitmaps_side_by_side(self):
        names = ["base:allocation", self.dirty(3), self.dirty(8)]
        client = self.client().enter("disk", names)
        for offset, length in (0, self.SIZE), (1 << 20, 1 << 20), \
                              (12345, 678_901), (self.SIZE - 1, 1):
            status = client.block_status(offset, length)
            for number in 3, 8:
                self.assertEqual(status[self.dirty(number)],
                                 self.expected(number, offset, length))
            self.assertEqual(
                sum(size for size, _ in status["base:allocation"]), length)
        self.assertEqual(client.block_status(0, self.SIZE)["base:allocation"],
                         [(1 << 20, 3), (1 << 19, 0), (3 << 19, 3),
                          (1 << 19, 0), (1 << 19, 3)])

    def test_one_extent(self):
        names = ["base:allocation", self.dirty(4)]
        client = self.client().enter("disk", names)
        offset = 0
        walked = []
        while offset < self.SIZE:
            status = client.block_status(offset, self.SIZE - offset,
                                         FLAG_REQ_ONE)
            for extents in status.values():
                self.assertEqual(len(extents), 1)
            length, dirty = status[self.dirty(4)][0]
            self.assertLessEqual(length, self.SIZE - offset)
            if walked and walked[-1][1] == dirty:
                walked[-1] = walked[-1][0] + length, dirty
            else:
                walked.append((length, dirty))
            offset += length
        self.assertEqual(walked, self.expected(4, 0, self.SIZE))
        self.assertEqual(client.block_status(512, 512, FLAG_REQ_ONE)
                         [self.dirty(4)], self.expected(4, 512, 512))

    def test_values_of_a_bitmap_are_0_and_1(self):
        client = self.client().enter("disk", [self.dirty(0)])
        (_, extents), = client.block_status(0, self.SIZE).items()
        self.assertEqual({flags for _, flags in extents}, {0, 1})

    def test_refusals(self):
        client = self.client().enter("disk", ["base:allocation"])
        for offset, length in (self.SIZE, 1), (0, self.SIZE + 1), (0, 0), \
                              (0, 0xffffffff), ((1 << 64) - 1, 1):
            self.assertEqual(client.block_status(offset, length), EINVAL)
        self.assertEqual(client.block_status(0, 512, FLAG_DF), EINVAL)
        self.assertEqual(client.block_status(0, 512),
                         {"base:allocation": [(512, 3)]})

    def test_an_export_of_one_bitmap(self):
        export = f"disk@{self.GENERATION}.5"
        client = self.client().greet()
        client.option(OPT_STRUCTURED_REPLY)
        self.assertEqual(client.contexts(OPT_LIST_META_CONTEXT, export,
                                         ["qemu:dirty-bitmap:"]),
                         [(0, self.dirty(5))])

    def test_the_changed_view_has_holes_that_are_not_zero(self):
        export = f"disk@{self.GENERATION}.5+changed"
        client = self.client().enter(export, ["base:allocation"])
        (_, extents), = client.block_status(0, self.SIZE).items()
        position = 0
        dirty = bytearray()
        for length, flags in extents:
            self.assertIn(flags, (0, 1, 2, 3))
            dirty += bytes([flags != 1]) * length
            position += length
        for start, length, changed in self.map.since(5):
            self.assertEqual(set(dirty[start:start + length]), {changed})
        self.assertEqual(client.read(0, self.SIZE), self.content)


class ExtendedTransmission(Transmission):
    extended = True

    # Simple replies do not exist here.
    test_simple_replies = None

    def test_data_where_none_belongs_is_skipped(self):
        client = self.client().enter("disk", ["base:allocation"])
        lure = struct.pack(">IHHQQQ", EXTENDED_REQUEST_MAGIC, 0, CMD_READ, 1, 0,
                           512) * 10_000
        for command in (CMD_READ, CMD_TRIM, CMD_FLUSH, CMD_CACHE,
                        CMD_WRITE_ZEROES, CMD_BLOCK_STATUS, 99):
            self.assertIn(client.failure(command, payload=lure),
                          (EINVAL, EPERM))
        # "A nonzero payload length".
        for command in CMD_READ, CMD_WRITE, CMD_BLOCK_STATUS:
            self.assertIn(client.failure(command, 0, 0, FLAG_PAYLOAD_LEN),
                          (EINVAL, EPERM))
        self.assertEqual(client.read(0, 512), bytes(512))

    def test_data_of_a_write_without_the_flag(self):
        """As QEMU sends it; refused here, since nothing may be written."""
        client = self.client().enter("disk")
        lure = struct.pack(">IHHQQQ", EXTENDED_REQUEST_MAGIC, 0, CMD_READ, 1, 0,
                           512) * 10_000
        cookie = client.request(CMD_WRITE, 0, len(lure))
        client.send(lure)
        self.assertEqual(client.error(client.chunks(cookie)), EPERM)
        self.assertEqual(client.read(0, 512), bytes(512))

    def test_a_read_beyond_32_bits(self):
        client = self.client().enter("disk")
        for length in (1 << 32) + 512, (1 << 64) - 1:
            self.assertEqual(client.failure(CMD_READ, 0, length), EINVAL)
        self.assertEqual(client.read(0, 512), bytes(512))

    def test_too_much_data_ends_the_session(self):
        for length in (32 << 20) + 1, 1 << 32, (1 << 64) - 1:
            client = self.client().enter("disk")
            client.request(CMD_BLOCK_STATUS, 0, length, FLAG_PAYLOAD_LEN)
            self.assertTrue(client.at_end())

    def test_a_compact_request_ends_the_session(self):
        client = self.client().enter("disk")
        client.send(struct.pack(">IHHQQIxxxx", REQUEST_MAGIC, 0, CMD_READ, 1, 0,
                                512))
        self.assertTrue(client.at_end())


class ExtendedBlockStatus(BlockStatus):
    extended = True

    def test_the_payload_picks_contexts(self):
        names = ["base:allocation", self.dirty(3), self.dirty(8)]
        client = self.client().enter("disk", names)
        self.assertTrue(client.flags & FLAG_BLOCK_STATUS_PAYLOAD)
        full = client.block_status(0, self.SIZE)
        for ids in [1], [3], [2, 1], [3, 1, 2]:
            some = client.block_status(0, self.SIZE, ids=ids)
            self.assertEqual(some, {client.ids[i]: full[client.ids[i]]
                                    for i in ids})
        one = client.block_status(0, self.SIZE, FLAG_REQ_ONE, ids=[2])
        self.assertEqual(one[self.dirty(3)],
                         self.expected(3, 0, self.SIZE)[:1])
        for ids in [], [0], [4], [1, 1], [1, 2, 3, 1], range(1, 1000):
            self.assertEqual(client.block_status(0, self.SIZE, ids=ids), EINVAL)
        for length in 0, self.SIZE + 1, (1 << 64) - 1:
            self.assertEqual(client.block_status(0, length, ids=[1]), EINVAL)
        self.assertEqual(client.block_status(0, self.SIZE), full)

    def test_the_payload_is_for_those_with_contexts(self):
        client = self.client().enter("disk")
        self.assertFalse(client.flags & FLAG_BLOCK_STATUS_PAYLOAD)
        self.assertEqual(client.block_status(0, 512, ids=[1]), EINVAL)


class TlsTransmission(Transmission):
    tls_version = ssl.TLSVersion.TLSv1_3


class Tls12Transmission(Transmission):
    tls_version = ssl.TLSVersion.TLSv1_2


class TlsBlockStatus(ExtendedBlockStatus):
    tls_version = ssl.TLSVersion.TLSv1_3


if __name__ == "__main__":
    unittest.main()

#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Xen Orchestra's client enters with NBD_OPT_EXPORT_NAME at once, wants the 124
zeroes after it, and knows simple replies only, which it takes in any order. To
it a failed read is the end of the connection. It reads blocks of one size, of
which the last one may be shorter."""

import random
import struct
import unittest

from disks import DiskTest
from nbdwire import *

BLOCK = 64 << 10


class XenOrchestra(DiskTest):
    SIZE = (64 << 20) + 12_345  # so that the last block is a short one
    ISLANDS = 0, 10 << 20, SIZE - DiskTest.DATA

    def open(self):
        client = self.client().greet(flags=1)
        client.send_option(OPT_EXPORT_NAME, b"disk")
        reply = client.receive(134)
        client.size, client.flags = struct.unpack(">QH", reply[:10])
        self.assertEqual(client.size, self.SIZE)
        self.assertTrue(client.flags & 1)  # HAS_FLAGS: it insists
        self.assertEqual(reply[10:], bytes(124))
        # Its numbers of requests begin with 0.
        client.cookie = -1
        return client

    def ask(self, client, index):
        length = min(BLOCK, client.size - index * BLOCK)
        return client.request(CMD_READ, index * BLOCK, length), length

    def test_blocks_in_any_order(self):
        client = self.open()
        blocks = list(range((self.SIZE + BLOCK - 1) // BLOCK))
        random.shuffle(blocks)
        read = {}
        while blocks or read:
            # 16 in flight.
            while blocks and len(read) < 16:
                index = blocks.pop()
                cookie, length = self.ask(client, index)
                read[cookie] = index, length
            magic, error, cookie = struct.unpack(">IIQ", client.receive(16))
            self.assertEqual((magic, error), (SIMPLE_MAGIC, 0))
            index, length = read.pop(cookie)
            self.assertEqual(client.receive(length),
                             self.content_at(index * BLOCK, length))

    def test_several_connections(self):
        clients = [self.open() for _ in range(4)]
        for index in 0, 160, self.SIZE // BLOCK:
            asked = [self.ask(client, index) for client in clients]
            for client, (cookie, length) in zip(clients, asked):
                self.assertEqual(client.simple_reply(cookie), 0)
                self.assertEqual(client.receive(length),
                                 self.content_at(index * BLOCK, length))

    def test_the_end(self):
        """DISC with reads under way, and its side closed: it has its data."""
        client = self.open()
        asked = [self.ask(client, index) for index in (0, 1)]
        client.request(CMD_DISC)
        client.socket.shutdown(socket.SHUT_WR)
        for _ in asked:
            magic, error, cookie = struct.unpack(">IIQ", client.receive(16))
            self.assertEqual((magic, error), (SIMPLE_MAGIC, 0))
            client.receive(dict(asked)[cookie])
        self.assertTrue(client.at_end())

    def test_a_name_that_is_not_served(self):
        client = self.client().greet(flags=1)
        client.send_option(OPT_EXPORT_NAME, b"other")
        self.assertTrue(client.at_end())
        self.open()


if __name__ == "__main__":
    unittest.main()

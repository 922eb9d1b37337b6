#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Clients that mean harm or are broken. After each of them the next client is
served, by the same process, which has not grown out of bounds."""

import os
import random
import ssl
import struct
import unittest

from nbdwire import *


class Hostile(ServerTest):
    def tearDown(self):
        super().tearDown()
        self.assert_serving()
        if os.environ.get("BLKSNAP_SANITIZE"):
            return  # sanitizers take memory of their own
        # 32 threads' stacks and a few buffers: far below what a client asks
        # for in these tests.
        with open(f"/proc/{self.server.process.pid}/status",
                  encoding="ascii") as status:
            resident = next(int(line.split()[1]) for line in status
                            if line.startswith("VmRSS"))
        self.assertLess(resident, 400_000, "KiB resident")

    def test_garbage_for_flags(self):
        client = self.client()
        client.receive(18)
        client.send(b"\xff\xff\xff\xff")
        self.assertTrue(client.at_end())

    def test_http(self):
        client = self.client()
        client.receive(18)
        client.send(b"GET / HTTP/1.0\r\n\r\n")
        self.assertTrue(client.at_end())

    def test_cve_2013_7441_closing_anywhere_in_the_handshake(self):
        data = (struct.pack(">I", 3) +
                b"IHAVEOPT" + struct.pack(">II", 8, 0) +
                b"IHAVEOPT" + struct.pack(">II", 10, 31) +
                queries("disk", ["base:allocation"]) +
                b"IHAVEOPT" + struct.pack(">II", 7, 10) + counted("disk") +
                b"\0\0")
        for length in range(len(data) + 1):
            with self.connect() as client:
                client.send(data[:length])

    def test_closing_anywhere_in_a_request(self):
        for length in range(28):
            with self.connect() as client:
                client.enter("disk")
                client.send(struct.pack(">IHHQQI", REQUEST_MAGIC, 0, CMD_READ,
                                        1, 0, 4096)[:length])

    def test_closing_with_replies_under_way(self):
        for _ in range(20):
            with self.connect() as client:
                client.enter("disk")
                for _ in range(50):
                    client.request(CMD_READ, 0, 1 << 20)

    def test_wrong_option_magic(self):
        client = self.client().greet()
        client.send(b"IHAVEOPX" + bytes(8))
        self.assertTrue(client.at_end())

    def test_option_data_of_4_gib(self):
        client = self.client().greet()
        client.send(b"IHAVEOPT" + struct.pack(">II", OPT_GO, 0xffffffff))
        self.assertTrue(client.at_end())

    def test_option_data_that_is_never_sent(self):
        client = self.client().greet()
        client.send(b"IHAVEOPT" + struct.pack(">II", OPT_GO, 32 << 20))
        client.send(bytes(1 << 20))

    def test_a_million_queries(self):
        client = self.client().greet()
        client.option(OPT_STRUCTURED_REPLY)
        with self.assertRaises(Refused) as refusal:
            client.option(OPT_SET_META_CONTEXT, queries("disk", [""] * 10**6))
        self.assertEqual(refusal.exception.args[0], ERR_TOO_BIG)
        names = [self.dirty(number % 10) for number in range(900)]
        found = client.contexts(OPT_SET_META_CONTEXT, "disk", names)
        self.assertEqual(len(found), 10)

    def test_wrong_request_magic(self):
        client = self.client().enter("disk")
        client.send(bytes(32))
        self.assertTrue(client.at_end())

    def test_a_write_of_4_gib(self):
        client = self.client().enter("disk")
        client.request(CMD_WRITE, 0, 0xffffffff, FLAG_PAYLOAD_LEN)
        self.assertTrue(client.at_end())

    def test_a_write_whose_data_never_comes(self):
        client = self.client().enter("disk")
        client.request(CMD_WRITE, 0, 32 << 20, payload=bytes(1 << 20))

    def test_a_reader_that_does_not_read(self):
        client = self.client().enter("disk")
        client.socket.settimeout(0.5)
        try:
            for _ in range(100_000):
                client.request(CMD_READ, 0, 4 << 20)
        except TimeoutError:
            pass  # the server does not take any more, as it should not
        else:
            self.fail("the server takes requests without end")

    def test_many_block_status_requests_at_once(self):
        names = ["base:allocation"] + [self.dirty(i) for i in range(9)]
        client = self.client().enter("disk", names)
        for _ in range(100):
            client.request(CMD_BLOCK_STATUS, 0, self.SIZE)
        for _ in range(100):
            while not client.chunk()[0] & CHUNK_DONE:
                pass

    def test_random_requests(self):
        random.seed(20)
        client = self.client().enter("disk", ["base:allocation"])
        edges = [0, 1, 511, 512, self.SIZE - 1, self.SIZE, self.SIZE + 1,
                 1 << 31, 1 << 32, 1 << 63, (1 << 64) - 1]
        lengths = [0, 1, 512, self.SIZE, self.SIZE + 1, (32 << 20) + 1,
                   1 << 31, (1 << 32) - 1]
        for _ in range(3000):
            command = random.choice([0, 3, 4, 5, 6, 7, 8, 9, 0x8000, 0xffff])
            cookie = client.request(command, random.choice(edges),
                                    random.choice(lengths),
                                    random.choice([0, 0, 0, 1, 2, 4, 8, 16,
                                                   0xffdf]))
            for kind, _ in client.chunks(cookie):
                self.assertIn(kind, (CHUNK_NONE, CHUNK_DATA, CHUNK_HOLE,
                                     CHUNK_STATUS, CHUNK_STATUS_EXT,
                                     CHUNK_ERROR))

    def test_random_bytes(self):
        random.seed(19)
        for _ in range(200):
            with self.connect() as client:
                client.greet()
                data = bytearray(random.randbytes(random.randint(1, 200)))
                if random.random() < 0.8:  # a proper header for what follows
                    data[:0] = b"IHAVEOPT" + struct.pack(
                        ">II", random.randint(0, 13), random.randint(0, 100))
                try:
                    client.send(data)
                except Closed:
                    pass

    def test_many_connections(self):
        clients = [self.client() for _ in range(150)]
        for client in clients[:90]:
            client.greet()
        for client in clients:
            client.close()

    def test_log_lines_cannot_be_forged(self):
        client = self.client().greet()
        client.send_option(OPT_EXPORT_NAME, b"nope\nblksnap critical: \x1b[31m")
        self.assertTrue(client.at_end())
        log = self.server.log_text()
        self.assertNotIn("\nblksnap critical", log)
        self.assertNotIn("\x1b[31m", log)


class Shutdown(ProgramTest):
    def test_cve_2024_7409_clients_that_stay_while_the_server_ends(self):
        """QEMU crashed where a client was about to be served, or about to go,
        while its NBD server was taken down."""
        flags = struct.pack(">I", 3)
        option = b"IHAVEOPT" + struct.pack(">II", OPT_GO, 100)
        entered = b"IHAVEOPT" + struct.pack(">II", OPT_GO, 6) + bytes(6)
        read = struct.pack(">IHHQQI", REQUEST_MAGIC, 0, CMD_READ, 1, 0, 1 << 20)
        for last_words in (b"", flags[:2], flags, flags + option[:9],
                           flags + option, flags + option + bytes(50),
                           flags + entered, flags + entered + read[:9],
                           flags + entered + read,
                           flags + entered + read * 500):
            with self.subTest(length=len(last_words)):
                server = self.server("file=" + self.disk)
                server.wait_for_log("listening on")
                clients = [server.client() for _ in range(20)]
                for client in clients:
                    client.send(last_words)
                # One goes at the same time.
                clients.pop().close()
                self.assertEqual(server.stop(), 0, server.log_text())
                for client in clients:
                    client.close()


class ExtendedHostile(Hostile):
    extended = True


class TlsHostile(Hostile):
    tls_version = ssl.TLSVersion.TLSv1_3


if __name__ == "__main__":
    unittest.main()

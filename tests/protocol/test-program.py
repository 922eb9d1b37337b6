#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""blksnap-nbd as a program: options, readiness, signals, what it leaves."""

import os
import re
import signal
import socket
import subprocess
import unittest

from nbdwire import *

PROGRAM = os.environ["BLKSNAP_NBD"]
MANUAL = os.path.join(os.path.dirname(os.path.abspath(__file__)),
                      "../../tools/man/blksnap-nbd.8")


class Program(ProgramTest):
    def test_help_and_version(self):
        for option, text in ("--help", "device=DEVICE"), \
                            ("--version", "blksnap-nbd "):
            done = subprocess.run([PROGRAM, option], capture_output=True,
                                  text=True, timeout=TIMEOUT, check=True)
            self.assertIn(text, done.stdout)

    def test_manual_has_the_options_of_help(self):
        """All of them, under all their names, in the same order."""
        shown = subprocess.run([PROGRAM, "--help"], capture_output=True,
                               text=True, timeout=TIMEOUT, check=True).stdout
        helped = [names.split(",") for names in
                  re.findall(r"^  (-\S+)", shown, re.MULTILINE)]
        with open(MANUAL, encoding="utf-8") as manual:
            told = [["-" + name for name in
                     line.partition(" Ar ")[0].split(" , ")]
                    for line in re.findall(r"^\.It Fl (.*)", manual.read(),
                                           re.MULTILINE)]
        self.assertIn(["-U", "--unix"], told)
        self.assertEqual(helped, told)

    def test_signals_end_it_in_order(self):
        for number in signal.SIGTERM, signal.SIGINT, signal.SIGHUP:
            server = self.server("file=" + self.disk)
            with open(server.pidfile, encoding="ascii") as pidfile:
                self.assertEqual(int(pidfile.read()), server.process.pid)
            server.wait_for_log(re.escape(
                "listening on nbd+unix:///?socket=" + server.path))
            with server.client() as client:
                client.enter()
                server.process.send_signal(number)
                self.assertTrue(client.at_end())
            self.assertEqual(server.process.wait(TIMEOUT), 0)
            self.assertFalse(os.path.exists(server.path))
            self.assertFalse(os.path.exists(server.pidfile))

    def test_stale_socket_is_replaced(self):
        server = self.server("file=" + self.disk)
        server.process.kill()
        server.process.wait()
        self.assertTrue(os.path.exists(server.path))
        os.unlink(server.pidfile)
        again = self.server("file=" + self.disk)
        with again.client() as client:
            client.enter()
            self.assertEqual(client.read(0, 512), bytes(512))

    def test_socket_in_use(self):
        server = self.server("file=" + self.disk)
        self.assertIn("another server listens",
                      self.fails("-U", server.path, "file=" + self.disk))
        with server.client() as client:
            client.enter()

    def test_socket_path_is_something_else(self):
        self.assertIn("is no socket",
                      self.fails("-U", self.disk, "file=" + self.disk))
        self.assertEqual(os.path.getsize(self.disk), 1 << 20)

    def test_tcp(self):
        server = self.server("-i", "127.0.0.1", "-p", "0", "file=" + self.disk)
        port = server.wait_for_log(r"nbd://127\.0\.0\.1:(\d+)/")
        with socket.create_connection(("127.0.0.1", int(port[1])), TIMEOUT) as tcp:
            self.assertEqual(tcp.recv(16, socket.MSG_WAITALL),
                             b"NBDMAGICIHAVEOPT")

    def test_foreground_is_accepted(self):
        self.assertEqual(self.server("-f", "--tls=off", "file=" + self.disk)
                         .stop(), 0)

    def test_what_is_wrong_is_said_in_one_line(self):
        where = ("-U", self.place("other"))
        file = "file=" + self.disk
        self.assertIn("no word of the form KEY=VALUE", self.fails(*where, "x"))
        self.assertIn("nonsense", self.fails(*where, "nonsense=1"))
        self.assertIn("/nonexistent", self.fails(*where, "file=/nonexistent"))
        self.assertIn("--tls-certificates",
                      self.fails(*where, "--tls=require", file))
        self.assertIn("--frobnicate", self.fails(*where, "--frobnicate", file))
        self.assertIn("/nonexistent/socket",
                      self.fails("-U", "/nonexistent/socket", file))
        self.assertIn("/nonexistent/pid",
                      self.fails(*where, "-P", "/nonexistent/pid", file))
        self.fails(*where)
        self.assertFalse(os.path.exists(self.place("other")))

    def test_read_write(self):
        server = self.server("file=" + self.disk, "read-write=true")
        with server.client() as client:
            client.enter()
            self.assertEqual(client.flags & 2, 0)
            chunks = client.chunks(client.request(CMD_WRITE, 4096, 512, 0,
                                                  b"\xab" * 512))
            self.assertEqual(chunks, [(CHUNK_NONE, b"")])
            self.assertEqual(client.read(4096, 512), b"\xab" * 512)
            chunks = client.chunks(client.request(CMD_FLUSH))
            self.assertEqual(chunks, [(CHUNK_NONE, b"")])
        self.assertEqual(server.stop(), 0)
        with open(self.disk, "rb") as disk:
            disk.seek(4096)
            self.assertEqual(disk.read(513), b"\xab" * 512 + b"\0")

    def test_exports_of_an_odd_size(self):
        with open(self.disk, "ab") as disk:
            disk.write(b"tail")
        server = self.server("file=" + self.disk)
        with server.client() as client:
            client.enter(contexts=["base:allocation"],
                         infos=[INFO_BLOCK_SIZE])
            self.assertEqual(client.size, (1 << 20) + 4)
            self.assertEqual(client.read(1 << 20, 4), b"tail")
            self.assertEqual(
                sum(size for size, _ in
                    client.block_status(0, client.size)["base:allocation"]),
                client.size)


if __name__ == "__main__":
    unittest.main()

#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""blksnap-nbd -u with a snapshot, over a stand-in for the module that answers
to root alone."""

import os
import signal
import sys
import unittest

from nbdwire import *

SIZE = 65536 * 1000
BITMAP = "qemu:dirty-bitmap:3f0c6f0e-1c4b-4d0a-9a52-0f7c6f5f4f0e.6"


class KeeperTest(ProgramTest):
    def setUp(self):
        super().setUp()
        os.truncate(self.disk, SIZE)
        self.calls = self.place("calls")

    def made(self):
        with open(self.calls, encoding="ascii") as calls:
            return calls.read().splitlines()

    def start(self, user):
        server = self.server(
            "-u", user, "device=/dev/fake", "diff=/tmp", "limit=1M",
            env=dict(os.environ, LD_PRELOAD=os.environ["FAKE_MODULE"],
                     FAKE_IMAGE=self.disk, FAKE_LOG=self.calls, FAKE_UID="0"))
        # It has become the user by then.
        server.wait_for_log("listening on")
        return server

    def use(self, server):
        """A change map's extents come with the question whether the image is
        alive."""
        with server.client() as client:
            client.enter(contexts=[BITMAP])
            self.assertEqual(client.read(0, 512), bytes(512))
            before = len(self.made())
            extents = client.block_status(0, SIZE)[BITMAP]
            self.assertEqual(sum(size for size, _ in extents), SIZE)
            self.assertEqual({flags for _, flags in extents}, {0, 1})
            self.assertEqual(self.made()[before:], ["snapshotinfo", "cbtinfo"])

    def test_another_user(self):
        server = self.start("nobody")
        self.use(server)
        with open(f"/proc/{server.process.pid}/status",
                  encoding="ascii") as status:
            self.assertNotRegex(status.read(), r"Uid:.*\b0\b")
        self.assertNotIn("destroy", self.made())
        self.assertEqual(server.stop(), 0)
        self.assertEqual(self.made().count("destroy"), 1)
        self.assertEqual(self.made()[-1], "destroy")
        self.assertNotIn("left behind", server.log_text())
        self.assertNotIn("the server died", server.log_text())

    def test_killed(self):
        server = self.start("nobody")
        self.use(server)
        server.process.kill()
        self.assertEqual(server.process.wait(TIMEOUT), -signal.SIGKILL)
        server.wait_for_log("the server died; snapshot 3f0c6f0e-.* is released")
        self.assertEqual(self.made()[-1], "destroy")

    def test_signals_of_a_whole_group(self):
        """As a terminal sends them, and a service manager: the keeper stays
        until the server has no more use for it."""
        server = self.start("nobody")
        self.use(server)
        children = f"/proc/{server.process.pid}/task/{server.process.pid}/children"
        if not os.path.exists(children):
            self.skipTest("this kernel does not tell who the children are")
        with open(children, encoding="ascii") as listed:
            keeper, = map(int, listed.read().split())
        for number in signal.SIGINT, signal.SIGTERM, signal.SIGHUP:
            os.kill(keeper, number)
        self.use(server)
        self.assertEqual(server.stop(), 0)
        self.assertEqual(self.made()[-1], "destroy")
        # Waited for, too.
        self.assertFalse(os.path.exists(f"/proc/{keeper}"))


if __name__ == "__main__":
    if os.geteuid() != 0:
        print("needs root", file=sys.stderr)
        sys.exit(77)
    if os.environ.get("BLKSNAP_SANITIZE"):
        print("built with a sanitizer", file=sys.stderr)
        sys.exit(77)
    unittest.main()

#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a connection takes while nothing is asked of it."""

import os
import sys
import time
import unittest

from nbdwire import *

MIB = 1 << 20


class Idle(ProgramTest):
    def resident(self):
        """Bytes of the server's own memory that are there."""
        with open(f"/proc/{self.served.process.pid}/status",
                  encoding="ascii") as status:
            return 1024 * next(int(line.split()[1]) for line in status
                               if line.startswith("RssAnon"))

    def test_buffers_go_back(self):
        content = os.urandom(32 * MIB)
        with open(self.disk, "wb") as disk:
            disk.write(content)
        authority = Authority(self.directory)
        authority.make("server", "/CN=localhost")
        # Under TLS all that is read goes through buffers.
        self.served = self.server("file=" + self.disk, "--tls=require",
                                  "--tls-certificates=" + self.directory)
        clients = [self.served.client() for _ in range(4)]
        for client in clients:
            self.addCleanup(client.close)
            client.tls = authority.context()
            client.enter()
        before = self.resident()
        for client in clients:
            for _ in range(16):
                client.request(CMD_READ, 0, 2 * MIB)
            for _ in range(16):
                client.receive(20)
                client.receive(8 + 2 * MIB)
        most = self.resident()
        self.assertGreater(most - before, 8 * MIB, "nothing was kept at all")

        deadline = time.monotonic() + TIMEOUT
        while self.resident() - before > 4 * MIB:
            self.assertLess(time.monotonic(), deadline,
                            f"{before} bytes before, {self.resident()} now")
            time.sleep(0.1)
        for client in clients:
            self.assertEqual(client.read(0, 2 * MIB), content[:2 * MIB])


if __name__ == "__main__":
    if os.environ.get("BLKSNAP_SANITIZE"):
        print("the sanitizer keeps memory of its own")
        sys.exit(77)
    unittest.main()

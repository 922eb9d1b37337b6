#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Where memory runs out, connections end; the server and the others do not."""

import errno
import os
import random
import signal
import sys
import unittest

from nbdwire import *


class Memory(ProgramTest):
    CONNECTIONS = 4

    def visit(self, server, random_):
        """What a client does, up to where it is cut off: (whether it came to
        the end, what was read)."""
        size = os.path.getsize(self.disk)
        client = server.client()
        client.extended = random_.random() < 0.5
        try:
            client.enter(contexts=["base:allocation"])
            for _ in range(random_.randrange(1, 30)):
                # Of memory, by sendfile, and by workers.
                offset = random_.randrange(size)
                length = min(random_.choice((512, 4096, 100000)), size - offset)
                kind = random_.randrange(4)
                if kind == 0:
                    client.block_status(offset, length)
                elif kind == 1:
                    client.chunks(client.request(CMD_CACHE, offset, length))
                else:
                    data = client.read(offset, length)
                    if isinstance(data, bytes):  # else it is an error's number
                        self.assertTrue(
                            data == self.content[offset:offset + length],
                            "wrong data !=")
                    else:
                        self.assertEqual(data, errno.ENOMEM)
            # Replies that nobody takes.
            for _ in range(random_.choice((0, 40))):
                client.request(CMD_READ, 0, 65536)
            return True
        except (Closed, Refused, AssertionError) as error:
            if isinstance(error, AssertionError) and "!=" in str(error):
                raise
            return False
        finally:
            client.close()

    def setUp(self):
        super().setUp()
        self.content = random.Random(1).randbytes(1 << 20)
        with open(self.disk, "wb") as disk:
            disk.write(self.content)

    def test_one_of_eleven_allocations_fails(self):
        self.starve(11, visits=40)  # the server pauses between many of them

    def test_one_of_a_hundred_fails(self):
        self.starve(97)

    def test_one_of_a_thousand_fails(self):
        self.starve(997)

    def starve(self, every, visits=200):
        environment = dict(os.environ, FAIL_NEW_EVERY=str(every),
                           LD_PRELOAD=os.environ["FAIL_NEW"])
        server = self.server("--log-level=warning", "file=" + self.disk,
                             f"--max-connections={self.CONNECTIONS}",
                             env=environment)
        random_ = random.Random(every)
        self.assertTrue(self.visit(server, random_))
        server.process.send_signal(signal.SIGUSR2)
        ended = [self.visit(server, random_) for _ in range(visits)]
        server.process.send_signal(signal.SIGUSR2)
        self.assertIsNone(server.process.poll(), server.log_text()[-2000:])
        self.assertIn(False, ended)
        # A session that is left behind would take a place for ever.
        for _ in range(2 * self.CONNECTIONS):
            with server.client() as client:
                client.enter()
                self.assertEqual(client.read(0, 1 << 20), self.content)
        self.assertEqual(server.stop(), 0)


if __name__ == "__main__":
    if os.environ.get("BLKSNAP_SANITIZE"):
        print("the sanitizer has an operator new of its own")
        sys.exit(77)
    unittest.main()

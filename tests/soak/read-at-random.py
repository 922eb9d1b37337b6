#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""A client by libnbd: read-at-random.py URI FILE CONTEXT SEED
Reads parts of an export, all of them at once; they are to be those of FILE."""

import random
import sys

import nbd


def main():
    uri, path, context, seed = sys.argv[1:]
    with open(path, "rb") as file:
        content = file.read()
    rng = random.Random(seed)
    handle = nbd.NBD()
    handle.set_uri_allow_local_file(True)
    handle.add_meta_context(context)
    handle.connect_uri(uri)
    assert handle.get_size() == len(content)
    pending = []
    for _ in range(40):
        length = rng.randint(1, 1 << 18)
        at = rng.randrange(len(content) - length)
        room = nbd.Buffer(length)
        pending.append((handle.aio_pread(room, at), room, at, length))
    while handle.aio_in_flight():
        handle.poll(-1)
    for cookie, room, at, length in pending:
        assert handle.aio_command_completed(cookie)
        assert room.to_bytearray() == content[at:at + length], (at, length)
    handle.shutdown()


if __name__ == "__main__":
    main()

# SPDX-License-Identifier: LGPL-2.1-or-later
"""Saved change maps (core/cbt/map_file.md), written by their description and
not by the code that is tested."""
import struct
import sys
import uuid
import zlib

GENERATION = uuid.UUID("3f0c6f0e-1c4b-4d0a-9a52-0f7c6f5f4f0e")


def encode(capacity, block_size, number, blocks):
    blocks = bytes(blocks)
    assert len(blocks) == -(-capacity // block_size)
    head = struct.pack("<8sIIQII16sB7xI", b"BLKSNCBT", 1, 64, capacity,
                       block_size, len(blocks), GENERATION.bytes, number,
                       zlib.crc32(blocks))
    return head + struct.pack("<I", zlib.crc32(head)) + blocks


def runs(length, *pieces):
    """Blocks that are 0 but for pieces of (first, count, number)."""
    blocks = bytearray(length)
    for first, count, number in pieces:
        blocks[first:first + count] = bytes([number]) * count
    return blocks


def churn(length, takes, seed=1):
    """Blocks as a machine may leave them: a database that is always busy, a
    log that goes round, files here and there; the same in each run."""
    state = seed

    def random(limit):
        nonlocal state
        state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
        return (state >> 33) % limit

    blocks = bytearray(length)
    for take in range(1, takes + 1):
        places = [(length // 8 + random(length // 10 + 1), 1 + random(4))
                  for _ in range(length // 400 + 1)]
        log = length * (take % 16) // 160 + length // 2
        places.append((log, length // 60 + 1))
        places += [(random(length), 1 + random(length // 600 + 1))
                   for _ in range(12)]
        for first, count in places:
            count = min(count, length - first)
            blocks[first:first + count] = bytes([take]) * count
    return blocks


if __name__ == "__main__":
    # maps.py FILE CAPACITY BLOCK_SIZE TAKES : a map to look at
    path, capacity, block_size, takes = sys.argv[1], *map(int, sys.argv[2:])
    with open(path, "wb") as file:
        file.write(encode(capacity, block_size, takes,
                          churn(-(-capacity // block_size), takes)))

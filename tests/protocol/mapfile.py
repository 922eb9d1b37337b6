#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Saved change maps, written from their description in core/cbt/map_file.md
and from nothing else, so that they check the code that reads them."""

import struct
import sys
import uuid
import zlib


class ChangeMap:
    """`blocks` has a byte per block: the number of the take since which, at
    the earliest, the block has not been written. `instants` has an integer for
    each take; without, the file is of version 1."""

    def __init__(self, capacity, block_size, generation, number, blocks,
                 instants=()):
        assert len(blocks) == (capacity + block_size - 1) // block_size
        self.capacity = capacity
        self.block_size = block_size
        self.generation = generation
        self.number = number
        self.blocks = bytes(blocks)
        self.instants = tuple(instants)

    def save(self, path):
        count = len(self.instants)
        body = struct.pack(f"<{count}Q", *self.instants) + self.blocks
        header = struct.pack(
            "<8sIIQII16sBB6xI", b"BLKSNCBT", 2 if count else 1, 64,
            self.capacity, self.block_size, len(self.blocks),
            uuid.UUID(self.generation).bytes, self.number, count,
            zlib.crc32(body))
        with open(path, "wb") as out:
            out.write(header + struct.pack("<I", zlib.crc32(header)))
            out.write(body)

    @classmethod
    def load(cls, path):
        with open(path, "rb") as file:
            header, body = file.read(64), file.read()
        (_, _, _, capacity, block_size, _, generation, number,
         count) = struct.unpack("<8sIIQII16sBB", header[:50])
        return cls(capacity, block_size, str(uuid.UUID(bytes=generation)),
                   number, body[8 * count:],
                   struct.unpack_from(f"<{count}Q", body))

    def since(self, number):
        """[(offset, length, dirty)] over the whole device, neighbours that
        are alike merged."""
        extents = []
        for index, byte in enumerate(self.blocks):
            offset = index * self.block_size
            length = min(self.block_size, self.capacity - offset)
            dirty = int(byte > number)
            if extents and extents[-1][2] == dirty:
                last = extents[-1]
                extents[-1] = (last[0], last[1] + length, dirty)
            else:
                extents.append((offset, length, dirty))
        return extents


def main():
    """mapfile.py make FILE CAPACITY BLOCK_SIZE GENERATION NUMBER[.INSTANT...] BYTE...
    mapfile.py since FILE NUMBER   prints "OFFSET LENGTH DIRTY" lines"""
    verb, path, *rest = sys.argv[1:]
    if verb == "make":
        capacity, block_size, generation, takes, *blocks = rest
        number, *instants = takes.split(".")
        ChangeMap(int(capacity), int(block_size), generation, int(number),
                  bytes(int(byte) for byte in blocks),
                  [int(instant, 16) for instant in instants]).save(path)
    else:
        for extent in ChangeMap.load(path).since(int(rest[0])):
            print(*extent)


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Writes a saved change map, by its description alone (core/cbt/map_file.md).

make-map.py FILE CAPACITY BLOCK_SIZE GENERATION NUMBER [FIRST:COUNT:VALUE...]
"""
import struct
import sys
import uuid
import zlib

path, capacity, block_size, generation, number, *runs = sys.argv[1:]
capacity, block_size = int(capacity), int(block_size)
blocks = bytearray((capacity + block_size - 1) // block_size)
for run in runs:
    first, count, value = map(int, run.split(":"))
    blocks[first:first + count] = bytes([value]) * count

header = struct.pack("<8sIIQII16sB7xI", b"BLKSNCBT", 1, 64, capacity,
                     block_size, len(blocks), uuid.UUID(generation).bytes,
                     int(number), zlib.crc32(blocks))
header += struct.pack("<I", zlib.crc32(header))
with open(path, "wb") as file:
    file.write(header + blocks)

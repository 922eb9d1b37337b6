#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""A disk that changes from instant to instant, with its change map.

disk.py new DISK MAP SIZE GENERATION [INSTANT]
disk.py step DISK MAP SEED   prints "DATA ZERO", the bytes to read and to zero
disk.py content FILE         "content" of a manifest, by its definition
"""

import hashlib
import os
import random
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "protocol"))

from mapfile import ChangeMap  # pylint: disable=wrong-import-position

BLOCK = 64 << 10


def put(disk, index, data):
    disk.seek(index * BLOCK)
    disk.write(data)


def new(path, map_path, size, generation, *instant):
    blocks = (size + BLOCK - 1) // BLOCK
    source = random.Random(0)
    with open(path, "wb") as disk:
        for index in range(blocks):
            if source.random() < 0.3:
                put(disk, index, source.randbytes(
                    min(BLOCK, size - index * BLOCK)))
        disk.truncate(size)
    ChangeMap(size, BLOCK, generation, 1, bytes(blocks),
              [int(digits, 16) for digits in instant]).save(map_path)


def step(path, map_path, seed):
    taken = ChangeMap.load(map_path)
    size, number = taken.capacity, taken.number + 1
    source = random.Random(seed * 1000 + number)
    blocks = bytearray(taken.blocks)
    counts = {"data": 0, "zero": 0}
    with open(path, "r+b") as disk:
        for index in range(len(blocks)):
            length = min(BLOCK, size - index * BLOCK)
            what = source.random()
            if what > 0.2:
                continue
            blocks[index] = number
            # Zeroes that take no space are those that a server can tell.
            if what < 0.05:
                os.posix_fallocate(disk.fileno(), index * BLOCK, length)
                data = bytes(length)
                counts["data"] += length
            elif what < 0.1:
                punch(disk, index * BLOCK, length)
                counts["zero"] += length
                continue
            elif what < 0.15:
                disk.seek(index * BLOCK)
                data = disk.read(length)
                counts["data"] += length
            else:
                data = source.randbytes(length)
                counts["data"] += length
            put(disk, index, data)
    instants = taken.instants and taken.instants + (source.getrandbits(64),)
    ChangeMap(size, BLOCK, taken.generation, number, bytes(blocks),
              instants).save(map_path)
    print(counts["data"], counts["zero"])


def punch(disk, offset, length):
    import ctypes  # pylint: disable=import-outside-toplevel
    disk.flush()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.fallocate(disk.fileno(), 3, ctypes.c_long(offset),
                      ctypes.c_long(length)):
        raise OSError(ctypes.get_errno(), "fallocate")


def content(path):
    table = hashlib.sha256()
    with open(path, "rb") as disk:
        while block := disk.read(BLOCK):
            table.update(hashlib.sha256(block).digest())
    print(table.hexdigest())


def main():
    verb, *rest = sys.argv[1:]
    if verb == "new":
        new(rest[0], rest[1], int(rest[2]), *rest[3:])
    elif verb == "step":
        step(rest[0], rest[1], int(rest[2]))
    else:
        content(rest[0])


main()

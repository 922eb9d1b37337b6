#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Files of self-describing sectors, and a journal of what they must hold.

files.py write FOLDER JOURNAL           until it is killed
files.py check FOLDER BEFORE [AFTER]    of what the folder is at some instant

The journal has a line "begun" before each change and a line "synced" after its
fsync. BEFORE is a copy from before the instant: what is synced there is in the
folder, or something that was begun later, up to the end of AFTER (default:
BEFORE).
"""

import collections
import os
import random
import struct
import sys
import zlib

SECTOR, BLOCK, FILES, BLOCKS, SLOTS = 512, 4096, 8, 64, 16


def block(name, at, sequence):
    data = bytearray(BLOCK)
    for sector in range(0, BLOCK, SECTOR):
        head = struct.pack("<16sQQ", name.encode(), at + sector, sequence)
        struct.pack_into("<32sI", data, sector, head, zlib.crc32(head))
    return bytes(data)


def sequence_of(name, at, sector):
    head, crc = struct.unpack_from("<32sI", sector)
    found, offset, sequence = struct.unpack("<16sQQ", head)
    assert zlib.crc32(head) == crc, f"{name} at {at}: no sector of ours"
    assert (found.rstrip(b"\0").decode(), offset) == (name, at), f"{name} at {at}: {head}"
    return sequence


def write(root, journal):
    """Blocks in place, and files that replace others."""
    rng = random.Random(root)
    log = os.open(journal, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    folder = os.open(root, os.O_RDONLY)
    sequence = 0
    while True:
        sequence += 1
        if sequence % 4:
            name, at = f"file{rng.randrange(FILES)}", rng.randrange(BLOCKS) * BLOCK
        else:
            name, at = f"slot{rng.randrange(SLOTS)}", 0
        os.write(log, f"begun {name} {at} {sequence}\n".encode())
        path = f"{root}/{name}" if sequence % 4 else f"{root}/new"
        fd = os.open(path, os.O_WRONLY | os.O_CREAT)
        os.pwrite(fd, block(name, at, sequence), at)
        os.fsync(fd)
        os.close(fd)
        if sequence % 4 == 0:
            os.rename(path, f"{root}/{name}")
            os.fsync(folder)
        os.write(log, f"synced {name} {at} {sequence}\n".encode())


def read_journal(path, wanted):
    """{(name, offset): [sequence, ...]}; its last line may be half a line."""
    places = collections.defaultdict(list)
    with open(path) as lines:
        for line in lines:
            kind, name, at, sequence = line.split()
            if kind == wanted and line.endswith("\n"):
                places[name, int(at)].append(int(sequence))
    return places


def check(root, before, after=None):
    synced, begun = read_journal(before, "synced"), read_journal(after or before, "begun")
    assert len(synced) > 20, f"only {len(synced)} places were written before"
    for (name, at), sequences in synced.items():
        oldest = sequences[-1]
        possible = {sequence for sequence in begun[name, at] if sequence >= oldest}
        with open(f"{root}/{name}", "rb") as file:
            data = os.pread(file.fileno(), BLOCK, at)
        found = {sequence_of(name, at + n, data[n:n + SECTOR])
                 for n in range(0, BLOCK, SECTOR)}
        assert found <= possible, (
            f"{name} at {at}: {found}; {oldest} was synced, then begun: {possible}")
    print(f"{root}: {max(map(max, synced.values()))} changes, {len(synced)} places compared")


{"write": write, "check": check}[sys.argv[1]](*sys.argv[2:])

# SPDX-License-Identifier: LGPL-2.1-or-later
"""A model of a device and its snapshot image that predicts every byte.

Random writes, zeroes and discards to the origin, and writes to the image, from
several threads at once, each in its own stripes; takes and destroys between.
Contents and the change map are compared with what the model says.
"""

import ctypes
import fcntl
import mmap
import os
import random
import struct
import threading
import zlib

import uapi

LIBC = ctypes.CDLL(None)
SECTOR = 512
BLKDISCARD = 0x1277
BLKZEROOUT = 0x127F


class Device:
    """Bytes of a block device, past the page cache."""

    def __init__(self, path):
        self.path = path
        self.fd = os.open(path, os.O_RDWR | os.O_DIRECT | os.O_CLOEXEC)
        self.size = os.lseek(self.fd, 0, os.SEEK_END)

    def close(self):
        os.close(self.fd)

    def read(self, offset, length):
        page = mmap.mmap(-1, length)
        done = os.preadv(self.fd, [page], offset)
        assert done == length, f"{self.path}: {done} of {length} bytes at {offset}"
        return page[:]

    def read_all(self):
        content, step = mmap.mmap(-1, self.size), 4 << 20
        with memoryview(content) as view:
            for offset in range(0, self.size, step):
                want = min(step, self.size - offset)
                with view[offset:offset + want] as part:
                    done = os.preadv(self.fd, [part], offset)
                assert done == want, f"{self.path}: {done} of {want} at {offset}"
        return content

    def write(self, offset, data, flags=0):
        page = mmap.mmap(-1, len(data))
        page[:] = data
        done = os.pwritev(self.fd, [page], offset, flags)
        assert done == len(data), f"{self.path}: {done} of {len(data)} at {offset}"

    def range_ioctl(self, word, offset, length):
        fcntl.ioctl(self.fd, word, struct.pack("<QQ", offset, length))


def describe(random_, writer, sequence, offset, length):
    """Sectors that say who wrote them, when, and where; with a checksum."""
    data = bytearray(random_.randbytes(64) * (length // 64))
    for at in range(0, length, SECTOR):
        head = struct.pack("<QQ8s", offset + at, sequence, writer)
        struct.pack_into("<24sI", data, at, head, zlib.crc32(head))
    return bytes(data)


def explain(data):
    """What a sector says of itself."""
    head, crc = struct.unpack_from("<24sI", data)
    if zlib.crc32(head) != crc:
        return f"no stamp: {data[:16].hex()}"
    offset, sequence, writer = struct.unpack("<QQ8s", head)
    return f"written by {writer.rstrip(bytes(1)).decode()} as its {sequence}. at {offset}"


def same(one, other):
    """Much faster than ==, which makes copies of an mmap."""
    first, second = (ctypes.c_char.from_buffer(buffer) for buffer in (one, other))
    return LIBC.memcmp(ctypes.byref(first), ctypes.byref(second),
                       ctypes.c_size_t(len(one))) == 0


def copy_of(buffer):
    copy = mmap.mmap(-1, len(buffer))
    copy[:] = buffer[:]
    return copy


def compare(what, got, want):
    """Buffers are equal, or an error names the first sector that is not."""
    if len(got) == len(want) and same(got, want):
        return
    for at in range(0, len(want), SECTOR):
        if got[at:at + SECTOR] != want[at:at + SECTOR]:
            raise AssertionError(
                f"{what} differs at byte {at}: is {explain(got[at:at + SECTOR])}, "
                f"should be {explain(want[at:at + SECTOR])}")
    raise AssertionError(f"{what}: {len(got)} bytes, should be {len(want)}")


class Model:
    """One device. Ranges (start, end) in bytes may be left alone."""

    STRIPE = 1 << 20
    WRITERS = 3

    def __init__(self, path, store, limit, seed, image_writes=True, over=None):
        """over: a mapping of the whole device, which is then written through it too.
        Half of those writes, and of the others, are polled."""
        self.random = random.Random(seed)
        self.origin = Device(path)
        self.ways = [self.origin] + ([Device(over)] if over else [])
        self.flags = (0, os.RWF_HIPRI) if over else (0,)
        self.filter = uapi.Device(path)
        self.control = uapi.Control()
        self.store, self.limit = store, limit
        self.image_writes = image_writes
        self.filter.attach()
        self.sequence = 0
        self.now = self.origin.read_all()       # the origin's bytes
        self.then = None                        # the image's
        self.before = None                      # the previous image's
        self.touched = set()                    # blocks since the last take
        self.image_touched = set()
        info = self.filter.cbtinfo()
        self.block, self.generation = info["block_size"], info["generation"]
        self.snapshot = None

    # -- what happens -----------------------------------------------------

    def _range(self, rng, writer):
        """An extent in a stripe of this writer; mostly small."""
        stripes = self.origin.size // self.STRIPE // (self.WRITERS + 1)
        stripe = rng.randrange(stripes) * (self.WRITERS + 1) + writer
        biggest = rng.choice((1, 8, 8, 64, 512)) * SECTOR
        length = rng.randrange(SECTOR, biggest + 1, SECTOR)
        offset = rng.randrange(0, self.STRIPE - length + 1, SECTOR)
        if rng.random() < 0.5 and length >= 4096:       # as file systems do
            length, offset = length & ~4095, offset & ~4095
        return stripe * self.STRIPE + offset, length

    def _touch(self, touched, offset, length):
        first, last = offset // self.block, (offset + length - 1) // self.block
        touched.update(range(first, last + 1))

    def _write_origin(self, rng, writer, sequence):
        offset, length = self._range(rng, writer)
        kind, way = rng.random(), rng.choice(self.ways)
        if kind < 0.8:
            data = describe(rng, b"origin%d" % writer, sequence, offset, length)
            way.write(offset, data, rng.choice(self.flags))
        elif kind < 0.9:
            data = bytes(length)
            way.range_ioctl(BLKZEROOUT, offset, length)
        else:
            # What a discarded sector reads as is the device's secret.
            way.range_ioctl(BLKDISCARD, offset, length)
            data = self.origin.read(offset, length)
        self.now[offset:offset + length] = data
        self._touch(self.touched, offset, length)

    def _write_image(self, rng, image, sequence):
        # Anywhere: the stripes of others are writes to the same chunks.
        offset, length = self._range(rng, rng.randrange(self.WRITERS + 1))
        data = describe(rng, b"image", sequence, offset, length)
        image.write(offset, data)
        self.then[offset:offset + length] = data
        self._touch(self.image_touched, offset, length)

    def work(self, rounds):
        """So many operations of each writer, all at the same time."""
        failures = []

        def run(step, seed, *args):
            try:
                rng = random.Random(seed)
                for n in range(rounds):
                    step(rng, *args, self.sequence + n)
            except BaseException as error:
                failures.append(error)

        threads = [threading.Thread(target=run, args=(
            self._write_origin, self.random.random(), writer))
            for writer in range(self.WRITERS)]
        if self.snapshot and self.image_writes:
            image = self.image()
            threads.append(threading.Thread(target=run, args=(
                self._write_image, self.random.random(), image)))
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.sequence += rounds
        if failures:
            raise failures[0]

    # -- snapshots --------------------------------------------------------

    def image(self):
        return Device("/dev/" + self.filter.snapshot_info()[1])

    def take(self):
        self.snapshot = self.control.create(self.store, self.limit // SECTOR)
        self.filter.snapshot_add(self.snapshot)
        self.control.take(self.snapshot)
        self.then = copy_of(self.now)
        generation = self.filter.cbtinfo()["generation"]
        if generation != self.generation:       # after 255 takes
            self.generation, self.before = generation, None
        # What was written to the last image is marked since that take, too.
        self.check_map(self.touched | self.image_touched)
        self.touched, self.image_touched = set(), set()

    def destroy(self):
        self.control.destroy(self.snapshot)
        self.before, self.snapshot = self.then, None

    # -- what must hold ---------------------------------------------------

    def check(self):
        compare("the origin", self.origin.read_all(), self.now)
        if self.snapshot:
            error = self.filter.snapshot_info()[0]
            assert error == 0, f"the image died of {error}"
            image = self.image()
            compare("the image", image.read_all(), self.then)
            image.close()

    def dirty(self):
        """Blocks that changed between the last two takes."""
        info = self.filter.cbtinfo()
        content = self.filter.cbtmap(0, info["block_count"])
        return {n for n, byte in enumerate(content) if byte > info["number"] - 1}

    def check_map(self, touched):
        if self.before is None:
            return
        dirty, size = self.dirty(), self.block
        assert dirty == touched, (
            f"the map: too many {sorted(dirty - touched)[:5]}, "
            f"missing {sorted(touched - dirty)[:5]}")
        for block in range(0, self.origin.size, size):
            if block // size not in dirty:
                assert (self.then[block:block + size] ==
                        self.before[block:block + size]), f"block {block // size} is clean"

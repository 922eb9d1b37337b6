# SPDX-License-Identifier: LGPL-2.1-or-later
"""The kernel interface, byte by byte, for guest cases.

Written from the interface's description and not from our headers, so that the
two check each other. Calls return what the kernel filled in, or raise OSError.
"""

import ctypes
import fcntl
import os
import struct
import time
import uuid

ATTACH = 0xC030128E  # _IOWR(0x12, 142, 48 bytes)
DETACH = 0xC020128F  # _IOWR(0x12, 143, 32 bytes)
CTL = 0xC0301290  # _IOWR(0x12, 144, 48 bytes)

VERSION = 0x80085600  # _IOR('V', 0, 8 bytes)
CREATE = 0xC0205601  # _IOWR('V', 1, 32 bytes)
DESTROY = 0x40105602  # _IOW('V', 2, 16 bytes)
TAKE = 0x40105603  # _IOW('V', 3, 16 bytes)
COLLECT = 0x80105604  # _IOR('V', 4, 16 bytes)
WAIT_EVENT = 0x90005605  # _IOR('V', 5, 4096 bytes)

FEATURES = 0x80085680  # _IOR('V', 128, 8 bytes)
STATISTICS = 0xC0805681  # _IOWR('V', 129, 128 bytes)
TAKE_FLAGS = 0x40185682  # _IOW('V', 130, 24 bytes)

CBTINFO, CBTMAP, CBTDIRTY, SNAPSHOTADD, SNAPSHOTINFO = range(5)
# Those that the proposal does not have.
CBTDISCARDS, CBTINSTANTS, SNAPSHOTQUIESCED = EXTENSIONS = range(128, 131)

BLKSNAP = b"blksnap"


def address(buffer):
    return ctypes.addressof(buffer)


class Device:
    """The filter on a block device."""

    def __init__(self, path):
        self.fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)

    def close(self):
        os.close(self.fd)

    def attach(self, name=BLKSNAP, word=ATTACH, opt=b""):
        buffer = ctypes.create_string_buffer(opt, max(len(opt), 1))
        arg = struct.pack("<32sQII", name, address(buffer), len(opt), 0)
        fcntl.ioctl(self.fd, word, bytearray(arg))

    def detach(self, name=BLKSNAP):
        fcntl.ioctl(self.fd, DETACH, bytearray(struct.pack("<32s", name)))

    def ctl(self, command, payload, name=BLKSNAP, optlen=None):
        """Returns the payload as the kernel left it."""
        opt = ctypes.create_string_buffer(bytes(payload), len(payload))
        length = len(payload) if optlen is None else optlen
        arg = bytearray(
            struct.pack("<32sIIQ", name, command, length, address(opt))
        )
        fcntl.ioctl(self.fd, CTL, arg)
        return opt.raw

    def cbtinfo(self):
        raw = self.ctl(CBTINFO, b"\xff" * 40)
        capacity, size, count, generation, number, rest = struct.unpack(
            "<QII16sB7s", raw
        )
        assert rest == bytes(7), f"padding leaks: {rest!r}"
        return {
            "capacity": capacity,
            "block_size": size,
            "block_count": count,
            "generation": uuid.UUID(bytes=generation),
            "number": number,
        }

    def cbtmap(self, offset, length):
        buffer = ctypes.create_string_buffer(length)
        self.ctl(CBTMAP, struct.pack("<IIQ", offset, length, address(buffer)))
        return buffer.raw

    def cbtinstants(self):
        """(generation, [(id, nanoseconds) of each of its takes])"""
        raw = self.ctl(CBTINSTANTS, b"\xff" * 4088)
        generation, number, rest = struct.unpack_from("<16sB7s", raw)
        told = list(struct.iter_unpack("<Qq", raw[24:]))
        assert not any(rest) and not any(map(any, told[number:])), "instants leak"
        assert all(ident for ident, _ in told[:number]), f"an instant is 0: {told[:number]}"
        return uuid.UUID(bytes=generation), told[:number]

    def cbtdirty(self, ranges):
        raw = b"".join(struct.pack("<QQ", *one) for one in ranges)
        buffer = ctypes.create_string_buffer(raw, max(len(raw), 1))
        self.ctl(CBTDIRTY, struct.pack("<IIQ", len(ranges), 0, address(buffer)))

    def snapshot_add(self, snapshot):
        self.ctl(SNAPSHOTADD, snapshot)

    def snapshot_info(self):
        raw = self.ctl(SNAPSHOTINFO, b"\xff" * 36)
        error, image = struct.unpack("<i32s", raw)
        name, _, rest = image.partition(b"\0")
        assert not rest.strip(b"\0"), f"image name leaks: {image!r}"
        return error, name.decode()

    def quiesced(self):
        raw = self.ctl(SNAPSHOTQUIESCED, b"\xff" * 8)
        how, rest = struct.unpack("<II", raw)
        assert rest == 0, f"padding leaks: {rest!r}"
        return ("unknown", "synced", "frozen", "nothing")[how]


class Control:
    """/dev/blksnap-control"""

    def __init__(self):
        self.fd = os.open("/dev/blksnap-control", os.O_RDWR | os.O_CLOEXEC)

    def version(self):
        arg = bytearray(8)
        fcntl.ioctl(self.fd, VERSION, arg)
        return struct.unpack("<4H", arg)

    def create(self, path, limit_sectors):
        name = ctypes.create_string_buffer(os.fsencode(path))
        arg = bytearray(
            struct.pack("<QQ16s", limit_sectors, address(name), bytes(16))
        )
        fcntl.ioctl(self.fd, CREATE, arg)
        return bytes(arg[16:])

    def take(self, snapshot):
        fcntl.ioctl(self.fd, TAKE, bytes(snapshot))

    def take_flags(self, snapshot, flags=1, padding=0):
        """Flag 1: read-only images."""
        arg = struct.pack("<16sII", snapshot, flags, padding)
        fcntl.ioctl(self.fd, TAKE_FLAGS, arg)

    def destroy(self, snapshot):
        fcntl.ioctl(self.fd, DESTROY, bytes(snapshot))

    def wait_event(self, snapshot, timeout_ms):
        """(name, its numbers); the time label must be of this minute."""
        arg = bytearray(struct.pack("<16sIIq4064s", snapshot, timeout_ms, 99, 0,
                                    b"\xff" * 4064))
        fcntl.ioctl(self.fd, WAIT_EVENT, arg)
        code, label = struct.unpack_from("<Iq", arg, 20)
        assert abs(time.time() - label / 1e9) < 600, label
        name, form = (("corrupted", "<IIi"), ("no_space", "<Q"))[code]
        end = 32 + struct.calcsize(form)
        assert not any(arg[end:]), "an event leaks"
        return name, *struct.unpack_from(form, arg, 32)

    def features(self):
        arg = bytearray(8)
        fcntl.ioctl(self.fd, FEATURES, arg)
        return struct.unpack("<Q", arg)[0]

    def statistics(self, snapshot):
        arg = bytearray(snapshot + b"\xff" * 112)
        fcntl.ioctl(self.fd, STATISTICS, arg)
        assert arg[:16] == snapshot and not any(arg[72:]), "statistics leak"
        names = "limit size used chunks copies queued waits"
        return dict(zip(names.split(), struct.unpack_from("<7Q", arg, 16)))

    def collect(self, room=None):
        """(count, ids); with no room asks for the count alone."""
        buffer = ctypes.create_string_buffer(16 * (room or 1))
        where = 0 if room is None else address(buffer)
        arg = bytearray(struct.pack("<IIQ", room or 0, 0, where))
        fcntl.ioctl(self.fd, COLLECT, arg)
        count = struct.unpack_from("<I", arg)[0]
        ids = [buffer.raw[16 * i : 16 * i + 16] for i in range(count)]
        return count, ids if room is not None else []

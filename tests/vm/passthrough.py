# SPDX-License-Identifier: LGPL-2.1-or-later
"""Commands that are sent to a device past the block layer, for guest cases."""

import ctypes
import fcntl
import os
import struct

SG_IO = 0x2285
NVME_ADMIN, NVME_IO = 0xC0484E41, 0xC0484E43


def sg_io(path, command, data=None, read=0):
    """SG_IO, version 3. Whatever the device answers."""
    cdb = ctypes.create_string_buffer(bytes(command), 32)
    buffer = ctypes.create_string_buffer(data or b"", max(len(data or b""), read, 1))
    direction, length = (-2, len(data)) if data else (-3, read) if read else (-1, 0)
    header = struct.pack("<iiBBHIQQQIIiQBBBBHHiII", ord("S"), direction, len(command), 0, 0, length,
                         ctypes.addressof(buffer), ctypes.addressof(cdb), 0, 20000, 0, 0, 0,
                         *(0,) * 9)
    fd = os.open(path, os.O_RDWR | os.O_NONBLOCK)
    try:
        fcntl.ioctl(fd, SG_IO, bytearray(header))
    finally:
        os.close(fd)


def bsg_io(path, command, data):
    """SG_IO, version 4."""
    cdb = ctypes.create_string_buffer(bytes(command), 32)
    buffer = ctypes.create_string_buffer(data, len(data))
    header = struct.pack("<iIIIQQIIIIQIIIIQQIIQIIIIIIIIiiQII", ord("Q"), 0, 0, len(command),
                         ctypes.addressof(cdb), 0, 0, 0, 0, 0, 0, 0, len(data), 0, 0,
                         ctypes.addressof(buffer), 0, 20000, *(0,) * 15)
    fd = os.open(path, os.O_RDWR)
    try:
        fcntl.ioctl(fd, SG_IO, bytearray(header))
    finally:
        os.close(fd)


def nvme(path, word, opcode, namespace=1, data=b"", cdw10=0, cdw12=0):
    buffer = ctypes.create_string_buffer(data or b"\0", max(len(data), 1))
    arg = bytearray(struct.pack("<BBHIIIQQIIIIIIIIII", opcode, 0, 0, namespace, 0, 0, 0,
                                ctypes.addressof(buffer) if data else 0, 0, len(data), cdw10, 0,
                                cdw12, 0, 0, 0, 20000, 0))
    fd = os.open(path, os.O_RDWR)
    try:
        fcntl.ioctl(fd, word, arg)
    except OSError:
        pass  # by the device
    finally:
        os.close(fd)

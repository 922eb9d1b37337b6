# SPDX-License-Identifier: LGPL-2.1-or-later
"""A held snapshot of one device, and what became of it, for guest cases."""

import errno
import hashlib
import mmap
import os

import uapi

control = uapi.Control()
PIECE = 1 << 20


def checksum(path):
    """Of the whole device, past all caches."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECT)
    page = mmap.mmap(-1, PIECE)
    whole = hashlib.sha256()
    try:
        while got := os.readv(fd, [page]):
            whole.update(page[:got])
    finally:
        os.close(fd)
    return whole.digest()


class Held:
    """A taken snapshot of a device that is attached."""

    def __init__(self, path, store="/dev/vdd"):
        self.path = path
        self.device = uapi.Device(path)
        self.snapshot = control.create(store, (64 << 20) // 512)
        self.device.snapshot_add(self.snapshot)
        control.take(self.snapshot)
        self.generation = self.device.cbtinfo()["generation"]
        error, name = self.device.snapshot_info()
        assert error == 0, error
        self.image = "/dev/" + name
        self.sum = checksum(self.image)

    def let_go(self):
        """Closes the device: some are not reset while somebody has them open."""
        self.device.close()
        self.device = None

    def hold_again(self):
        self.device = uapi.Device(self.path)

    def check_alive(self, what):
        assert self.device.snapshot_info()[0] == 0, f"{what}: the image died"
        assert self.device.cbtinfo()["generation"] == self.generation, what
        assert checksum(self.image) == self.sum, f"{what}: the image changed"

    def check_ended(self, what):
        """Generation and image; ends the snapshot too."""
        assert self.device.snapshot_info()[0] == -errno.ESTALE, f"{what}: it was not noticed"
        info = self.device.cbtinfo()
        assert info["generation"] != self.generation and info["number"] == 0, what
        try:
            self.device.cbtmap(0, info["block_count"])
            raise AssertionError(f"{what}: the map of the ended generation")
        except OSError as error:
            assert error.errno == errno.ESTALE, (what, error)
        try:
            checksum(self.image)
            raise AssertionError(f"{what}: the image can be read")
        except OSError as error:
            assert error.errno == errno.EIO, (what, error)
        event = control.wait_event(self.snapshot, 20000)
        assert event[0] == "corrupted" and event[3] == errno.ESTALE, (what, event)
        self.end()

    def end(self):
        control.destroy(self.snapshot)
        self.device.close()

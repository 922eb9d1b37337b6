# SPDX-License-Identifier: LGPL-2.1-or-later
"""Pixels of a PNG of 8 bits a channel, without a library."""
import struct
import zlib


class Picture:
    def __init__(self, content):
        assert content[:8] == b"\x89PNG\r\n\x1a\n", "not a PNG"
        at, packed = 8, b""
        while at < len(content):
            length, kind = struct.unpack_from(">I4s", content, at)
            body = content[at + 8:at + 8 + length]
            if kind == b"IHDR":
                self.width, self.height, depth, colours = struct.unpack_from(
                    ">IIBB", body)
                assert depth == 8 and colours in (2, 6), (depth, colours)
                self.channels = 3 if colours == 2 else 4
            elif kind == b"IDAT":
                packed += body
            at += 12 + length
        self.rows = list(self._rows(zlib.decompress(packed)))

    def _rows(self, raw):
        step, length = self.channels, self.width * self.channels
        above = bytearray(length)
        for y in range(self.height):
            begin = y * (length + 1)
            kind, row = raw[begin], bytearray(raw[begin + 1:begin + 1 + length])
            for i in range(length if kind else 0):
                left = row[i - step] if i >= step else 0
                corner = above[i - step] if i >= step else 0
                if kind == 1:
                    guess = left
                elif kind == 2:
                    guess = above[i]
                elif kind == 3:
                    guess = (left + above[i]) // 2
                else:
                    near = left + above[i] - corner
                    guess = min((left, above[i], corner),
                                key=lambda value: abs(near - value))
                row[i] = (row[i] + guess) & 255
            yield row
            above = row

    def at(self, x, y):
        begin = x * self.channels
        return "#" + bytes(self.rows[y][begin:begin + 3]).hex()

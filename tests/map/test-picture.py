#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The pictures: colours where the map has changes, read by an own reader."""
import colorsys
import os
import re
import subprocess
import sys
import tempfile
import time

import maps
from png import Picture

BLKSNAP = os.environ["BLKSNAP"]
LEFT, TOP = 72, 84  # of the first cell
NONE = "#eceef1"


def draw(path, *options):
    result = subprocess.run([BLKSNAP, "map", *options, path],
                            capture_output=True, check=True)
    assert not result.stderr, result.stderr
    return result.stdout


def saved(name, capacity, block_size, number, blocks):
    with open(name, "wb") as file:
        file.write(maps.encode(capacity, block_size, number, blocks))
    return name


def column(picture, x, foot, height):
    """Runs of one colour from the foot of a cell up."""
    runs = []
    for y in range(foot, foot - height, -1):
        colour = picture.at(x, y)
        if runs and runs[-1][0] == colour:
            runs[-1][1] += 1
        else:
            runs.append([colour, 1])
    return runs


def lightness(colour):
    """Relative luminance of WCAG."""
    parts = [int(colour[i:i + 2], 16) / 255 for i in (1, 3, 5)]
    parts = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4
             for p in parts]
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]


def test_blocks():
    # 1024 blocks: 32 by 32 cells of 24 pixels, each a block of take 1 to 9.
    blocks = maps.runs(1024, *((33 * i, 1, i) for i in range(1, 10)))
    name = saved("blocks", 64 << 20, 65536, 9, blocks)
    picture = Picture(draw(name, "--png", "-"))
    colours = {}
    for index, number in enumerate(blocks):
        x = LEFT + index % 32 * 24 + 11
        runs = column(picture, x, TOP + (index // 32 + 1) * 24 - 2, 23)
        assert len(runs) == 1, (index, runs)
        colours.setdefault(number, set()).add(runs[0][0])
    assert all(len(seen) == 1 for seen in colours.values()), colours
    colours = {number: seen.pop() for number, seen in colours.items()}
    assert colours[0] == NONE
    # Without colour vision: each is darker than the one before it, by steps
    # that can be told apart, on a background that is lighter than all.
    light = [lightness(colours[number]) for number in range(10)]
    assert all(a > b * 1.08 for a, b in zip(light, light[1:])), light
    # And with it: from blue to red.
    hue = [colorsys.rgb_to_hsv(*(int(colours[n][i:i + 2], 16)
                                 for i in (1, 3, 5)))[0] for n in (1, 9)]
    assert 0.5 < hue[0] < 0.7 and (hue[1] > 0.9 or hue[1] < 0.1), hue
    # Of what changed since take 8, only one cell is left.
    picture = Picture(draw(name, "--png", "-", "--since", "8"))
    assert picture.at(LEFT + 8 * 24 + 8, TOP + 8 * 24 + 8) == NONE
    assert picture.at(LEFT + 9 * 24 + 8, TOP + 9 * 24 + 8) == colours[9]


def test_bars():
    # 8 GiB: cells of 16 blocks, 9 pixels wide with bars of 8.
    name = saved("bars", 8 << 30, 65536, 9, maps.runs(
        131072, (0, 16, 1), (0, 4, 9), (16, 1, 9), (32, 16, 9), (48, 15, 1),
        (131056, 8, 9)))
    picture = Picture(draw(name, "--png", "-"))

    def cell(index):
        return column(picture, LEFT + index % 128 * 9 + 4,
                      TOP + (index // 128 + 1) * 9 - 2, 8)

    old, new = cell(0)[1][0], cell(0)[0][0]
    assert len({old, new, NONE}) == 3
    assert cell(0) == [[new, 2], [old, 6]], cell(0)
    assert cell(1) == [[new, 1], [NONE, 7]], cell(1)
    assert cell(2) == [[new, 8]], cell(2)
    assert cell(3) == [[old, 7], [NONE, 1]], cell(3)
    assert cell(4) == [[NONE, 8]], cell(4)
    assert cell(8191) == [[new, 4], [NONE, 4]], cell(8191)
    # The same areas, whatever it is written as; text takes no part in it.
    svg = draw(name, "--svg", "-").decode()
    assert svg.startswith("<?xml") and svg.rstrip().endswith("</svg>")
    assert not re.search(r'(href|src|url)="?\(?https?:', svg)
    draw(name, "--svg", "map.svg", "--png", "map.png")
    assert open("map.svg").read() == svg
    # Fonts may come out otherwise after an SVG; cells may not.
    again = Picture(open("map.png", "rb").read())
    cells = slice(LEFT * 3, (LEFT + 128 * 9) * 3)
    assert [row[cells] for row in again.rows[TOP:TOP + 576]] == [
        row[cells] for row in picture.rows[TOP:TOP + 576]]


def test_sizes():
    # From one block to the most takes; nothing may be refused or left out.
    for capacity, block_size, takes in ((1, 4096, 1), (100 * 4096 - 5, 4096, 3),
                                        (1 << 40, 1 << 20, 254)):
        blocks = maps.churn(-(-capacity // block_size), takes)
        name = saved("size", capacity, block_size, takes, blocks)
        picture = Picture(draw(name, "--png", "-"))
        assert picture.width == 1356 and picture.height > 150
        assert len(draw(name, "--svg", "-")) < 8 << 20


def test_files():
    # What is there stays if the picture cannot be written.
    name = saved("map", 1 << 20, 4096, 1, bytes(256))
    for target in ("/dev/null", "none/map.png"):
        result = subprocess.run([BLKSNAP, "map", "--png", target, name],
                                capture_output=True, text=True)
        assert result.returncode == 1 and target in result.stderr, result
    assert not draw(name, "--png", "here.png")


os.chdir(tempfile.mkdtemp())
for test in (test_blocks, test_bars, test_sizes, test_files):
    started = time.monotonic()
    test()
    print(f"{test.__name__}: {time.monotonic() - started:.1f} s")
sys.exit(0)

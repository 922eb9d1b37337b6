#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The page in a browser: colours at known cells, hover, zoom, keys, themes; no
word on its console, and nothing that it asks the network for."""
import os
import subprocess
import sys
import tempfile

import maps
from browser import Browser, program
from png import Picture

if not program():
    print("skipped: no chromium")
    sys.exit(77)
BLKSNAP = os.environ["BLKSNAP"]


def page(name, capacity, block_size, number, blocks, *options):
    with open(name, "wb") as file:
        file.write(maps.encode(capacity, block_size, number, blocks))
    subprocess.run([BLKSNAP, "map", "--html", name + ".html", *options, name],
                   check=True)
    return name + ".html"


class Map:
    """What the page says of its grid, and where that is on the screen."""

    def __init__(self, browser):
        self.browser = browser
        told = browser.tell(
            "(() => { const g = document.getElementById('grid');"
            "const b = g.getBoundingClientRect();"
            "return {...g.dataset, x: b.left, y: b.top}; })()")
        self.x, self.y = told.pop("x"), told.pop("y")
        self.told = {name: int(value) for name, value in told.items()}

    def place(self, index):
        told, pitch = self.told, self.told["pitch"]
        return (round(self.x + told["left"] + index % told["columns"] * pitch),
                round(self.y + told["top"] + index // told["columns"] * pitch))

    def hover(self, index):
        x, y = self.place(index)
        self.browser.mouse("mouseMoved", x + 3, y + 3)
        return self.tip()

    def tip(self):
        return self.browser.tell(
            "(() => { const t = document.getElementById('tip');"
            "return t.hidden ? null : {...t.dataset, text: t.innerText}; })()")

    def wheel(self, index, delta):
        x, y = self.place(index)
        self.browser.mouse("mouseWheel", x + 3, y + 3, deltaX=0, deltaY=delta)
        return Map(self.browser)


def colours_of(browser, index):
    """From the foot of a cell up."""
    grid = Map(browser)
    x, y = grid.place(index)
    side = grid.told["pitch"] - 1
    picture = Picture(browser.screenshot(x, y, side, side))
    return [picture.at(side // 2, side - 1 - step) for step in range(side)]


def test_hover_and_zoom(browser):
    # 8 GiB; 128 cells of 1 MiB a row, 16 blocks a cell.
    blocks = maps.runs(131072, (160 * 16, 16, 4), (160 * 16, 3, 9),
                       (131071, 1, 2))
    browser.open(page("zoom", 8 << 30, 65536, 9, blocks))
    grid = Map(browser)
    assert grid.told["cell"] == 1 << 20 and grid.told["columns"] == 128
    assert grid.told["rows"] == 64

    tip = grid.hover(160)
    assert int(tip["offset"]) == 160 << 20, tip
    assert int(tip["length"]) == 1 << 20 and int(tip["changed"]) == 1 << 20
    assert tip["number"] == "9"
    assert "take 9: 18.8 %" in tip["text"] and "take 4: 81.3 %" in tip["text"]
    assert "unchanged" in grid.hover(161)["text"]
    assert grid.hover(8191)["changed"] == "65536"

    # What is under the pointer stays under it, down to a block.
    def index_of(offset):
        return offset // grid.told["cell"] - grid.told["row"] * 128

    for cell in (1 << 19, 1 << 18, 1 << 17, 1 << 16):
        grid = grid.wheel(index_of(160 << 20), -100)
        assert grid.told["cell"] == cell, grid.told
        assert index_of(160 << 20) // 128 == 1, grid.told
    index = index_of(160 << 20)
    tip = grid.hover(index + 2)
    assert (tip["offset"], tip["length"], tip["number"]) == (
        str((160 << 20) + 2 * 65536), "65536", "9"), tip
    assert grid.hover(index + 3)["number"] == "4"
    assert grid.hover(index + 16)["number"] == "0"
    # No deeper than that; and back.
    browser.tell("document.getElementById('whole').click()")
    assert Map(browser).told["cell"] == 1 << 20
    browser.tell("document.getElementById('in').click()")
    assert Map(browser).told["cell"] == 1 << 19
    browser.tell("document.getElementById('grid').focus()")
    browser.key("-")
    assert Map(browser).told["cell"] == 1 << 20
    browser.key("0")
    # The address names the view, and shows it again.
    browser.open("zoom.html", f"#cell=65536&at={160 << 20}&hover={161 << 20}")
    grid = Map(browser)
    assert grid.told["row"] * 128 * 65536 == 160 << 20, grid.told
    assert grid.tip()["offset"] == str(161 << 20)
    browser.key("Escape")


def test_colours(browser):
    # A block a cell: 16 columns or more, each of one colour. Dark and light.
    blocks = maps.runs(1024, *((40 * i, 1, i) for i in range(1, 10)))
    path = page("colours", 64 << 20, 65536, 9, blocks)
    for scheme in ("light", "dark"):
        browser.scheme(scheme)
        browser.open(path)
        seen = []
        for number in range(1, 10):
            column = set(colours_of(browser, 40 * number))
            assert len(column) == 1, (number, column)
            seen.append(column.pop())
        none = set(colours_of(browser, 1))
        assert len(none) == 1 and len(set(seen) | none) == 10, (seen, none)
        expected = browser.tell(f"JSON.parse(document.getElementById('data')"
                                f".textContent).{scheme}")
        assert seen == expected, (seen, expected)
    browser.scheme("light")


def test_bars(browser):
    # As in the picture: a quarter new, the rest old; a sixteenth; none.
    blocks = maps.runs(131072, (0, 16, 1), (0, 4, 9), (16, 1, 9),
                       (32, 15, 9))
    browser.open(page("bars", 8 << 30, 65536, 9, blocks))
    browser.mouse("mouseMoved", 1, 1)
    column = colours_of(browser, 0)
    height, new, old = len(column), column[0], column[-1]
    assert column == [new] * round(height / 4) + [old] * (
        height - round(height / 4)), column
    low = colours_of(browser, 1)
    assert low[0] == new and len(set(low[1:])) == 1 and low[1] not in (new, old)
    # Nearly all is not all.
    assert colours_of(browser, 2) == [new] * (height - 1) + [low[1]]


def test_sizes(browser):
    # 2 million busy blocks: a few MB, and every one can be looked at.
    capacity = 2000000 * 65536 - 77
    blocks = maps.churn(2000000, 250)
    path = page("large", capacity, 65536, 250, blocks)
    assert os.path.getsize(path) < 5 << 20, os.path.getsize(path)
    for offset in (0, capacity // 3, capacity - 1):
        browser.open(path, f"#cell=65536&at={offset}&hover={offset}")
        tip = Map(browser).tip()
        assert int(tip["offset"]) == offset // 65536 * 65536, tip
        assert int(tip["number"]) == blocks[offset // 65536], tip
    # A telephone: nothing is wider than the screen.
    for width in (360, 800):
        browser.resize(width, 800)
        browser.open(path)
        assert browser.tell("document.documentElement.scrollWidth") <= width
        assert Map(browser).told["pitch"] >= 7
    browser.resize(1360, 1400)
    # One block, and none that changed.
    browser.open(page("one", 1, 4096, 1, b"\1"))
    assert Map(browser).hover(0)["number"] == "1"
    browser.open(page("none", 1 << 20, 4096, 3, bytes(256)))
    assert Map(browser).hover(9)["number"] == "0"


os.chdir(tempfile.mkdtemp())
chromium = Browser()
try:
    for test in (test_hover_and_zoom, test_colours, test_bars, test_sizes):
        test(chromium)
        assert not chromium.complaints, (test.__name__, chromium.complaints)
        print(test.__name__, "good")
finally:
    chromium.close()

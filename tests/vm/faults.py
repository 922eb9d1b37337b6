# SPDX-License-Identifier: LGPL-2.1-or-later
"""The kernel's fault injection, limited to where our modules are at work.

Only kernels built for it have that; see Documentation/fault-injection. A fault
is injected where a function of the required range is on the stack, and none of
the rejected range: block layer and drivers may allocate below us, and are not
what is tested.
"""

import bisect
import contextlib
import pathlib

DEBUG = pathlib.Path("/sys/kernel/debug")
# So many, counting down: that tells how many there were.
TIMES = 1_000_000


def _text_symbols():
    symbols = []
    for line in open("/proc/kallsyms"):
        address, kind, name, *module = line.split()
        if kind in "tT":
            symbols.append((int(address, 16), name, module[0][1:-1] if module else ""))
    return sorted(symbols)


class Text:
    """Where functions are; to be made when the modules are loaded."""

    def __init__(self):
        self.symbols = _text_symbols()

    def module(self, name):
        addresses = [address for address, _, module in self.symbols if module == name]
        return addresses[0], self._behind(addresses[-1])

    def function(self, *names):
        """The first of these that is there: the others may be inlined into it."""
        for wanted in names:
            for address, name, _ in self.symbols:
                if name == wanted:
                    return address, self._behind(address)
        raise LookupError(f"no function {' or '.join(names)}")

    def _behind(self, address):
        """The next function's address."""
        after = bisect.bisect(self.symbols, (address, "\U0010ffff"))
        return self.symbols[after][0] if after < len(self.symbols) else address + 4096


class Faults:
    """One kind: failslab, fail_page_alloc, fail_make_request, fail_usercopy."""

    def __init__(self, kind):
        self.folder = DEBUG / kind
        self.set("probability", 0)
        self.set("verbose", 0)          # no stack in the log for each
        for name in ("ignore-gfp-wait", "ignore-gfp-highmem"):
            self.set(name, "N")         # those that may sleep fail, too
        self.set("min-order", 0)

    def set(self, name, value):
        file = self.folder / name
        if file.exists():
            file.write_text(f"{value}\n")

    def limit(self, require, reject=(0, 0)):
        for what, (start, end) in (("require", require), ("reject", reject)):
            self.set(f"{what}-start", f"0x{start:x}")
            self.set(f"{what}-end", f"0x{end:x}")
        self.set("stacktrace-depth", 32)

    @contextlib.contextmanager
    def on(self, percent, times=TIMES):
        """Yields a function that tells how many were injected so far."""
        self.set("times", times)
        self.set("probability", percent)
        try:
            yield lambda: times - int((self.folder / "times").read_text())
        finally:
            self.set("probability", 0)


@contextlib.contextmanager
def failing_disks(*disks):
    """Disks whose requests fail_make_request may choose; sda, vdb, ..."""
    files = [pathlib.Path(f"/sys/block/{disk}/make-it-fail") for disk in disks]
    for file in files:
        file.write_text("1")
    try:
        yield
    finally:
        for file in files:
            file.write_text("0")


def with_fault(nth, call, *args):
    """Calls, with the nth thing that may fail on the way failing.

    Returns what the call returned, or its OSError; and whether so many things
    came. Counts those of all kinds together, in this thread alone.
    """
    with open("/proc/thread-self/fail-nth", "r+b", buffering=0) as switch:
        switch.write(b"%d" % nth)
        try:
            result = call(*args)
        except OSError as error:
            result = error
        left = int(switch.read(20))
        switch.write(b"0")
    return result, not left

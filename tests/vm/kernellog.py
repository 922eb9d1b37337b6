# SPDX-License-Identifier: LGPL-2.1-or-later
"""What in a kernel's log means that something is wrong.

Not here on purpose: I/O errors (cases provoke them) and the taint that
out-of-tree, unsigned modules cause.
"""

import re

_WRONG = re.compile("|".join((
    r"\bWARNING: ",
    r"\bBUG: ",                         # KASAN, soft lockup, page faults, ...
    r"\bkernel BUG at\b",
    r"\bOops\b",
    r"\bCall Trace:",
    r"\bgeneral protection fault\b",
    r"\bKernel panic\b",
    r"\bunable to handle\b",
    r"\bblocked for more than\b",       # hung task
    r"\brcu\w*:? .*\bstall",            # rcu_preempt self-detected stall, ...
    r"\brefcount_t: ",
    r"\bUBSAN: ",
    r"\b(possible|suspicious) .*\b(locking|deadlock|RCU usage|dependency)\b",
    r"\binconsistent lock state\b",
    r"\block held when returning\b",
    r"\bunregister_netdevice\b",
    r"\bObjects remaining in\b",        # a slab cache destroyed too early
    r"\bBad page (state|map)\b",
    r"\blist_(add|del) corruption\b",
    r"\bturning off the locking correctness validator\b",
    r"\bkmemleak: .*\bdisabled\b",
)), re.IGNORECASE)

# Lines of our own, and what a boot says about its stall timeouts.
_FINE = re.compile(r"\bvm: |stall warnings timeout set|\b[Cc]ommand line:")


# As in a register dump; bits 22 and up are reserved and read as 0 on every
# processor (Intel SDM, volume 1, 3.4.3).
_EFLAGS = re.compile(r"\bEFLAGS: ([0-9a-f]{8})\b")
_RESERVED_FLAGS = ~((1 << 22) - 1)

# Says where it happened, and is no bug: cases let allocations fail.
_NO_MEMORY = re.compile(r"\bvmalloc error: ")


def _findings(lines):
    """(number, line) of those that mean trouble."""
    traced = False
    for number, line in enumerate(lines):
        if _NO_MEMORY.search(line):
            traced = True
        elif traced and "Call Trace:" in line:
            traced = False
        elif _WRONG.search(line) and not _FINE.search(line):
            yield number, line


def findings(text):
    """The lines that mean trouble, in order."""
    return [line for _, line in _findings(text.splitlines())]


def emulator_fault(text):
    """What in a log no processor does, so that the emulator must have; or None.

    QEMU 7.2 now and then leaves another value in its lazily computed flags: with
    the trap flag set, the kernel then meets a debug exception out of nowhere.
    """
    for flags in _EFLAGS.findall(text):
        if int(flags, 16) & _RESERVED_FLAGS:
            return f"EFLAGS {flags} have bits that no processor sets"
    return None


def excerpt(text, lines=40):
    """The log from shortly before the first finding on, or else its end."""
    every = text.splitlines()
    first = next((number for number, _ in _findings(every)), None)
    start = max(0, len(every) - lines if first is None else first - 3)
    return every[start:start + lines]

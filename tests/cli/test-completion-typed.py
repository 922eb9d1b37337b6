#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What bash makes of a line when Tab is typed: in a real one, on a terminal."""
import os
import pty
import re
import select
import sys
import tempfile
import time

SECONDS = 20


class Shell:
    """An interactive bash, whose line a key prints."""

    def __init__(self, completion):
        pid, self.terminal = pty.fork()
        if pid == 0:
            os.environ.update(PS1="", TERM="dumb", INPUTRC="/dev/null")
            os.execvp("bash", ["bash", "--norc", "--noprofile", "-i"])
        self.seen = b""
        # ^T tells the line as it stands.
        self.type("bind 'set bell-style none'; bind 'set enable-bracketed-paste off'\n"
                  """bind -x '"\\C-t": printf "\\n<%s>\\n" "$READLINE_LINE"'\n"""
                  f"source {completion}; echo rea''dy\n")
        self.wait(rb"ready\r")

    def type(self, text):
        os.write(self.terminal, text.encode())

    def wait(self, pattern):
        end = time.monotonic() + SECONDS
        while not (found := re.search(pattern, self.seen)):
            left = end - time.monotonic()
            if left <= 0 or not select.select([self.terminal], [], [], left)[0]:
                sys.exit(f"FAILED: no {pattern} in {self.seen}")
            self.seen += os.read(self.terminal, 65536)
        self.seen = self.seen[found.end():]
        return found

    def completed(self, line):
        """The line after Tab."""
        self.type(line + "\t\x14")
        text = self.wait(rb"\n<([^\n]*)>\r\n").group(1).decode()
        self.type("\x15")
        return text


def main():
    completion = os.path.abspath(os.environ["COMPLETION"])
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        os.mkdir("bgdir")
        os.mkdir("bg dir2")
        os.mkdir("bin")
        for name in ("bgfile", "images.raw", "m.cbt"):
            open(name, "w").close()
        devices = "#!/bin/sh\necho /dev/sdx1\necho /dev/sdy1\n"
        with open("bin/lsblk", "w") as file:
            file.write(devices)
        os.chmod("bin/lsblk", 0o755)
        os.environ["PATH"] = folder + "/bin:" + os.environ["PATH"]
        shell = Shell(completion)
        wrong = 0
        for line, wanted in (
                # Directories, and not the file beside them.
                ("list bgd", "list bgdir/"),
                ("list bgf", "list bgf"),
                ("list bg\\ ", "list bg\\ dir2/"),
                ("prune bgd", "prune bgdir/"),
                ("restore bgd", "restore bgdir/"),
                ("export bgd", "export bgdir/"),
                ("backup x --to bgd", "backup x --to bgdir/"),
                ("backup x --to=bgd", "backup x --to=bgdir/"),
                ("export il --tls-certificates bgd", "export il --tls-certificates bgdir/"),
                ("export il --tls-certificates=bgd", "export il --tls-certificates=bgdir/"),
                # Files, and devices.
                ("map m.c", "map m.cbt "),
                ("restore il --to im", "restore il --to images.raw "),
                ("export il -U bgf", "export il -U bgfile "),
                ("readcbtmap -f bgf", "readcbtmap -f bgfile "),
                ("backup im", "backup images.raw "),
                ("backup x im", "backup x images.raw "),
                ("backup /dev/sdx", "backup /dev/sdx1 "),
                ("backup nbd://x /dev/sdx", "backup nbd://x /dev/sdx1 "),
                ("map /dev/sdy", "map /dev/sdy1 "),
                ("map /dev/nul", "map /dev/null "),
                ("attach -d /dev/sdy", "attach -d /dev/sdy1 "),
                ("attach --device=/dev/sdy", "attach --device=/dev/sdy1 "),
                ("attach -d /dev/nul", "attach -d /dev/null "),
                # Words that bash takes apart.
                ("pull nbd://x bgf", "pull nbd://x bgfile "),
                ("pull nbd+unix:///x?socket=y bgf", "pull nbd+unix:///x?socket=y bgfile "),
                ("pull 'nbd+unix:///x?socket=y' bgf", "pull 'nbd+unix:///x?socket=y' bgfile "),
                ("pull --since=x:y nbd://x bgf", "pull --since=x:y nbd://x bgfile "),
                ("pull --si", "pull --since "),
                ("readcbtmap --format=sa", "readcbtmap --format=saved "),
                ("checkpoint re", "checkpoint remove "),
        ):
            got = shell.completed("blksnap " + line)
            if got != "blksnap " + wanted:
                print(f"FAILED: {line!r} becomes {got!r}, not {wanted!r}")
                wrong += 1
        sys.exit(wrong != 0)


main()

#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""blksnap-nbd --run: a server for as long as a command runs."""

import os
import signal
import subprocess
import sys
import time
import unittest

from nbdwire import *

PROGRAM = os.environ["BLKSNAP_NBD"]


def read_all(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def runs(pid):
    try:
        return read_all(f"/proc/{pid}/stat").rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


class Run(ProgramTest):
    def run_it(self, command, *args, status=0, **options):
        """What the command wrote."""
        done = subprocess.run(
            [PROGRAM, *args, "file=" + self.disk, "--run", command],
            capture_output=True, text=True, timeout=TIMEOUT, check=False,
            stdin=subprocess.DEVNULL, **options)
        self.assertEqual(done.returncode, status, done.stderr)
        return done.stdout

    def start(self, command, *args):
        server = self.server("file=" + self.disk, "--run", command, *args,
                             stdin=subprocess.DEVNULL)
        self.wait_for("started")
        return server

    def wait_for(self, name):
        deadline = time.monotonic() + TIMEOUT
        while not os.path.exists(self.place(name)):
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.01)
        return read_all(self.place(name))

    def test_exit_status(self):
        for command, status in (("true", 0), ("exit 7", 7), ("exit 255", 255),
                                ("kill -TERM $$", 128 + signal.SIGTERM),
                                ("/nonexistent/program", 127)):
            with self.subTest(command):
                self.run_it(command, status=status)

    def test_private_socket(self):
        me = f"{sys.executable} {os.path.abspath(__file__)}"
        out = self.run_it(f'{me} --client "$unixsocket"; echo "$uri"; '
                          'echo "<$port><$exportname>"')
        data, uri, rest = out.splitlines()
        self.assertEqual(data, "512 bytes of zeroes")
        path = uri.removeprefix("nbd+unix:///?socket=")
        self.assertNotEqual(path, uri)
        self.assertEqual(rest, "<><>")
        self.assertFalse(os.path.exists(os.path.dirname(path)))

    def test_socket_of_choice(self):
        path = self.place("of choice")
        out = self.run_it('test -S "$unixsocket" && echo "$unixsocket $uri $nbd"',
                          "-U", path)
        uri = "nbd+unix:///?socket=" + path.replace(" ", "%20")
        self.assertEqual(out, f"{path} {uri} {uri}\n")
        self.assertFalse(os.path.exists(path))

    def test_tcp(self):
        out = self.run_it('echo "$uri <$port> <$unixsocket>"', "-i",
                          "127.0.0.1", "-p", "0")
        self.assertRegex(out, r"^nbd://127\.0\.0\.1:(\d+)/ <\1> <>\n$")

    def test_export_name(self):
        out = self.run_it('echo "$exportname $uri"', "-e", "disk.raw")
        self.assertRegex(out, r"^disk\.raw nbd\+unix:///disk\.raw\?socket=/")

    def test_names_that_a_shell_could_misread(self):
        name = f"""it's "a" $(touch {self.place('hit')}) `x` ; \\ name"""
        out = self.run_it('printf %s "$exportname"', "name=" + name,
                          "--exportname", name)
        self.assertEqual(out, name)
        path = self.place("a'b $(c)")
        out = self.run_it('printf %s "$unixsocket"', "-U", path)
        self.assertEqual(out, path)
        self.assertFalse(os.path.exists(self.place("hit")))

    def test_export_that_there_is_not(self):
        self.assertIn("--exportname", self.fails(
            "file=" + self.disk, "-e", "other", "--run",
            "touch " + self.place("hit")))
        self.assertFalse(os.path.exists(self.place("hit")))

    def test_not_run_without_a_server(self):
        self.fails("file=/nonexistent", "--run", "touch " + self.place("hit"))
        self.assertFalse(os.path.exists(self.place("hit")))

    def test_what_the_command_gets(self):
        """Not our blocked signals, not our descriptors."""
        out = self.run_it("grep -E 'Sig(Blk|Ign)' /proc/self/status; "
                          "ls -l /proc/self/fd",
                          env=dict(os.environ, NOTIFY_SOCKET="/nonexistent",
                                   port="wrong"))
        self.assertRegex(out, r"SigBlk:\s+0+\n")
        for line in out.splitlines():
            if "->" in line:
                self.assertNotIn(self.directory, line)
        self.assertEqual(sum("->" in line for line in out.splitlines()), 4,
                         out)  # the last is the folder that ls reads
        out = self.run_it('echo "<$NOTIFY_SOCKET><$port>"',
                          env=dict(os.environ, NOTIFY_SOCKET="/nonexistent",
                                   port="wrong"))
        self.assertEqual(out, "<><>\n")

    def test_signal_ends_the_command_and_what_it_started(self):
        server = self.start(
            f"sleep 1000 & echo $! >{self.place('pid')}; "
            f": >{self.place('started')}; wait; exit 5")
        sleeper = int(self.wait_for("pid"))
        self.assertTrue(runs(sleeper))
        self.assertEqual(server.stop(), 128 + signal.SIGTERM)
        deadline = time.monotonic() + TIMEOUT
        while runs(sleeper):
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.01)
        self.assertFalse(os.path.exists(server.path))

    def test_command_may_have_its_own_way_of_ending(self):
        server = self.start(
            f"trap 'exit 3' INT; : >{self.place('started')}; "
            "while :; do sleep 0.1; done")
        server.process.send_signal(signal.SIGINT)
        self.assertEqual(server.process.wait(TIMEOUT), 3)

    def test_command_that_ignores_the_signal(self):
        server = self.start(f"trap '' TERM; : >{self.place('started')}; "
                            "while :; do sleep 0.1; done")
        self.assertEqual(server.stop(), 128 + signal.SIGKILL)

    def test_clients_that_stay_are_let_go(self):
        server = self.start(f": >{self.place('started')}; "
                            f"until test -e {self.place('enough')}; "
                            "do sleep 0.05; done")
        with server.client() as client:
            client.enter()
            with open(self.place("enough"), "w", encoding="ascii"):
                pass
            self.assertTrue(client.at_end())
        self.assertEqual(server.process.wait(TIMEOUT), 0)

    def test_whoever_ignores_the_end_of_children(self):
        """SIGCHLD ignored is inherited, and would lose the status."""
        done = subprocess.run(
            ["/bin/bash", "-c", 'trap "" CHLD; exec "$0" "$@"', PROGRAM,
             "file=" + self.disk, "--run", "exit 7"], timeout=TIMEOUT,
            check=False, stderr=subprocess.DEVNULL)
        self.assertEqual(done.returncode, 7)


def client(path):
    with Client(path) as served:
        served.enter()
        assert served.read(0, 512) == bytes(512)
        print("512 bytes of zeroes")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--client"]:
        client(sys.argv[2])
    else:
        unittest.main()

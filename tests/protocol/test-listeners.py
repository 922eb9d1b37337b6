#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Where blksnap-nbd listens, who may connect, as whom it serves, and how it
tells that it is ready."""

import fcntl
import grp
import os
import pwd
import socket
import stat
import subprocess
import sys
import unittest

from nbdwire import *

ROOT = os.geteuid() == 0
NEEDS_ROOT = unittest.skipUnless(ROOT, "needs root")

# Becomes the server, with descriptors where sd_listen_fds(3) wants them.
ACTIVATE = """
import os, sys
passed, program = sys.argv[1].split(","), sys.argv[2:]
for i, fd in enumerate(passed):
    os.dup2(int(fd), 3 + i, inheritable=True)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(passed)),
                  LISTEN_FDNAMES="nbd")
os.execv(program[0], program)
"""


def connected(family, address, source=None):
    client = socket.socket(family, socket.SOCK_STREAM)
    client.settimeout(TIMEOUT)
    if source:
        client.bind(source)
    client.connect(address)
    return client


class Listeners(ProgramTest):
    def file(self):
        return "file=" + self.disk

    def assert_served(self, client):
        with Client(client) as served:
            served.enter()
            self.assertEqual(served.read(0, 512), bytes(512))

    def assert_refused(self, client):
        """Not a byte: no greeting, no names."""
        with Client(client) as refused:
            self.assertTrue(refused.at_end())

    def tcp_port(self, server, host=r"127\.0\.0\.1"):
        return int(server.wait_for_log(rf"nbd://{host}:(\d+)/")[1])

    # Unix

    def test_mode(self):
        before = os.umask(0o077)
        self.addCleanup(os.umask, before)
        server = self.server("--unix-mode=0626", self.file())
        self.assertEqual(stat.S_IMODE(os.stat(server.path).st_mode), 0o626)
        self.assert_served(server.path)
        self.assertEqual(server.stop(), 0)

    @NEEDS_ROOT
    def test_owner(self):
        for owner, uid, gid in (("12345:54321", 12345, 54321),
                                (":54321", 0, 54321), ("daemon", 1, 0),
                                ("daemon:daemon", 1, 1)):
            server = self.server("--unix-owner", owner, self.file())
            found = os.stat(server.path)
            self.assertEqual((found.st_uid, found.st_gid), (uid, gid))
            self.assertEqual(server.stop(), 0)

    def test_private(self):
        server = self.server(self.file(), listen=("-U", "-"))
        path = server.wait_for_log(r"nbd\+unix:///\?socket=(\S+)")[1]
        self.assertEqual(
            stat.S_IMODE(os.stat(os.path.dirname(path)).st_mode), 0o700)
        self.assert_served(path)
        self.assertEqual(server.stop(), 0)
        self.assertFalse(os.path.exists(os.path.dirname(path)))

    def test_options_of_unix_sockets(self):
        unix = ("-U", self.place("other"))
        for mode in "", "8", "01000", "rw", "-1", "0x1":
            self.assertIn("is no mode", self.fails(
                *unix, "--unix-mode=" + mode, self.file()))
        self.assertIn("no user 'nosuch'", self.fails(
            *unix, "--unix-owner=nosuch", self.file()))
        self.assertIn("no group 'nosuch'", self.fails(
            *unix, "--unix-owner=:nosuch", self.file()))
        for owner in "", ":", "0:":
            self.assertIn("--unix-owner", self.fails(
                *unix, "--unix-owner=" + owner, self.file()))
        for option in "--unix-mode=0600", "--unix-owner=0":
            self.assertIn("need -U",
                          self.fails("-p", "0", option, self.file()))
        self.assertFalse(os.path.exists(self.place("other")))

    # TCP, vsock

    def test_ipv6(self):
        try:
            with socket.socket(socket.AF_INET6) as probe:
                probe.bind(("::1", 0))
        except OSError as error:
            self.skipTest(f"no IPv6: {error}")
        server = self.server(self.file(), listen=("-i", "::1", "-p", "0"))
        port = self.tcp_port(server, r"\[::1\]")
        self.assert_served(connected(socket.AF_INET6, ("::1", port)))
        self.assertEqual(server.stop(), 0)

    def test_vsock(self):
        try:
            with socket.socket(socket.AF_VSOCK) as probe:
                probe.bind((socket.VMADDR_CID_ANY, socket.VMADDR_PORT_ANY))
        except OSError as error:
            self.skipTest(f"no vsock: {error}")
        server = self.server(self.file(), listen=("--vsock", "-p", "0"))
        port = int(server.wait_for_log(r"nbd\+vsock://1:(\d+)/")[1])
        self.assertNotIn("nbd://", server.log_text())
        with socket.socket(socket.AF_VSOCK) as client:
            try:
                client.connect((1, port))  # VMADDR_CID_LOCAL
            except OSError:  # no vsock_loopback
                self.assertEqual(server.stop(), 0)
                self.skipTest("vsock does not reach this machine itself")
            self.assert_served(client)
        server.wait_for_log(r"client 1 \(vsock cid 1 port \d+\)")
        self.assertEqual(server.stop(), 0)

    def test_options_of_vsock(self):
        self.assertIn("number of 32 bits", self.fails(
            "--vsock", "-p", "nbd", self.file()))
        self.assertIn("--vsock", self.fails(
            "--vsock", "-i", "127.0.0.1", self.file()))

    # Socket activation

    def activated(self, *sockets, args=(), **options):
        # Out of the way of 3, 4, ...
        high = [fcntl.fcntl(one.fileno(), fcntl.F_DUPFD, 100)
                for one in sockets]
        try:
            return self.server(
                *args, self.file(), listen=(), pass_fds=high, wrapper=(
                    sys.executable, "-c", ACTIVATE,
                    ",".join(map(str, high))), **options)
        finally:
            for fd in high:
                os.close(fd)

    def listening(self, family=socket.AF_UNIX):
        listener = socket.socket(family)
        self.addCleanup(listener.close)
        if family == socket.AF_UNIX:
            listener.bind(self.place("passed"))
        else:
            listener.bind(("127.0.0.1", 0))
        listener.listen()
        return listener

    def test_activation(self):
        unix = self.listening()
        tcp = self.listening(socket.AF_INET)
        # Before there is a server at all.
        early = connected(socket.AF_UNIX, self.place("passed"))
        server = self.activated(unix, tcp)
        self.assert_served(early)
        self.assert_served(connected(socket.AF_INET, tcp.getsockname()))
        server.wait_for_log(re.escape(
            "nbd+unix:///?socket=" + self.place("passed")))
        self.assertEqual(self.tcp_port(server), tcp.getsockname()[1])
        self.assertEqual(len(re.findall("listening on", server.log_text())), 2)
        self.assertEqual(server.stop(), 0)
        # It belongs to whoever made it.
        self.assertTrue(os.path.exists(self.place("passed")))

    def test_activation_is_not_handed_on(self):
        server = self.activated(self.listening(), args=(
            "--run", f"env >{self.place('env')}; echo $uri; "
                     f"until [ -e {self.place('seen')} ]; do sleep 0.05; done"),
            stdout=subprocess.PIPE, text=True)
        with open(self.place("seen"), "wb"):
            pass
        out, _ = server.process.communicate(timeout=TIMEOUT)
        self.assertEqual(server.process.returncode, 0)
        self.assertIn(self.place("passed"), out)
        with open(self.place("env"), encoding="utf-8") as env:
            self.assertNotIn("LISTEN_", env.read())

    def test_activation_excludes_other_listeners(self):
        for args in (("-U", self.place("other")), ("-p", "0"), ("--vsock",),
                     ("-i", "127.0.0.1"), ("-s",)):
            with self.assertRaisesRegex(RuntimeError, "socket activation"):
                self.activated(self.listening(socket.AF_INET), args=args)
        self.assertFalse(os.path.exists(self.place("other")))

    def test_activation_with_something_else(self):
        ends = socket.socketpair()
        for end in ends:
            self.addCleanup(end.close)
        with self.assertRaisesRegex(RuntimeError,
                                    "descriptor 4: not a stream socket that"):
            self.activated(self.listening(), ends[0])
        with open(self.disk, "rb") as disk, \
                self.assertRaisesRegex(RuntimeError, "descriptor 3: "):
            self.activated(disk)

    def test_activation_of_someone_else(self):
        env = dict(os.environ, LISTEN_PID="1", LISTEN_FDS="1")
        self.assert_served(self.server(self.file(), env=env).path)

    def test_activation_that_makes_no_sense(self):
        env = {"LISTEN_FDS": "x"}
        wrapper = ("/bin/sh", "-c", 'LISTEN_PID=$$ exec "$0" "$@"')
        with self.assertRaisesRegex(RuntimeError, "LISTEN_FDS"):
            self.server(self.file(), listen=(), wrapper=wrapper, env=env)

    # A connection that is there already

    def test_connected_descriptor(self):
        ours, theirs = socket.socketpair()
        with theirs:
            server = self.server(self.file(), f"--fd={theirs.fileno()}",
                                 listen=(), pass_fds=[theirs.fileno()])
        self.assertNotIn("listening", server.log_text())
        self.assert_served(ours)  # and closes it
        self.assertEqual(server.process.wait(TIMEOUT), 0)
        self.assertFalse(os.path.exists(server.pidfile))

    def test_connected_descriptor_and_a_signal(self):
        ours, theirs = socket.socketpair()
        with theirs:
            server = self.server(self.file(), f"--fd={theirs.fileno()}",
                                 listen=(), pass_fds=[theirs.fileno()])
        with Client(ours) as client:
            client.enter()
            self.assertEqual(server.stop(), 0)
            self.assertTrue(client.at_end())

    def test_single_over_all_standard_descriptors(self):
        """As inetd does it. Nothing but NBD goes over them."""
        ours, theirs = socket.socketpair()
        with theirs:
            server = self.server(self.file(), "-s", listen=(), stdin=theirs,
                                 stdout=theirs, stderr=theirs)
        with Client(ours) as client:
            client.enter()
            self.assertEqual(client.read(0, 512), bytes(512))
            client.request(CMD_DISC)
            self.assertTrue(client.at_end())
        self.assertEqual(server.process.wait(TIMEOUT), 0)

    def test_what_is_no_connection(self):
        self.assertIn("not a stream socket", self.fails(
            "--single", self.file(), stdin=subprocess.DEVNULL))
        self.assertIn("--fd=77: Bad file descriptor",
                      self.fails("--fd=77", self.file()))
        self.assertIn("--fd", self.fails("--fd=x", self.file()))
        self.assertIn("--fd", self.fails("--fd=-1", self.file()))
        self.assertIn("exclude each other",
                      self.fails("--fd=0", "-s", self.file()))
        for args in (("-U", self.place("other")), ("-p", "0"), ("--vsock",),
                     ("-i", "127.0.0.1"), ("--run", "true")):
            self.assertIn("serve one connection",
                          self.fails("--fd=0", *args, self.file()))

    # Who may connect

    def test_allowed_networks(self):
        server = self.server("--allow=127.0.0.2,10.0.0.0/8",
                             "--allow", "127.0.4.0/22", self.file(),
                             listen=("-i", "127.0.0.1", "-p", "0"))
        port = self.tcp_port(server)
        for source, served in (("127.0.0.1", False), ("127.0.0.2", True),
                               ("127.0.0.3", False), ("127.0.7.255", True),
                               ("127.0.8.0", False)):
            with self.subTest(source):
                client = connected(socket.AF_INET, ("127.0.0.1", port),
                                   (source, 0))
                if served:
                    self.assert_served(client)
                else:
                    self.assert_refused(client)
                    server.wait_for_log(
                        re.escape(source) +
                        r" port \d+: closed: not on the allow list")
        self.assertEqual(server.stop(), 0)
        # One line for each of the refused, and two sessions.
        log = server.log_text()
        self.assertEqual(len(re.findall(r"127\.0\.0\.3 ", log)), 1, log)
        self.assertIn("client 2 ", log)
        self.assertNotIn("client 3 ", log)

    def test_ipv4_over_a_socket_for_both(self):
        try:
            both = socket.create_server(("::", 0), family=socket.AF_INET6,
                                        dualstack_ipv6=True)
        except (OSError, ValueError) as error:
            self.skipTest(f"no IPv6: {error}")
        self.addCleanup(both.close)
        server = self.activated(both, args=("--allow=127.0.0.1",))
        port = both.getsockname()[1]
        self.assert_served(connected(socket.AF_INET, ("127.0.0.1", port)))
        self.assert_refused(connected(socket.AF_INET, ("127.0.0.1", port),
                                      ("127.0.0.2", 0)))
        self.assert_refused(connected(socket.AF_INET6, ("::1", port)))
        self.assertEqual(server.stop(), 0)

    def test_allowed_users(self):
        me = pwd.getpwuid(os.geteuid())
        for users, served in ((str(me.pw_uid), True), (me.pw_name, True),
                              ("12345", False),
                              (f"12345,{me.pw_uid}", True)):
            with self.subTest(users):
                server = self.server("--allow-uid=" + users, self.file())
                if served:
                    self.assert_served(server.path)
                else:
                    self.assert_refused(server.path)
                    server.wait_for_log(
                        rf"uid {me.pw_uid} pid {os.getpid()}: closed: "
                        "not on the allow list")
                self.assertEqual(server.stop(), 0)

    def test_each_kind_has_its_own_list(self):
        server = self.server("--allow=192.0.2.1", "--allow-cid=3", self.file())
        self.assert_served(server.path)

    def test_connected_descriptor_of_someone_who_may_not(self):
        ours, theirs = socket.socketpair()
        with theirs, Client(ours) as client:
            fd = theirs.fileno()
            self.assertIn("not on the allow list", self.fails(
                f"--fd={fd}", "--allow-uid=12345", self.file(),
                pass_fds=[fd]))
            theirs.close()
            self.assertTrue(client.at_end())

    def test_lists_that_make_no_sense(self):
        for option in ("--allow=10.0.0.0/33", "--allow=localhost",
                       "--allow-uid=nosuch",
                       "--allow-uid=-1", "--allow-cid=x",
                       "--allow-cid=4294967296"):
            with self.subTest(option):
                self.assertIn(option.partition("=")[0], self.fails(
                    "-U", self.place("other"), option, self.file()))
        # Empty, as by a script's mistake, is not "all".
        for option in "--allow", "--allow-uid", "--allow-cid":
            for value in ([option, ""], [option + "="]):
                with self.subTest(value):
                    self.fails("-U", self.place("other"), *value, self.file())
        self.assertFalse(os.path.exists(self.place("other")))

    # Limits

    def test_connections(self):
        server = self.server("--max-connections=1", self.file())
        with Client(server.path) as first:
            first.enter()
            second = Client(server.path)
            server.wait_for_log("a client waits: 1 connections are the limit")
            self.assertEqual(first.read(0, 512), bytes(512))
        self.assert_served(second.socket)

    def test_handshake_that_stands_still(self):
        server = self.server("--handshake-timeout=1", self.file())
        with Client(server.path) as client:
            client.greet()
            self.assertTrue(client.at_end())
        server.wait_for_log("the handshake took too long")

    def test_limits_arrive(self):
        server = self.server(
            "--max-connections=7", "--handshake-timeout=8", "--max-requests=9",
            "--max-bytes=10M", "-t", "11", self.file())
        server.wait_for_log(re.escape(
            "limits: 7 connections, 8 s for a handshake; a connection: "
            "9 requests, 10485760 bytes; 11 threads"))
        self.assert_served(server.path)
        self.assertEqual(server.stop(), 0)
        server = self.server("--workers=3", self.file())
        server.wait_for_log(re.escape(
            "limits: 100 connections, 10 s for a handshake; a connection: "
            "128 requests, 67108864 bytes; 3 threads"))

    def test_a_connection_of_one_request_and_one_byte(self):
        server = self.server("--max-requests=1", "--max-bytes=1", "-t", "1",
                             self.file())
        with Client(server.path) as client:
            client.enter()
            cookies = [client.request(CMD_READ, i * 512, 512)
                       for i in range(100)]
            for cookie in cookies:
                self.assertEqual(len(client.chunks(cookie)), 1)
        self.assertEqual(server.stop(), 0)

    def test_limits_that_make_no_sense(self):
        for option in ("--max-connections", "--handshake-timeout",
                       "--max-requests", "--max-bytes", "--threads"):
            for value in "0", "-1", "x", "", "99999999999999999999":
                with self.subTest(option=option, value=value):
                    self.assertIn(option, self.fails(
                        "-U", self.place("other"), f"{option}={value}",
                        self.file()))
        self.assertFalse(os.path.exists(self.place("other")))

    # As whom it serves

    def identity(self, server):
        with open(f"/proc/{server.process.pid}/status",
                  encoding="ascii") as status:
            lines = dict(line.rstrip("\n").split(":\t", 1)
                         for line in status if ":\t" in line)
        return [lines["Uid"].split(), lines["Gid"].split(),
                lines["Groups"].split(), int(lines["CapEff"], 16),
                int(lines["CapPrm"], 16)]

    @NEEDS_ROOT
    def test_user_and_group(self):
        nobody = pwd.getpwnam("nobody")
        group = grp.getgrnam("daemon").gr_gid
        os.chmod(self.disk, 0o600)
        os.chmod(self.directory, 0o700)
        for args, uid, gid in (
                (("-u", "nobody"), nobody.pw_uid, nobody.pw_gid),
                (("--user=nobody", "--group=daemon"), nobody.pw_uid, group),
                (("-u", "12345", "-g", "54321"), 12345, 54321)):
            with self.subTest(args):
                server = self.server(*args, self.file())
                self.assert_served(server.path)
                self.assertEqual(self.identity(server), [
                    [str(uid)] * 4, [str(gid)] * 4, [str(gid)], 0, 0])
                self.assertEqual(server.stop(), 0)
                # It has not the privileges any more to remove them.
                for left in server.path, server.pidfile:
                    server.wait_for_log(
                        f"debug: remove {left}: Permission denied")
                    os.unlink(left)

    @NEEDS_ROOT
    def test_group_alone(self):
        server = self.server("-g", "daemon", self.file())
        self.assert_served(server.path)  # so all of that is done
        gid = str(grp.getgrnam("daemon").gr_gid)
        uids, gids, groups, _, _ = self.identity(server)
        self.assertEqual((uids, gids, groups),
                         (["0"] * 4, [gid] * 4, [gid]))
        self.assertEqual(server.stop(), 0)

    @NEEDS_ROOT
    def test_private_socket_of_another_user(self):
        server = self.server("-u", "nobody", self.file(), listen=("-U", "-"))
        path = server.wait_for_log(r"nbd\+unix:///\?socket=(\S+)")[1]
        self.assert_served(path)
        self.assertEqual(server.stop(), 0)
        self.assertFalse(os.path.exists(os.path.dirname(path)))

    def test_users_that_there_are_not(self):
        self.assertIn("no user 'nosuch'",
                      self.fails("-u", "nosuch", self.file()))
        self.assertIn("no group 'nosuch'",
                      self.fails("-g", "nosuch", self.file()))
        self.assertIn("give --group too",
                      self.fails("-u", "3999999999", self.file()))
        for option in "-u", "-g":
            self.fails("-U", self.place("other"), option, "", self.file())
        # All bits set would mean "stay".
        self.assertIn("no user", self.fails("-u", "4294967295", self.file()))

    @unittest.skipIf(ROOT, "root may become anyone")
    def test_users_that_only_root_may_become(self):
        self.assertIn("Operation not permitted", self.fails(
            "-U", self.place("other"), "-u", "0", "-g", "0", self.file()))

    # Readiness

    def notified(self, address):
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(listener.close)
        listener.settimeout(TIMEOUT)
        listener.bind(address.replace("@", "\0", 1))
        env = dict(os.environ, NOTIFY_SOCKET=address)
        server = self.server(self.file(), env=env)
        self.assertEqual(listener.recv(4096), b"READY=1")
        self.assert_served(server.path)
        self.assertEqual(server.stop(), 0)
        self.assertEqual(listener.recv(4096), b"STOPPING=1")

    def test_notify(self):
        self.notified(self.place("notify"))
        self.notified(f"@blksnap-nbd-test-{os.getpid()}")

    def test_not_ready_if_it_fails(self):
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(listener.close)
        listener.bind(self.place("notify"))
        self.fails("-U", self.place("other"), "file=/nonexistent",
                   env=dict(os.environ, NOTIFY_SOCKET=self.place("notify")))
        listener.setblocking(False)
        with self.assertRaises(BlockingIOError):
            listener.recv(4096)


if __name__ == "__main__":
    unittest.main()

#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What blksnap-nbd tells about itself: log lines, counters, configuration."""

import datetime
import http.client
import json
import os
import re
import socket
import struct
import subprocess
import time
import unittest

from nbdwire import *



def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


PROGRAM = os.environ["BLKSNAP_NBD"]


class Counting:
    """A socket that counts what goes through it."""

    def __init__(self, inner):
        self.inner, self.sent, self.received = inner, 0, 0

    def sendall(self, data):
        self.sent += len(data)
        self.inner.sendall(data)

    def recv_into(self, room):
        got = self.inner.recv_into(room)
        self.received += got
        return got

    def __getattr__(self, name):
        return getattr(self.inner, name)


def counting_client(server):
    client = server.client()
    client.socket = Counting(client.socket)
    return client


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, test, path):
        super().__init__("localhost", timeout=TIMEOUT)
        self.path = path
        test.addCleanup(self.close)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(TIMEOUT)
        self.sock.connect(self.path)


class Lines(ProgramTest):
    """One line for each connection, with all there is to say about it."""

    def closed(self, server, pattern):
        """(level, peer, fields) of the line whose reason matches."""
        line = server.wait_for_log(
            rf"(?m)^\S+ \S+ blksnap (\w+): (client \d+ \(.*?\)): closed: "
            rf"{pattern}((?: \w+=(?:\"[^\n]*?\"|[0-9.]+))+)$")
        fields = dict(re.findall(r' (\w+)=("[^\n]*?"|[0-9.]+)(?= |$)', line[3]))
        return line[1], line[2], fields

    def test_a_connection_that_ends_well(self):
        server = self.server("file=" + self.disk, "name=disk")
        client = counting_client(server)
        client.enter("disk", ["base:allocation"])
        self.assertEqual(client.read(0, 4096), bytes(4096))
        self.assertTrue(client.block_status(0, 1 << 20))
        self.assertEqual(client.failure(CMD_READ, 1 << 20, 512), EINVAL)
        client.request(CMD_DISC)
        self.assertTrue(client.at_end())
        client.close()
        level, peer, fields = self.closed(server, "the client disconnected")
        self.assertEqual(level, "info")
        self.assertRegex(peer, rf"\(uid {os.getuid()} pid {os.getpid()}\)")
        self.assertEqual(fields.pop("seconds").count("."), 1)
        self.assertEqual(fields, {
            "export": '"disk"', "headers": '"structured replies"',
            "contexts": '"base:allocation"', "requests": "4", "errors": "1",
            "received": str(client.socket.sent),
            "sent": str(client.socket.received)})
        self.assertEqual(server.log_text().count("closed: "), 1)

    def test_large_replies_are_counted_in_full(self):
        with open(self.disk, "wb") as disk:
            disk.write(os.urandom(1 << 20))
        server = self.server("file=" + self.disk)
        client = counting_client(server)
        client.enter()
        for _ in range(8):
            self.assertEqual(len(client.read(0, 1 << 20)), 1 << 20)
        client.close()
        _, _, fields = self.closed(server, "the client closed the connection")
        self.assertEqual(fields["requests"], "8")
        self.assertEqual(fields["sent"], str(client.socket.received))
        self.assertGreater(client.socket.received, 8 << 20)

    def test_why_it_ended(self):
        server = self.server("file=" + self.disk)
        with server.client() as client:
            client.greet()
            client.send_option(OPT_ABORT)
            level, _, fields = self.closed(server,
                                           "the client ended the handshake")
        self.assertEqual(level, "info")
        self.assertNotIn("export", fields)

        with server.client() as client:
            client.greet()
            client.send(b"NOMAGIC!" + bytes(8))
            self.assertEqual(
                self.closed(server, "wrong magic number before an option")[0],
                "warning")
        with server.client() as client:
            client.enter()
            client.send(bytes(28))
            self.assertEqual(
                self.closed(server, "wrong magic number before a request")[0],
                "warning")
        with server.client() as client:
            client.enter()
            client.send(struct.pack(">IHHQQI", 0x25609513, 0, CMD_WRITE, 1, 0,
                                    (32 << 20) + 1))
            self.assertEqual(self.closed(
                server, f"NBD_CMD_WRITE with {(32 << 20) + 1} bytes of data")[0],
                "warning")
        with server.client() as client:
            client.enter()
            self.assertEqual(server.stop(), 0)
        self.assertEqual(self.closed(server, "the server is stopping")[0],
                         "info")
        self.assertEqual(server.log_text().count("closed: "), 5)

    def test_a_handshake_that_takes_too_long(self):
        server = self.server("--handshake-timeout=1", "file=" + self.disk)
        with server.client() as client:
            client.greet()
            self.assertTrue(client.at_end())
        self.assertEqual(
            self.closed(server, "the handshake took too long")[0], "warning")

    def test_levels(self):
        server = self.server("--log-level=warning", "file=" + self.disk)
        with server.client() as client:
            client.enter()
        with server.client() as client:
            client.greet(flags=0xf0)
            server.wait_for_log("unknown client flags")
        server.stop()
        self.assertNotIn(" info: ", server.log_text())
        self.assertIn("log level 'loud': want debug",
                      self.fails("--log-level=loud", "file=" + self.disk))

    def test_json(self):
        odd = self.place('a "b" \xe4\x01.raw')
        os.rename(self.disk, odd)
        server = self.server("--log-level=debug", "--log-format=json",
                             "file=" + odd)
        with server.client() as client:
            client.enter("", ["base:allocation"])
            client.read(0, 512)
            client.request(CMD_DISC)
            self.assertTrue(client.at_end())
        with server.client() as client:
            client.greet()
            # Not UTF-8, and not fit for a terminal.
            client.send_option(OPT_GO, counted(b"\xff\xfe\x1b[31m") + b"\0\0")
            client.option_reply(OPT_GO)
        self.assertEqual(server.stop(), 0)
        lines = [json.loads(line) for line in
                 server.log_text().splitlines()]
        for line in lines:
            moment = datetime.datetime.fromisoformat(
                line["time"].replace("Z", "+00:00"))
            self.assertEqual(moment.utcoffset(), datetime.timedelta(0))
            self.assertIn(line["level"], ["debug", "info", "warning"])
            self.assertTrue(line["message"])
        line, = [line for line in lines if line.get("export")]
        self.assertEqual(line["export"], os.path.basename(odd))
        self.assertEqual(line["contexts"], "base:allocation")
        self.assertEqual(line["requests"], 2)
        self.assertIn(line["peer"], line["message"])
        self.assertEqual(line["reason"], "the client disconnected")
        self.assertIsInstance(line["seconds"], float)
        self.assertIn("log format 'xml': want text or json",
                      self.fails("--log-format=xml", "file=" + odd))


def parse_metrics(text):
    """{(name, ((label, value), ...)): value}, and the types."""
    values, kinds = {}, {}
    for line in text.splitlines():
        if line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            kinds[name] = kind
        elif not line.startswith("#"):
            name, labels, value = re.fullmatch(
                r"(\w+)(?:\{(.*)\})? (\S+)", line).groups()
            pairs = re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', labels or "")
            values[name, tuple(pairs)] = float(value)
    return values, kinds


class Metrics(ProgramTest):
    def get(self, connection, target="/metrics", method="GET"):
        connection.request(method, target)
        response = connection.getresponse()
        return response, response.read().decode()

    def test_counters_over_a_unix_socket(self):
        where = self.place("metrics")
        server = self.server("file=" + self.disk, "name=disk",
                             "--metrics=unix:" + where)
        connection = UnixConnection(self, where)
        response, text = self.get(connection)
        self.assertEqual(response.status, 200)
        self.assertEqual(response.getheader("Content-Type"),
                         "text/plain; version=0.0.4; charset=utf-8")
        values, kinds = parse_metrics(text)
        self.assertEqual(values["blksnap_nbd_connections_accepted_total", ()], 0)

        client = counting_client(server)
        client.enter("disk", ["base:allocation"])
        client.read(0, 4096)
        client.read(0, 100000)
        client.block_status(0, 4096)
        client.failure(CMD_WRITE, 0, 512, 0, bytes(512))
        export = ("export", "disk")

        def value(name, *labels):
            return values["blksnap_nbd_" + name, labels]

        def check():
            for command, count in (("read", 2), ("block_status", 1),
                                   ("write", 1), ("flush", 0)):
                self.assertEqual(
                    value("requests_total", export, ("command", command)),
                    count, command)
            self.assertEqual(value("request_errors_total", export), 1)
            self.assertEqual(value("received_bytes_total", export),
                             client.socket.sent)
            self.assertEqual(value("sent_bytes_total", export),
                             client.socket.received)

        # The same connection again, while the client is there, and after. The
        # last reply may be here before it is counted there.
        deadline = time.monotonic() + TIMEOUT
        while True:
            values, kinds = parse_metrics(self.get(connection)[1])
            if (value("sent_bytes_total", export) == client.socket.received
                    or time.monotonic() > deadline):
                break
        self.assertEqual(value("connections", export), 1)
        check()
        client.close()
        server.wait_for_log("closed: the client closed the connection")
        values, kinds = parse_metrics(self.get(connection)[1])
        self.assertEqual(value("connections", export), 0)
        check()

        with server.client() as hostile:
            hostile.greet(flags=0xf0)
            server.wait_for_log("unknown client flags")
        values, kinds = parse_metrics(self.get(connection)[1])
        self.assertEqual(value("connections_accepted_total"), 2)
        self.assertEqual(value("handshakes_failed_total"), 1)
        self.assertEqual(kinds["blksnap_nbd_connections"], "gauge")
        self.assertEqual(kinds["blksnap_nbd_requests_total"], "counter")
        self.assertEqual(server.stop(), 0)
        self.assertFalse(os.path.exists(where))

    def test_over_tcp_and_what_else_is_asked(self):
        port = free_port()
        self.server("file=" + self.disk, f"--metrics=127.0.0.1:{port}")

        def ask(target, method):
            connection = http.client.HTTPConnection("127.0.0.1", port,
                                                    timeout=TIMEOUT)
            self.addCleanup(connection.close)
            return self.get(connection, target, method)[0].status
        self.assertEqual(ask("/metrics", "GET"), 200)
        self.assertEqual(ask("/", "GET"), 404)
        self.assertEqual(ask("/metrics", "POST"), 405)
        with socket.create_connection(("127.0.0.1", port), TIMEOUT) as hostile:
            hostile.sendall(b"GET /" + b"x" * 100000)
            try:
                self.assertEqual(hostile.recv(1), b"")
            except ConnectionResetError:
                pass
        self.assertEqual(ask("/metrics", "GET"), 200)

    def test_refused_connections_are_counted(self):
        where = self.place("metrics")
        server = self.server("file=" + self.disk, "--metrics=unix:" + where,
                             "--allow-uid=54321")
        with server.client() as client:
            self.assertTrue(client.at_end())
        values, _ = parse_metrics(self.get(UnixConnection(self, where))[1])
        self.assertEqual(
            values["blksnap_nbd_connections_refused_total", ()], 1)
        self.assertEqual(
            values["blksnap_nbd_connections_accepted_total", ()], 0)

    def test_where_it_cannot_be(self):
        file = "file=" + self.disk
        for where, why in (("nowhere", "want unix:PATH"),
                           ("::1:80", "brackets"),
                           ("unix:/nonexistent/x", "/nonexistent/x"),
                           ("unix:" + self.disk, "is no socket")):
            complaint = self.fails("-U", self.place("s"), file,
                                   "--metrics=" + where)
            self.assertIn("--metrics", complaint)
            self.assertIn(why, complaint)


class Config(ProgramTest):
    def dump(self, *args):
        done = subprocess.run([PROGRAM, *args, "--dump-config"],
                              capture_output=True, text=True, timeout=TIMEOUT,
                              check=True)
        self.assertEqual(done.stderr, "")
        return done.stdout

    def test_what_is_dumped_is_what_is_set(self):
        self.assertIn("max-connections=100\n", self.dump("file=x"))
        self.assertNotIn("unix=", self.dump("file=x"))
        self.assertIn("max-connections=7\n",
                      self.dump("--max-connections=7", "file=x"))
        # Nothing is opened for it, but all is checked.
        self.assertIn("/nonexistent", self.dump("file=/nonexistent"))
        self.fails("--dump-config", "nonsense=1")

    def test_what_is_dumped_can_be_read(self):
        args = ("-U", self.place("s"), "--unix-mode=0660", "--tls=require",
                "--tls-certificates=/etc/pki", "--tls-verify-peer",
                "--tls-allow", 'CN=a,O=x "y"', "--allow=10.0.0.0/8,fd00::/8",
                "--max-bytes=1M", "-v", "device=/dev/vda", "device=/dev/vdb",
                "diff=/var/tmp", "limit=1G")
        config = self.place("config")
        dumped = self.dump(*args)
        with open(config, "w", encoding="utf-8") as file:
            file.write(dumped)
        self.assertEqual(self.dump("--config", config), dumped)
        self.assertIn("max-bytes=\"2M\"\n",
                      self.dump("--config", config, "--max-bytes=2M"))

    def test_a_server_from_a_file(self):
        config = self.place("config")
        with open(config, "w", encoding="utf-8") as file:
            file.write("# what the service serves\n"
                       f'WORD = ["file={self.disk}", "name=from-file"]\n')
        server = self.server("--config", config)
        with server.client() as client:
            client.enter("from-file")
        with open(config, "a", encoding="utf-8") as file:
            file.write("frobnicate = 1\n")
        complaint = self.fails("-U", self.place("s"), "--config", config)
        self.assertIn("--config", complaint)
        self.assertIn("frobnicate", complaint)
        self.assertIn("/nonexistent", self.fails("--config", "/nonexistent"))


if __name__ == "__main__":
    unittest.main()

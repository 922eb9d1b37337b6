#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Whom TLS lets in, and what is said before it."""

import os
import shutil
import socket
import ssl
import struct
import subprocess
import tempfile
import unittest

import opensslwire
from nbdwire import *


class Tls(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.directory = tempfile.mkdtemp(prefix="blksnap-nbd-")
        cls.addClassCleanup(shutil.rmtree, cls.directory)
        cls.disk = os.path.join(cls.directory, "secret.raw")
        with open(cls.disk, "wb") as disk:
            disk.write(os.urandom(1 << 20))
        cls.pki = os.path.join(cls.directory, "pki")
        os.mkdir(cls.pki)
        cls.authority = Authority(cls.pki)
        cls.authority.make("server", "/CN=localhost")
        cls.authority.make("client", "/O=Example, Inc/CN=backup")
        cls.authority.make("other", "/O=Example, Inc/CN=other")
        cls.authority.make("revoked", "/CN=revoked")
        cls.authority.revoke("revoked")
        os.mkdir(os.path.join(cls.directory, "foreign"))
        cls.foreign = Authority(os.path.join(cls.directory, "foreign"))
        cls.foreign.make("client", "/O=Example, Inc/CN=backup")

    def serve(self, *args):
        directory = tempfile.mkdtemp(dir=self.directory)
        server = Server(directory, "file=" + self.disk, *args)

        def end():
            self.assertEqual(server.stop(), 0, server.log_text())
        self.addCleanup(end)
        return server

    def x509(self, *args):
        return self.serve("--tls=require", "--tls-certificates=" + self.pki,
                          *args)

    def client(self, server, context=None):
        client = server.client()
        self.addCleanup(client.close)
        client.tls = context
        return client

    def assert_reads(self, client):
        client.enter()
        with open(self.disk, "rb") as disk:
            self.assertEqual(client.read(0, 1 << 20), disk.read())

    def assert_kept_out(self, server, context, why):
        client = self.client(server, context)
        with self.assertRaises(Closed):
            # With TLS 1.3 a client learns of it when it reads on.
            client.greet()
            client.option(OPT_LIST)
        server.wait_for_log(why)

    def test_nothing_is_said_before_tls(self):
        server = self.x509()
        client = self.client(server).greet()
        everything = b""
        for option in (OPT_LIST, OPT_INFO, OPT_GO, OPT_STRUCTURED_REPLY,
                       OPT_LIST_META_CONTEXT, OPT_SET_META_CONTEXT,
                       OPT_EXTENDED_HEADERS, 77):
            client.send_option(option, counted("secret.raw") + bytes(4))
            kind, reply = client.option_reply(option)
            self.assertEqual(kind, ERR_TLS_REQD)
            everything += reply
        self.assertNotIn(b"secret", everything)
        client.send_option(OPT_EXPORT_NAME, b"secret.raw")
        self.assertTrue(client.at_end())
        self.assert_reads(self.client(server, self.authority.context()))

    def test_what_was_agreed_on_before_is_forgotten(self):
        # Only STARTTLS is let through, so that there is nothing to be
        # forgotten but on this side: replies are simple ones again.
        client = self.client(self.x509(), self.authority.context()).greet()
        client.info(OPT_GO, "")
        cookie = client.request(CMD_READ, 0, 512)
        self.assertEqual(client.simple_reply(cookie), 0)

    def test_both_versions_and_no_older_one(self):
        server = self.x509()
        for version in ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3:
            context = self.authority.context(version=version)
            self.assert_reads(self.client(server, context))
        context = self.authority.context(version=ssl.TLSVersion.TLSv1_1)
        context.set_ciphers("ALL:@SECLEVEL=0")
        self.assert_kept_out(server, context, "unsupported protocol")

    def test_new_keys(self):
        """As often as a client likes, with replies under way."""
        with open(self.disk, "rb") as disk:
            content = disk.read()
        client = self.client(self.x509(), opensslwire.Context()).enter()
        for both in False, True, True, False, True:
            cookies = [client.request(CMD_READ, 0, 1 << 20) for _ in range(20)]
            client.socket.new_keys(both)
            cookies.append(client.request(CMD_READ, 0, 1 << 20))
            data = {cookie: bytearray(1 << 20) for cookie in cookies}
            while data:
                flags, kind, cookie, payload = client.chunk()
                place_chunk(data[cookie], 0, kind, payload)
                if flags & CHUNK_DONE:
                    self.assertEqual(data.pop(cookie), content)

    def test_cve_2021_3716_data_put_in_between_ends_the_session(self):
        server = self.x509()
        client = self.client(server).greet()
        client.send(b"IHAVEOPT" + struct.pack(">II", OPT_STARTTLS, 0) +
                    b"IHAVEOPT" + struct.pack(">II", OPT_LIST, 0))
        self.assertEqual(client.option_reply(OPT_STARTTLS), (REP_ACK, b""))
        self.assertTrue(client.at_end())
        server.wait_for_log("data between NBD_OPT_STARTTLS and TLS")

    def test_rubbish_for_a_handshake(self):
        server = self.x509()
        for rubbish in bytes(100), b"IHAVEOPT", b"\x16\x03\x01" + bytes(50):
            client = self.client(server).greet()
            client.option(OPT_STARTTLS)
            client.send(rubbish)
            client.socket.shutdown(socket.SHUT_WR)
            try:
                while client.socket.recv(4096):  # an alert
                    pass
            except ConnectionResetError:
                pass
        self.assert_reads(self.client(server, self.authority.context()))

    def test_clients_without_a_good_certificate(self):
        server = self.x509("--tls-verify-peer")
        for name in "client", "other":
            self.assert_reads(
                self.client(server, self.authority.context(name)))
        self.assert_kept_out(server, self.authority.context(),
                             "peer did not return a certificate")
        self.assert_kept_out(server, self.authority.context("revoked"),
                             "certificate revoked")
        context = self.authority.context()
        context.load_cert_chain(self.foreign.path("client-cert.pem"),
                                self.foreign.path("client-key.pem"))
        self.assert_kept_out(server, context, "certificate verify failed")

    def test_names_that_are_let_in(self):
        name = subprocess.run(
            ["openssl", "x509", "-noout", "-subject", "-nameopt", "RFC2253",
             "-in", self.authority.path("client-cert.pem")], check=True,
            capture_output=True, text=True).stdout.strip()
        name = name.removeprefix("subject=")
        self.assertIn("\\,", name)
        server = self.x509("--tls-verify-peer", "--tls-allow", "CN=nobody",
                           "--tls-allow", name)
        self.assert_reads(
            self.client(server, self.authority.context("client")))
        server.wait_for_log("TLSv1.3, CN=backup")
        self.assert_kept_out(server, self.authority.context("other"),
                             "CN=other.*is not one of the names let in")
        # Neither a part of a name, nor more than it.
        for allowed in "CN=backup", name + ",C=DE", name[:-1]:
            server = self.x509("--tls-verify-peer", "--tls-allow", allowed)
            self.assert_kept_out(server, self.authority.context("client"),
                                 "is not one of the names let in")

    def test_a_client_that_vanishes(self):
        server = self.x509()
        for _ in range(20):
            client = self.client(server, self.authority.context()).enter()
            for _ in range(20):
                client.request(CMD_READ, 0, 1 << 20)
            client.close()
        self.assert_reads(self.client(server, self.authority.context()))

    def refused(self, *args):
        program = subprocess.run(
            [os.environ["BLKSNAP_NBD"], "-U",
             os.path.join(self.directory, "never"), *args,
             "file=" + self.disk], capture_output=True, text=True,
            timeout=TIMEOUT)
        self.assertEqual(program.returncode, 1)
        self.assertEqual(program.stderr.count("\n"), 1, program.stderr)
        return program.stderr

    def test_what_is_wrong_with_the_settings(self):
        empty = tempfile.mkdtemp(dir=self.directory)
        mixed = tempfile.mkdtemp(dir=self.directory)
        for name in "server-cert.pem", "ca-cert.pem":
            shutil.copy(self.authority.path(name), mixed)
        shutil.copy(self.foreign.path("client-key.pem"),
                    os.path.join(mixed, "server-key.pem"))
        keys = os.path.join(empty, "keys")
        for args, complaint in (
                (["--tls=maybe"], 'only "off" and "require"'),
                (["--tls=on"], 'only "off" and "require"'),
                (["--tls=require"], "needs either --tls-certificates"),
                (["--tls=require", "--tls-psk=a", "--tls-certificates=b"],
                 "needs either --tls-certificates"),
                (["--tls-certificates=" + self.pki], "TLS is off"),
                (["--tls-psk=" + keys], "TLS is off"),
                (["--tls=require", "--tls-psk=a", "--tls-verify-peer"],
                 "no certificates to verify"),
                (["--tls=require", "--tls-certificates=" + empty],
                 empty + "/server-cert.pem: No such file"),
                (["--tls=require", "--tls-certificates=" + mixed],
                 mixed + "/server-key.pem: key values mismatch"),
                (["--tls=require", "--tls-certificates=" + self.pki,
                  "--tls-allow=CN=x"], "only with their certificates"),
                (["--tls=require", "--tls-psk=" + keys],
                 keys + ": No such file")):
            with self.subTest(args=args):
                self.assertIn(complaint, self.refused(*args))
        for content, complaint in (
                ("", "has no keys"),
                ("# alice:00\n\n", "has no keys"),
                ("secret00112233\n", "line 1: not of the form"),
                (":00112233445566778899aabbccddeeff\n",
                 "line 1: not of the form"),
                ("alice:" + "00" * 16 + "\nbob:secret\n", "line 2: the key"),
                ("alice:0011\n", "line 1: the key is not 16 to 512 bytes"),
                ("a:" + "00" * 16 + "\na:" + "11" * 16 + "\n",
                 "line 2: the user is there twice")):
            with self.subTest(content=content):
                with open(keys, "w", encoding="ascii") as file:
                    file.write(content)
                error = self.refused("--tls=require", "--tls-psk=" + keys)
                self.assertIn(complaint, error)
                self.assertNotIn("secret", error)


if __name__ == "__main__":
    unittest.main()

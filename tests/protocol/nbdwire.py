# SPDX-License-Identifier: LGPL-2.1-or-later
"""The NBD protocol from the client's end, byte by byte, and blksnap-nbd to
talk to. Made for tests: it can say anything, and checks all it hears."""

import os
import re
import shutil
import signal
import socket
import ssl
import struct
import subprocess
import tempfile
import time
import unittest

from mapfile import ChangeMap

TIMEOUT = 120  # seconds; a test that waits so long has failed

OPT_EXPORT_NAME, OPT_ABORT, OPT_LIST, OPT_STARTTLS = 1, 2, 3, 5
OPT_INFO, OPT_GO, OPT_STRUCTURED_REPLY = 6, 7, 8
OPT_LIST_META_CONTEXT, OPT_SET_META_CONTEXT, OPT_EXTENDED_HEADERS = 9, 10, 11

REP_ACK, REP_SERVER, REP_INFO, REP_META_CONTEXT = 1, 2, 3, 4
ERR_UNSUP, ERR_INVALID = 0x80000001, 0x80000003
ERR_TLS_REQD = 0x80000005
ERR_UNKNOWN, ERR_TOO_BIG = 0x80000006, 0x80000009
ERR_EXT_HEADER_REQD = 0x8000000A

INFO_EXPORT, INFO_NAME, INFO_DESCRIPTION, INFO_BLOCK_SIZE = 0, 1, 2, 3

CMD_READ, CMD_WRITE, CMD_DISC, CMD_FLUSH = 0, 1, 2, 3
CMD_TRIM, CMD_CACHE, CMD_WRITE_ZEROES, CMD_BLOCK_STATUS = 4, 5, 6, 7
FLAG_DF, FLAG_REQ_ONE, FLAG_PAYLOAD_LEN = 4, 8, 32

FLAG_BLOCK_STATUS_PAYLOAD = 0x1000  # of an export

EPERM, EINVAL, EOVERFLOW = 1, 22, 75

REQUEST_MAGIC = 0x25609513
SIMPLE_MAGIC = 0x67446698
CHUNK_MAGIC = 0x668E33EF
EXTENDED_REQUEST_MAGIC = 0x21E41C71
EXTENDED_CHUNK_MAGIC = 0x6E8A278C
CHUNK_DONE = 1
CHUNK_NONE, CHUNK_DATA, CHUNK_HOLE = 0, 1, 2
CHUNK_STATUS, CHUNK_STATUS_EXT, CHUNK_ERROR = 5, 6, 0x8001


def place_chunk(data, offset, kind, payload):
    """Puts a chunk where it belongs in what is read at offset: its length."""
    assert kind in (CHUNK_DATA, CHUNK_HOLE), kind
    at = struct.unpack(">Q", payload[:8])[0] - offset
    part = payload[8:]
    if kind == CHUNK_HOLE:
        part = bytes(struct.unpack(">I", part)[0])
    assert 0 <= at and at + len(part) <= len(data), (at, len(part), len(data))
    data[at:at + len(part)] = part
    return len(part)


class Closed(Exception):
    """The server has closed the connection."""


class Refused(Exception):
    """An error reply to an option; args: reply type, message."""


def counted(text):
    data = text.encode() if isinstance(text, str) else text
    return struct.pack(">I", len(data)) + data


def queries(export, names):
    return (counted(export) + struct.pack(">I", len(names)) +
            b"".join(counted(name) for name in names))


class Client:
    """A connection, to a Unix socket or over one that is connected; nothing
    is said before it is asked for."""

    def __init__(self, to):
        if isinstance(to, socket.socket):
            self.socket = to
            self.socket.settimeout(TIMEOUT)
        else:
            self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self.socket.settimeout(TIMEOUT)
            self.socket.connect(to)
        self.cookie = 0x1000
        self.tls = None  # an ssl.SSLContext
        self.extended = False
        self.offsets = {}  # of requests with extended headers, by cookie

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()

    def send(self, data):
        try:
            self.socket.sendall(data)
        except (BrokenPipeError, ConnectionResetError, ssl.SSLError):
            raise Closed from None

    def receive(self, count):
        data = bytearray(count)
        left = memoryview(data)
        while left:
            try:
                got = self.socket.recv_into(left)
            except (ConnectionResetError, ssl.SSLError):
                got = 0
            if not got:
                raise Closed
            left = left[got:]
        return bytes(data)

    def at_end(self):
        try:
            return self.socket.recv(1) == b""
        except (ConnectionResetError, ssl.SSLError):
            return True

    # Handshake

    def greet(self, flags=3):
        """And TLS, where there is a context for it."""
        assert self.receive(16) == b"NBDMAGICIHAVEOPT"
        assert self.receive(2) == b"\0\3"
        self.send(struct.pack(">I", flags))
        if self.tls:
            assert self.option(OPT_STARTTLS) == []
            self.start_tls()
        return self

    def start_tls(self):
        try:
            self.socket = self.tls.wrap_socket(self.socket,
                                               server_hostname="localhost")
        except (ssl.SSLError, ConnectionResetError, BrokenPipeError) as error:
            raise Closed(str(error)) from None

    def send_option(self, option, data=b""):
        self.send(b"IHAVEOPT" + struct.pack(">II", option, len(data)) + data)

    def option_reply(self, option):
        magic, echo, kind, length = struct.unpack(">QIII", self.receive(20))
        assert magic == 0x3E889045565A9, hex(magic)
        assert echo == option, (echo, option)
        return kind, self.receive(length)

    def option(self, option, data=b""):
        """The replies before the final ACK: (type, data); raises Refused."""
        self.send_option(option, data)
        replies = []
        while True:
            kind, reply = self.option_reply(option)
            if kind & 0x80000000:
                raise Refused(kind, reply.decode())
            if kind == REP_ACK:
                assert reply == b""
                return replies
            replies.append((kind, reply))

    def contexts(self, option, export, names):
        found = []
        for kind, data in self.option(option, queries(export, names)):
            assert kind == REP_META_CONTEXT
            found.append((struct.unpack(">I", data[:4])[0], data[4:].decode()))
        return found

    def info(self, option, export, infos=()):
        """The items of INFO or GO, by type."""
        data = counted(export) + struct.pack(f">H{len(infos)}H", len(infos),
                                             *infos)
        items = {}
        for kind, item in self.option(option, data):
            assert kind == REP_INFO
            number, = struct.unpack(">H", item[:2])
            assert number not in items
            items[number] = item[2:]
        self.size, self.flags = struct.unpack(">QH", items[INFO_EXPORT])
        return items

    def enter(self, export="", contexts=(), infos=()):
        """All the way to transmission, with structured replies or extended
        headers."""
        self.greet()
        self.option(OPT_EXTENDED_HEADERS if self.extended
                    else OPT_STRUCTURED_REPLY)
        self.ids = {}
        if contexts:
            chosen = self.contexts(OPT_SET_META_CONTEXT, export, contexts)
            self.ids = dict(chosen)
        self.info(OPT_GO, export, infos)
        return self

    # Transmission

    def request(self, command, offset=0, length=0, flags=0, payload=b""):
        self.cookie += 1
        if not self.extended:
            header = struct.pack(">IHHQQI", REQUEST_MAGIC, flags, command,
                                 self.cookie, offset, length)
        else:
            if payload:
                flags |= FLAG_PAYLOAD_LEN
                length = length or len(payload)
            self.offsets[self.cookie] = offset
            header = struct.pack(">IHHQQQ", EXTENDED_REQUEST_MAGIC, flags,
                                 command, self.cookie, offset, length)
        self.send(header + payload)
        return self.cookie

    def simple_reply(self, cookie):
        magic, error, echo = struct.unpack(">IIQ", self.receive(16))
        assert magic == SIMPLE_MAGIC, hex(magic)
        assert echo == cookie
        return error

    def chunk(self):
        if self.extended:
            magic, flags, kind, cookie, offset, length = struct.unpack(
                ">IHHQQQ", self.receive(32))
            assert magic == EXTENDED_CHUNK_MAGIC, hex(magic)
            assert offset == self.offsets[cookie], (cookie, offset)
        else:
            magic, flags, kind, cookie, length = struct.unpack(
                ">IHHQI", self.receive(20))
            assert magic == CHUNK_MAGIC, hex(magic)
        assert flags & ~CHUNK_DONE == 0
        return flags, kind, cookie, self.receive(length)

    def chunks(self, cookie):
        """One structured reply: [(type, payload)]."""
        result = []
        while True:
            flags, kind, echo, payload = self.chunk()
            assert echo == cookie
            result.append((kind, payload))
            if flags & CHUNK_DONE:
                return result

    def read(self, offset, length, flags=0):
        """Data, or the error's number."""
        chunks = self.chunks(self.request(CMD_READ, offset, length, flags))
        if chunks[-1][0] == CHUNK_ERROR:
            return self.error(chunks)
        data = bytearray(b"?" * length)
        covered = sum(place_chunk(data, offset, kind, payload)
                      for kind, payload in chunks)
        assert covered == length, (covered, length)
        return bytes(data)

    @staticmethod
    def error(chunks):
        (kind, payload), = chunks
        assert kind == CHUNK_ERROR, kind
        value, length = struct.unpack(">IH", payload[:6])
        message = payload[6:].decode()
        assert len(message) == length > 0
        return value

    def failure(self, command, offset=0, length=0, flags=0, payload=b""):
        return self.error(self.chunks(
            self.request(command, offset, length, flags, payload)))

    def block_status(self, offset, length, flags=0, ids=None):
        """{context: [(length, flags)]}, or the error's number."""
        payload = b""
        if ids is not None:
            payload = struct.pack(f">Q{len(ids)}I", length, *ids)
        chunks = self.chunks(
            self.request(CMD_BLOCK_STATUS, offset, len(payload) or length,
                         flags, payload))
        if chunks[-1][0] == CHUNK_ERROR:
            return self.error(chunks)
        result = {}
        for kind, payload in chunks:
            name = self.ids[struct.unpack(">I", payload[:4])[0]]
            assert name not in result
            if self.extended:
                assert kind == CHUNK_STATUS_EXT, kind
                result[name] = list(struct.iter_unpack(">QQ", payload[8:]))
                count, = struct.unpack(">I", payload[4:8])
                assert count == len(result[name])
            else:
                assert kind == CHUNK_STATUS, kind
                result[name] = list(struct.iter_unpack(">II", payload[4:]))
            assert result[name]
            assert all(size for size, _ in result[name])
        assert result.keys() == {self.ids[i] for i in ids or self.ids}
        # Invariant 4 of the design: all of them end at the same byte.
        assert len({sum(size for size, _ in extents)
                    for extents in result.values()}) == 1
        return result


class Server:
    """A blksnap-nbd of our own; `args` besides the pidfile and where to
    listen, which is a Unix socket unless told otherwise. `wrapper` is a
    program that starts it, `popen` for that one."""

    def __init__(self, directory, *args, listen=None, wrapper=(), **popen):
        self.path = os.path.join(directory, "socket")
        self.pidfile = os.path.join(directory, "pid")
        self.log = os.path.join(directory, "log")
        if listen is None:
            listen = ("-U", self.path)
        verbose = () if any("--log-level" in arg for arg in args) else ("-v",)
        with open(self.log, "ab") as log:
            popen.setdefault("stderr", log)
            self.process = subprocess.Popen(
                [*wrapper, os.environ["BLKSNAP_NBD"], *verbose, *listen, "-P",
                 self.pidfile, *args], **popen)
        deadline = time.monotonic() + TIMEOUT
        while not os.path.exists(self.pidfile):
            if self.process.poll() is not None:
                raise RuntimeError(self.log_text())
            if time.monotonic() > deadline:
                self.process.kill()
                raise RuntimeError("no pidfile: " + self.log_text())
            time.sleep(0.01)

    def log_text(self):
        with open(self.log, encoding="utf-8", errors="replace") as log:
            return log.read()

    def wait_for_log(self, pattern):
        """The first match of a regular expression."""
        deadline = time.monotonic() + TIMEOUT
        while time.monotonic() < deadline:
            if match := re.search(pattern, self.log_text()):
                return match
            time.sleep(0.01)
        raise AssertionError(f"no {pattern!r} in: " + self.log_text())

    def client(self):
        return Client(self.path)

    def stop(self):
        """Its exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(TIMEOUT)


class Authority:
    """Makes certificates, by the openssl program. Directories are as servers
    and clients of NBD have them."""

    def __init__(self, directory):
        self.directory = directory
        self.serial = 0
        self.make("ca", "/CN=Test authority", "CA:TRUE")

    def path(self, name):
        return os.path.join(self.directory, name)

    def openssl(self, *args):
        subprocess.run(["openssl", *args], check=True, capture_output=True,
                       cwd=self.directory)

    def make(self, name, subject, constraint="CA:FALSE"):
        """NAME-cert.pem and NAME-key.pem."""
        self.serial += 1
        signed = [] if name == "ca" else ["-CA", "ca-cert.pem", "-CAkey",
                                          "ca-key.pem"]
        self.openssl("req", "-x509", "-newkey", "ec", "-pkeyopt",
                     "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                     "-subj", subject, "-addext",
                     "basicConstraints=critical," + constraint,
                     "-addext", "subjectAltName=DNS:localhost",
                     "-set_serial", str(self.serial),
                     "-keyout", name + "-key.pem", "-out", name + "-cert.pem",
                     *signed)

    def revoke(self, name):
        """ca-crl.pem, with this one in it."""
        with open(self.path("index"), "w", encoding="ascii"):
            pass
        with open(self.path("ca.conf"), "w", encoding="ascii") as conf:
            conf.write("[ca]\ndefault_ca=a\n[a]\ndatabase=index\n"
                       "default_md=sha256\ndefault_crl_days=2\n")
        ca = ["ca", "-config", "ca.conf", "-cert", "ca-cert.pem", "-keyfile",
              "ca-key.pem"]
        self.openssl(*ca, "-revoke", name + "-cert.pem")
        self.openssl(*ca, "-gencrl", "-out", "ca-crl.pem")

    def context(self, client=None, version=ssl.TLSVersion.TLSv1_3):
        context = ssl.create_default_context(cafile=self.path("ca-cert.pem"))
        context.minimum_version = context.maximum_version = version
        if client:
            context.load_cert_chain(self.path(client + "-cert.pem"),
                                    self.path(client + "-key.pem"))
        return context


class ProgramTest(unittest.TestCase):
    """blksnap-nbd and a disk for it to serve, in a directory of its own."""

    def setUp(self):
        self.directory = tempfile.mkdtemp(prefix="blksnap-nbd-")
        self.addCleanup(shutil.rmtree, self.directory)
        self.disk = self.place("disk.raw")
        with open(self.disk, "wb") as disk:
            disk.truncate(1 << 20)

    def place(self, name):
        return os.path.join(self.directory, name)

    def server(self, *args, **options):
        server = Server(self.directory, *args, **options)

        def end():
            if server.process.poll() is None:
                server.process.kill()
                server.process.wait()
        self.addCleanup(end)
        return server

    def fails(self, *args, **options):
        """Its one line of complaint."""
        done = subprocess.run([os.environ["BLKSNAP_NBD"], *args],
                              capture_output=True, text=True, timeout=TIMEOUT,
                              check=False, **options)
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertEqual(done.stdout, "")
        lines = done.stderr.splitlines()
        self.assertEqual(len(lines), 1, done.stderr)
        self.assertTrue(lines[0].startswith("blksnap-nbd: "), lines[0])
        return lines[0]


class ServerTest(unittest.TestCase):
    """A file of 4 MiB with holes, and its change map, served as "disk"."""

    SIZE = 4 << 20
    BLOCK = 64 << 10
    extended = False  # headers, of its clients
    tls_version = None  # of its server and its clients
    tls = None

    GENERATION = "3f0c6f0e-1c4b-4d0a-9a52-0f7c6f5f4f0e"

    @classmethod
    def setUpClass(cls):
        cls.directory = tempfile.mkdtemp(prefix="blksnap-nbd-")
        cls.addClassCleanup(shutil.rmtree, cls.directory)
        cls.disk = os.path.join(cls.directory, "disk.raw")
        cls.content = bytearray(cls.SIZE)
        with open(cls.disk, "wb") as disk:
            disk.truncate(cls.SIZE)
            for start in (1 << 20, 3 << 20):
                data = os.urandom(1 << 19)
                cls.content[start:start + len(data)] = data
                disk.seek(start)
                disk.write(data)
        cls.map = ChangeMap(cls.SIZE, cls.BLOCK, cls.GENERATION, 9, bytes(
            (i * i) % 10 for i in range(cls.SIZE // cls.BLOCK)))
        cls.map.save(os.path.join(cls.directory, "map"))
        # What takes long on a busy machine has not failed.
        args = [f"--handshake-timeout={TIMEOUT}", "file=" + cls.disk, "name=disk",
                "cbt=" + os.path.join(cls.directory, "map")]
        if cls.tls_version:
            pki = os.path.join(cls.directory, "pki")
            os.mkdir(pki)
            authority = Authority(pki)
            authority.make("server", "/CN=localhost")
            cls.tls = authority.context(version=cls.tls_version)
            args += ["--tls=require", "--tls-certificates=" + pki]
        cls.server = Server(cls.directory, *args)
        cls.addClassCleanup(cls.end)

    @classmethod
    def end(cls):
        # A sanitizer's findings end it with another status.
        if cls.server.stop() != 0:
            raise AssertionError(cls.server.log_text())

    @classmethod
    def dirty(cls, number):
        return f"qemu:dirty-bitmap:{cls.GENERATION}.{number}"

    def connect(self):
        client = self.server.client()
        client.extended = self.extended
        client.tls = self.tls
        return client

    def client(self):
        client = self.connect()
        self.addCleanup(client.close)
        return client

    def assert_serving(self):
        """Whatever one client did, the next one is served."""
        self.assertIsNone(self.server.process.poll(), self.server.log_text())
        with self.connect() as other:
            other.enter("disk", ["base:allocation"])
            self.assertEqual(other.read(1 << 20, 4096),
                             self.content[1 << 20:(1 << 20) + 4096])
            other.request(CMD_DISC)
            self.assertTrue(other.at_end())

# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the soak's servers serve, and the clients that they have."""

import contextlib
import ctypes
import hashlib
import importlib.util
import json
import multiprocessing
import os
import pathlib
import random
import shutil
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import traceback

import nbdwire
from mapfile import ChangeMap
from nbdwire import TIMEOUT

MIB = 1 << 20
SIZE = 32 * MIB
BLOCK = 64 << 10
GENERATION = "3f0c6f0e-1c4b-4d0a-9a52-0f7c6f5f4f0e"
TAKES = 9
READ_AT_RANDOM = pathlib.Path(__file__).with_name("read-at-random.py")

RUN, PAUSE, STOP = range(3)
COUNTED = ("connections", "reads", "MiB read", "maps", "broken off", "hostile",
           "programs", "programs killed")


class Disk:
    """A file and its change map, and all that there is to know about them."""

    def __init__(self, directory, rng):
        self.path = directory / "disk.raw"
        self.map_path = directory / "map"
        content = bytearray(SIZE)
        allocation = []
        with open(self.path, "wb") as file:
            file.truncate(SIZE)
            for at in range(0, SIZE, MIB):
                hole = rng.random() < 0.4
                allocation.append((MIB, 3 if hole else 0))
                if not hole:
                    content[at:at + MIB] = rng.randbytes(MIB)
                    file.seek(at)
                    file.write(content[at:at + MIB])
        self.content = bytes(content)
        self.digest = hashlib.sha256(content).hexdigest()
        changes = ChangeMap(SIZE, BLOCK, GENERATION, TAKES, bytes(
            rng.randint(0, TAKES) for _ in range(SIZE // BLOCK)))
        changes.save(self.map_path)
        self.extents = {"base:allocation": allocation}
        for take in range(TAKES + 1):
            self.extents[f"qemu:dirty-bitmap:{GENERATION}.{take}"] = [
                (length, dirty) for _, length, dirty in changes.since(take)]
        self.contexts = list(self.extents)

    def expected(self, context, offset, length):
        """[(length, flags)] of a part of it."""
        found, at = [], 0
        for size, flags in self.extents[context]:
            begin, end = max(at, offset), min(at + size, offset + length)
            if begin < end:
                found.append((end - begin, flags))
            at += size
        return merged(found)


def merged(extents):
    result = []
    for size, flags in extents:
        if result and result[-1][1] == flags:
            result[-1] = (result[-1][0] + size, flags)
        else:
            result.append((size, flags))
    return result


class Place:
    """Where a server listens: how to get there, in our words and others'."""

    def __init__(self, address, uri, tls=None):
        self.address, self.uri, self.tls = address, uri, tls

    def connect(self):
        if isinstance(self.address, str):
            client = nbdwire.Client(self.address)
        else:
            client = nbdwire.Client(socket.create_connection(self.address,
                                                             TIMEOUT))
        client.tls = self.tls
        return client


class Work:
    """What the processes of the clients share. No locks: whoever holds one may
    be killed."""

    def __init__(self, directory, seed, slots, rng):
        self.directory, self.seed = directory, seed
        self.disk = Disk(directory, rng)
        self.places = []
        self.programs = (shutil.which("nbdinfo") and shutil.which("nbdcopy")
                         and importlib.util.find_spec("nbd"))
        self.state = multiprocessing.RawValue("b", RUN)
        self.busy = multiprocessing.RawArray("b", slots)
        self.counts = multiprocessing.RawArray("d", slots * len(COUNTED))

    def count(self, what):
        return int(sum(self.counts[COUNTED.index(what)::len(COUNTED)]))


def process(work, slots, generation):
    """What runs in a process of clients, until it is told to stop, or killed."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
    threads = [Slot(work, number, generation) for number in slots]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


class Slot(threading.Thread):
    """One client after another."""

    def __init__(self, work, number, generation):
        super().__init__(daemon=True)
        self.work, self.number, self.disk = work, number, work.disk
        self.rng = random.Random(f"{work.seed} {number} {generation}")
        self.kinds = [(self.reader, 60), (self.stranger, 20)]
        if work.programs:
            self.kinds += [(kind, 1) for kind in
                           (self.nbdinfo, self.nbdcopy, self.libnbd)]

    def run(self):
        work = self.work
        try:
            while work.state.value != STOP:
                # In this order: whoever is seen idle in a pause stays so.
                work.busy[self.number] = 1
                if work.state.value == RUN:
                    self.client()
                work.busy[self.number] = 0
                if work.state.value == PAUSE:
                    time.sleep(0.02)
        except BaseException:  # pylint: disable=broad-exception-caught
            sys.stderr.write(f"slot {self.number}: {traceback.format_exc()}")
            sys.stderr.flush()
            os._exit(1)

    def count(self, what, number=1):
        at = self.number * len(COUNTED) + COUNTED.index(what)
        self.work.counts[at] += number

    def client(self):
        kinds, weights = zip(*self.kinds)
        self.rng.choices(kinds, weights)[0](self.rng.choice(self.work.places))

    # Our own, that know what to say.

    def reader(self, place):
        headers = self.rng.choice(["simple", "structured", "extended"])
        contexts = self.rng.sample(self.disk.contexts, self.rng.randint(0, 3))
        with place.connect() as client:
            self.count("connections")
            client.extended = headers == "extended"
            if headers == "simple":
                client.greet().info(nbdwire.OPT_GO, "disk")
                contexts = []
            else:
                client.enter("disk", contexts)
            for _ in range(self.rng.randint(0, 8)):
                if contexts and self.rng.random() < 0.4:
                    self.map(client)
                else:
                    self.read(client, headers)
            self.rng.choice([self.say_goodbye, self.hang_up, self.stop_asking,
                             self.stop_listening, self.babble])(client)

    def some_range(self, most):
        length = min(int(2 ** self.rng.uniform(0, 25)), most)
        return self.rng.randrange(SIZE - length + 1), length

    def map(self, client):
        offset, length = self.some_range(SIZE)
        for context, extents in client.block_status(offset, length).items():
            wanted = self.disk.expected(context, offset, length)
            assert merged(extents) == wanted, f"wrong map: {context} {offset} {length}"
        self.count("maps")

    def ask(self, client):
        """Some reads at once: {cookie: (offset, length)}"""
        asked = {}
        for _ in range(self.rng.randint(1, 6)):
            offset, length = self.some_range(MIB)
            asked[client.request(nbdwire.CMD_READ, offset, length)] = offset, length
        return asked

    def read(self, client, headers):
        asked = self.ask(client)
        data = {cookie: bytearray(b"?" * length)
                for cookie, (_, length) in asked.items()}
        left = set(asked)
        while left:
            if headers == "simple":
                magic, error, cookie = struct.unpack(">IIQ", client.receive(16))
                assert (magic, error) == (nbdwire.SIMPLE_MAGIC, 0), (magic, error)
                data[cookie] = client.receive(asked[cookie][1])
                left.remove(cookie)
            else:
                flags, kind, cookie, payload = client.chunk()
                nbdwire.place_chunk(data[cookie], asked[cookie][0], kind, payload)
                if flags & nbdwire.CHUNK_DONE:
                    left.remove(cookie)
        for cookie, (offset, length) in asked.items():
            wanted = self.disk.content[offset:offset + length]
            assert data[cookie] == wanted, f"wrong data: {offset} {length}"
            self.count("reads")
            self.count("MiB read", length / MIB)

    # Ways to go.

    def say_goodbye(self, client):
        client.request(nbdwire.CMD_DISC)
        assert client.at_end()

    def hang_up(self, client):
        pass

    def stop_asking(self, client):
        """In the middle of a request, with others before it under way."""
        self.count("broken off")
        self.ask(client)
        client.send(struct.pack(">IHHQQI", nbdwire.REQUEST_MAGIC, 0,
                                nbdwire.CMD_READ, 1, 0, 4096)
                    [:self.rng.randint(1, 27)])

    def stop_listening(self, client):
        """In the middle of a reply, to one of many requests."""
        self.count("broken off")
        client.socket.settimeout(1)
        with contextlib.suppress(TimeoutError):
            for _ in range(self.rng.randint(1, 40)):
                client.request(nbdwire.CMD_READ,
                               self.rng.randrange(SIZE - 4 * MIB), 4 * MIB)
            client.receive(self.rng.randint(0, 100_000))

    def babble(self, client):
        self.count("broken off")
        client.send(b"\0" + self.rng.randbytes(self.rng.randint(31, 200)))
        assert client.at_end()

    # Our own, that do not get so far.

    def stranger(self, place):
        self.count("connections")
        self.count("hostile")
        flags = struct.pack(">I", 3)
        said = (b"IHAVEOPT" + struct.pack(">II", nbdwire.OPT_STRUCTURED_REPLY, 0) +
                b"IHAVEOPT" + struct.pack(">II", nbdwire.OPT_GO, 10) +
                nbdwire.counted("disk") + b"\0\0")
        if self.rng.random() < 0.5:
            said = self.rng.randbytes(self.rng.randint(0, 100))
        with place.connect() as client, contextlib.suppress(nbdwire.Closed):
            if self.rng.random() < 0.8:
                client.receive(18)
                client.send(flags)
                if client.tls and self.rng.random() < 0.7:
                    client.option(nbdwire.OPT_STARTTLS)
            client.send(said[:self.rng.randint(0, len(said))])
            if self.rng.random() < 0.3:
                time.sleep(self.rng.random())

    # Others'.

    def program(self, *command):
        """Its output, or nothing if it was its fate to be killed."""
        self.count("programs")
        fate = self.rng.random()
        # It goes where its process goes.
        with subprocess.Popen(["setpriv", "--pdeathsig", "KILL", *command],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              text=True) as child:
            try:
                out, error = child.communicate(
                    timeout=fate if fate < 0.3 else 5 * TIMEOUT)
            except subprocess.TimeoutExpired:
                child.kill()
                assert fate < 0.3, f"no end: {command}"
                self.count("programs killed")
                return None
        assert child.returncode == 0, f"{command}: {child.returncode}: {error}"
        return out

    def nbdinfo(self, place):
        context = self.rng.choice(self.disk.contexts)
        out = self.program("nbdinfo", "--json", "--map=" + context, place.uri)
        if out is not None:
            extents = [(extent["length"], extent["type"])
                       for extent in json.loads(out)]
            assert merged(extents) == self.disk.expected(context, 0, SIZE), context

    def nbdcopy(self, place):
        copy = self.work.directory / f"copy{self.number}"
        try:
            if self.program("nbdcopy", place.uri, str(copy)) is not None:
                digest = hashlib.sha256(copy.read_bytes()).hexdigest()
                assert digest == self.disk.digest, "the copy differs"
        finally:
            copy.unlink(missing_ok=True)

    def libnbd(self, place):
        self.program("/usr/bin/python3", "-B", str(READ_AT_RANDOM), place.uri,
                     str(self.disk.path), self.rng.choice(self.disk.contexts),
                     str(self.rng.random()))

# SPDX-License-Identifier: LGPL-2.1-or-later
"""A test guest: QEMU with a stock kernel, driven over a virtio-serial port.

Everything about a guest is in its work folder, so that another process can
go on with it (Guest.attach):

    guest.json      what it is, its QEMU's pid
    console.log     the kernel's console
    qemu.log        QEMU's own messages
    command.sock    the virtio-serial port (protocol: see "serve" in init)
    out/            /out in the guest; out/.commands: scripts and their output
    diskN.raw       /dev/vda, /dev/vdb, ...
"""

import dataclasses
import fcntl
import json
import math
import os
import pathlib
import shlex
import signal
import socket
import subprocess
import time

import machine

BOOT_SECONDS = 240      # in which a boot says nothing; usually below 20
BOOT_SECONDS_MAX = 2400     # for all of it
GRACE_SECONDS = 45      # for a command that was told to end, or a power off
POLL_SECONDS = 0.05
FOR_CASES = ("VM_SECONDS", "VM_SEED")   # of our environment, what cases may look at
# For a selftest: how many times slower a guest takes itself to be than it is.
SLOWER = int(os.environ.get("VM_SLOWER", "1"))


class GuestDied(Exception):
    """The guest crashed, hung or was ended; it cannot be used any more."""

    output = b""            # of the command that did not come to its end


class CommandTimeout(GuestDied):
    """A command did not end in time. The guest is not trusted after that."""


@dataclasses.dataclass
class Shape:
    """The machine that a guest needs."""
    disks: tuple = ()           # "1G", "256M", "1G:4096" (logical block size)
    memory: int = 1024          # MiB
    cpus: int = 2
    udev: bool = True
    forwards: tuple = ()        # (host address, host port, guest port)
    qemu_args: tuple = ()


def parse_size(text):
    """Bytes for 512, 64K, 256M, 1G."""
    units = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
    unit = units.get(text[-1:].upper())
    return int(text[:-1]) * unit if unit else int(text)


def free_port(address):
    with socket.socket() as probe:
        probe.bind((address, 0))
        return probe.getsockname()[1]


class Guest:
    """One running guest. Make it with boot() or attach()."""

    def __init__(self, workdir, kernel, build, pid, forwards=(), slowness=100):
        self.workdir = pathlib.Path(workdir)
        self.kernel = kernel
        self.build = pathlib.Path(build)
        self.pid = pid
        self.forwards = forwards
        self.slowness = slowness    # percent, as the guest measures it (slowness.sh)
        self._process = None    # only if it is our child
        self._socket = None
        self._received = b""
        self._serial = 0
        self._log_offset = 0

    # -- begin and end ----------------------------------------------------

    @classmethod
    def boot(cls, kernel, workdir, build, shape=Shape(), background=False,
             fresh_disks=True):
        """Boots, and returns when commands can be run.

        A guest ends with the process that booted it, unless background.
        Disks are empty, or those of the last boot in this work folder.
        """
        workdir, build = pathlib.Path(workdir).resolve(), pathlib.Path(build).resolve()
        cache = machine.cache_of(build)
        for folder in (cache, workdir / "out/.commands"):
            folder.mkdir(parents=True, exist_ok=True)
        for stale in ("command.sock", "console.log"):
            (workdir / stale).unlink(missing_ok=True)
        forwards = [(address, port or free_port(address), inner)
                    for address, port, inner in shape.forwards]
        if fresh_disks:
            _make_disks(workdir, shape)
        command = _qemu_command(kernel, workdir, build, cache, shape, forwards)
        if not background:
            command = ["setpriv", "--pdeathsig", "KILL", *command]
        with open(workdir / "qemu.log", "wb") as log:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=background)
        guest = cls(workdir, kernel, build, process.pid, forwards)
        guest._process = process
        guest._save()
        try:
            guest._connect(time.monotonic() + BOOT_SECONDS)
            guest.slowness = guest._answer("ready", guest._boot_limit())
            guest._save()
        except BaseException:
            guest.kill()
            raise
        return guest

    def _boot_limit(self):
        """The deadline of a boot, which moves on while the kernel's log grows: the
        guest has not measured its slowness yet."""
        console = self.workdir / "console.log"
        least = machine.least_slowness(self.kernel) / 100
        began = time.monotonic()
        said, since = 0, began

        def deadline():
            nonlocal said, since
            size = console.stat().st_size if console.exists() else 0
            if size != said:
                said, since = size, time.monotonic()
            return min(since + BOOT_SECONDS * least, began + BOOT_SECONDS_MAX * least)

        return deadline

    @classmethod
    def attach(cls, workdir):
        """The guest that another process booted into this work folder."""
        try:
            saved = json.loads((pathlib.Path(workdir) / "guest.json").read_text())
        except FileNotFoundError:
            raise GuestDied(f"no guest in {workdir}") from None
        return cls(pathlib.Path(workdir).resolve(), **saved)

    def _save(self):
        saved = {"kernel": self.kernel, "build": str(self.build),
                 "pid": self.pid, "forwards": self.forwards, "slowness": self.slowness}
        (self.workdir / "guest.json").write_text(json.dumps(saved) + "\n")
        (self.workdir / "pid").write_text(f"{self.pid}\n")

    def poweroff(self):
        """Powers off in an orderly way."""
        try:
            self._connect()
            self._socket.sendall(b"poweroff 0\n")
            deadline = time.monotonic() + self._grace()
            while self.running() and time.monotonic() < deadline:
                time.sleep(POLL_SECONDS)
            if self.running():
                raise GuestDied("the guest did not power off")
        finally:
            self.kill()

    def kill(self):
        """Ends QEMU, whatever state the guest is in."""
        if self.running():
            os.kill(self.pid, signal.SIGKILL)
            while self.running():
                time.sleep(POLL_SECONDS)
        if self._socket:
            self._socket.close()
            self._socket = None
        for name in ("guest.json", "pid"):
            (self.workdir / name).unlink(missing_ok=True)

    def running(self):
        if self._process:
            return self._process.poll() is None
        # A pid may have been given to somebody else by now.
        try:
            command = pathlib.Path(f"/proc/{self.pid}/cmdline").read_bytes()
        except (FileNotFoundError, ProcessLookupError):
            return False
        return str(self.workdir).encode() in command

    def cpu_seconds(self):
        """Processor time that QEMU has taken: that of an idle machine, if this one
        is busy."""
        try:
            stat = pathlib.Path(f"/proc/{self.pid}/stat").read_text()
        except (FileNotFoundError, ProcessLookupError):
            return 0
        user, system = stat.rpartition(")")[2].split()[11:13]
        return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")

    # -- commands ---------------------------------------------------------

    def environment(self):
        """Bash lines with the variables that lib.sh and the cases rely on."""
        values = {
            "BUILD_DIR": self.build, "KVER": self.kernel,
            "MODULES_DIR": self.build / "kmod" / self.kernel,
            "VM_DIR": machine.VM_DIR, "VM_SCALE": machine.SCALE,
            **{name: os.environ[name] for name in FOR_CASES if name in os.environ},
        }
        lines = [f"export {name}={shlex.quote(str(value))}" for name, value in values.items()]
        return "\n".join([*lines, 'PATH=$BUILD_DIR/tools:$PATH', ""])

    def run(self, script, timeout=60, stream=None):
        """Runs a bash script in the guest: (exit code, output as bytes).

        timeout: seconds for an idle machine, 0 for none. The guest multiplies
        them by its slowness, which it measures again before it ends a command.
        The output also goes to the binary file "stream" while it appears.
        """
        self._connect()
        # Unique over all processes that use this guest.
        self._serial += 1
        name = f"{time.time_ns()}-{os.getpid()}-{self._serial}"
        log, ended, slowness = (self.workdir / f"out/.commands/{name}.{what}"
                                for what in ("log", "ended", "slowness"))
        (self.workdir / f"out/.commands/{name}").write_text(self.environment() + script + "\n")
        with open(self.workdir / "command.lock", "w") as lock, open(log, "wb+") as output:
            fcntl.flock(lock, fcntl.LOCK_EX)

            def show():
                if stream:
                    stream.write(output.read())
                    stream.flush()

            started = time.monotonic()

            def deadline():
                if slowness.exists():   # it has become slower
                    self.slowness = max(self.slowness, int(slowness.read_text() or 0))
                return started + self._scaled(timeout) + self._grace()

            try:
                self._socket.sendall(f"{name} {timeout}\n".encode())
                code = self._answer(name, deadline if timeout else lambda: math.inf, show)
                show()
                if ended.exists():
                    raise CommandTimeout(f"no end after {ended.read_text().strip()} s")
            except (OSError, GuestDied) as error:
                show()
                if isinstance(error, TimeoutError):
                    error = CommandTimeout(f"no end after {self._scaled(timeout):.0f} s, "
                                           "and it cannot be ended")
                elif isinstance(error, OSError):
                    error = GuestDied(self._last_words(f"the guest went away: {error}"))
                error.output = log.read_bytes()
                raise error from None
        return code, log.read_bytes()

    def _connect(self, deadline=0.0):
        while not self._socket:
            sock = socket.socket(socket.AF_UNIX)
            try:
                # A relative path: the address has room for 107 characters.
                _connect_in(sock, self.workdir, "command.sock")
                sock.setblocking(False)
                self._socket = sock
            except OSError as error:
                sock.close()
                if not self.running() or time.monotonic() > deadline:
                    raise GuestDied(self._last_words(f"cannot reach the guest: {error}")) from None
                time.sleep(POLL_SECONDS)

    def _answer(self, name, deadline, meanwhile=lambda: None):
        """Waits for the answer to a request; others' answers are dropped.

        deadline: a function that returns it, since it may be put off.
        """
        while True:
            meanwhile()
            while b"\n" in self._received:
                line, self._received = self._received.split(b"\n", 1)
                answered, code = line.decode().split()
                if answered == name:
                    return int(code)
            if time.monotonic() > deadline():
                raise TimeoutError(f"the guest does not answer ({name})")
            try:
                data = self._socket.recv(4096)
            except BlockingIOError:
                time.sleep(POLL_SECONDS)
                continue
            except ConnectionResetError:
                data = b""
            if not data:
                raise GuestDied(self._last_words("the guest went away"))
            self._received += data

    def _scaled(self, seconds):
        return seconds * self.slowness / 100

    def _grace(self):
        return self._scaled(GRACE_SECONDS)

    def _last_words(self, text):
        said = (self.workdir / "qemu.log").read_text(errors="replace").strip()
        return f"{text}: {said}" if said else text

    # -- the kernel's log -------------------------------------------------

    def kernel_log(self):
        """All that the console showed, cleaned of carriage returns."""
        try:
            text = (self.workdir / "console.log").read_bytes()
        except FileNotFoundError:
            text = b""
        return text.decode(errors="replace").replace("\r", "")

    def wait_for_log(self, text):
        """Waits until the kernel's log shows a text that was written to it."""
        deadline = time.monotonic() + self._grace()
        while text not in self.kernel_log() and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)

    def new_kernel_log(self):
        """What came to the kernel's log since the last call."""
        text = self.kernel_log()
        news, self._log_offset = text[self._log_offset:], len(text)
        return news


def _connect_in(sock, folder, name):
    handle = os.open(folder, os.O_PATH | os.O_DIRECTORY)
    try:
        sock.connect(f"/proc/self/fd/{handle}/{name}")
    finally:
        os.close(handle)


def _share(ident, path, tag, options):
    return ["-fsdev", f"local,id={ident},path={path},security_model=none{options}",
            "-device", f"virtio-9p-pci,fsdev={ident},mount_tag={tag}"]


def _make_disks(workdir, shape):
    for number, disk in enumerate(shape.disks):
        with open(workdir / f"disk{number}.raw", "wb") as raw:
            raw.truncate(parse_size(disk.partition(":")[0]))


def _qemu_command(kernel, workdir, build, cache, shape, forwards):
    accelerator = machine.accelerator(kernel, cache)
    command = [
        machine.tool(machine.QEMU), "-nodefaults", "-no-user-config",
        "-display", "none", "-no-reboot", *machine.ACCELERATORS[accelerator],
        # KASAN's shadow, and the record of each allocation and lock.
        "-smp", str(shape.cpus), "-m", str(shape.memory * (2 if machine.is_debug(kernel) else 1)),
        "-serial", f"file:{workdir}/console.log",
        # The host's root file system. remap: it may span several devices.
        *_share("root", "/", "hostroot", ",readonly=on,multidevs=remap"),
        *_share("out", f"{workdir}/out", "out", ""),
        "-device", "virtio-serial-pci",
        "-chardev", f"socket,id=command,path={workdir}/command.sock,server=on,wait=off",
        "-device", "virtserialport,chardev=command,name=vm.command",
        "-device", "virtio-rng-pci",
    ]
    for number, disk in enumerate(shape.disks):
        _, _, block = disk.partition(":")
        path = workdir / f"disk{number}.raw"
        blocks = f",logical_block_size={block},physical_block_size={block}" if block else ""
        command += [
            "-drive", f"if=none,id=disk{number},file={path},format=raw,cache=unsafe,discard=unmap",
            "-device", f"virtio-blk-pci,drive=disk{number},serial=disk{number}{blocks}",
        ]
    if forwards:
        # restrict: nothing but the forwarded ports, in either direction.
        rules = "".join(f",hostfwd=tcp:{address}:{port}-10.0.2.15:{inner}"
                        for address, port, inner in forwards)
        command += ["-netdev", f"user,id=net,restrict=on{rules}",
                    "-device", "virtio-net-pci,netdev=net,romfile="]
    kernel_args = [
        *machine.kernel_args(kernel), f"vm_dir={machine.VM_DIR}", f"vm_build={build}",
        f"vm_udev={'yes' if shape.udev else 'no'}",
        f"vm_net={'yes' if forwards else 'no'}",
        f"vm_least={machine.least_slowness(kernel)}", f"vm_slower={SLOWER}",
    ]
    return command + [
        "-kernel", machine.vmlinuz(kernel, cache),
        "-initrd", str(machine.initramfs(kernel, cache)),
        "-append", " ".join(kernel_args), *shape.qemu_args,
    ]

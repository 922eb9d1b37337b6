# SPDX-License-Identifier: LGPL-2.1-or-later
"""A guest that is saved with its memory and restored in new QEMU processes, as a
machine that is put back to a snapshot, or copied. It is small and has no 9p, which
QEMU does not save: restored-init.c is its first process.
"""

import argparse
import json
import pathlib
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

import kernellog
import machine

SKIPPED = 77
HANG_SECONDS = 1200     # ends a hang; an idle machine needs a few
GUIDS = ("11111111-1111-4111-8111-111111111111", "22222222-2222-4222-8222-222222222222")


class Failed(Exception):
    """An expectation that was not met."""


def expect(fact, what):
    if not fact:
        raise Failed(what)


def make_initramfs(kernel, build, folder, modules, programs=()):
    """Path of it, made in the folder. `modules` are the kernel's, with their
    parameters, and ours come after them; `programs` are there with their libraries."""
    root, ours = folder / "root", build / "kmod" / kernel
    for inner in ("dev", "proc", "sys", "run", "modules"):
        (root / inner).mkdir(parents=True)
    cache = machine.cache_of(build)
    order = []
    for path in (*machine.module_files(kernel, cache, modules),
                 ours / "blkfilter.ko", ours / "blksnap.ko"):
        name = machine.copy_module(path, root / "modules")
        order.append(f"{name} {modules.get(name.removesuffix('.ko'), '')}\n")
    (root / "modules/order").write_text("".join(order))
    for program in programs:
        _copy_program(root, pathlib.Path(program))
    top = machine.VM_DIR.parent.parent
    subprocess.run([machine.tool("cc"), "-static", "-O1", "-Wall", "-Werror", f"-I{top}/kmod",
                    machine.VM_DIR / "restored-init.c", "-o", root / "init"], check=True)
    machine.pack_initramfs(root, folder / "initramfs")
    return folder / "initramfs"


def _copy_program(root, program):
    said = subprocess.run(["ldd", program], capture_output=True, text=True, check=False).stdout
    libraries = re.findall(r"(?:=> )?(/\S+) \(0x", said)
    for source, target in ((program, f"/bin/{program.name}"),
                           *((library, library) for library in libraries)):
        copy = root / target.lstrip("/")
        copy.parent.mkdir(parents=True, exist_ok=True)
        if not copy.exists():
            shutil.copy(source, copy)


class Machine:
    """One QEMU process: a machine that boots, or one that is restored."""

    def __init__(self, source, guid=None, saved=None):
        self.folder = pathlib.Path(tempfile.mkdtemp(dir=source.folder))
        self.console = self.folder / "console.log"
        accelerator = list(machine.ACCELERATORS[machine.accelerator(source.kernel, source.cache)])
        accelerator[-1] += source.cpu
        command = [
            machine.tool(machine.QEMU), "-nodefaults", "-no-user-config", "-display", "none",
            "-no-reboot", *accelerator, "-smp", "1", "-m", "256",
            "-serial", f"file:{self.console}", "-serial", "stdio",
            "-qmp", "unix:qmp,server=on,wait=off",
            "-kernel", machine.vmlinuz(source.kernel, source.cache),
            "-initrd", str(source.initramfs),
            "-append", " ".join(machine.kernel_args(source.kernel)), *source.qemu_args,
        ]
        if guid:
            command += ["-device", f"vmgenid,guid={guid}"]
        if saved:
            command += ["-incoming", f"exec:cat {saved}"]
        with open(self.folder / "qemu.log", "wb") as log:
            self.qemu = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", *command], cwd=self.folder,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, bufsize=0)
        self.monitor = None
        if saved:   # what the serial port gets before is lost
            self.wait_for("query-status", "running")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.monitor:
            self.monitor.close()
        self.qemu.kill()
        self.qemu.wait()

    def answer(self):
        """The next line from the guest's program."""
        line, deadline = b"", time.monotonic() + HANG_SECONDS
        while not line.endswith(b"\n"):
            ready, _, _ = select.select([self.qemu.stdout], [], [],
                                        max(0, deadline - time.monotonic()))
            data = self.qemu.stdout.read(1) if ready else b""
            expect(data, "the guest does not answer; its log:\n" + self.log()[-2000:] +
                   (self.folder / "qemu.log").read_text())
            line += data
        return line.decode().strip()

    def ask(self, request):
        self.qemu.stdin.write(f"{request}\n".encode())
        return self.answer()

    def do(self, request):
        said = self.ask(request)
        expect(said == "0", f"{request}: errno {said}")

    def look(self, device):
        said = self.ask(f"look {device}").split()
        expect(len(said) == 6, f"look: {' '.join(said)}")
        generation, number, instant, nanoseconds, map_error, image_error = said
        return {"generation": generation, "number": int(number), "instant": instant,
                "time": nanoseconds, "map": int(map_error), "image": int(image_error)}

    def log(self):
        return self.console.read_text(errors="replace")

    def execute(self, command, **arguments):
        """A command of QMP: what it returns."""
        if not self.monitor:
            sock = socket.socket(socket.AF_UNIX)
            sock.settimeout(HANG_SECONDS)
            while not self.monitor:
                try:
                    sock.connect(str(self.folder / "qmp"))
                    self.monitor = sock.makefile("rw", encoding="utf-8")
                except OSError:
                    expect(self.qemu.poll() is None, (self.folder / "qemu.log").read_text())
                    time.sleep(0.02)
            self.monitor.readline()     # the greeting
            self.execute("qmp_capabilities")
        self.monitor.write(json.dumps({"execute": command, "arguments": arguments}) + "\n")
        self.monitor.flush()
        for line in self.monitor:
            said = json.loads(line)
            expect("error" not in said, f"QMP: {said}")
            if "return" in said:
                return said["return"]
        raise Failed("QMP ended: " + (self.folder / "qemu.log").read_text())

    def wait_for(self, command, wanted):
        deadline = time.monotonic() + HANG_SECONDS
        while (state := self.execute(command).get("status")) != wanted:
            expect(state != "failed" and time.monotonic() < deadline, f"{command}: {state}")
            time.sleep(0.02)

    def save(self, path):
        """Ends with the machine stopped."""
        self.execute("migrate-set-parameters", **{"max-bandwidth": 1 << 40})
        self.execute("migrate", uri=f"exec:cat >{path}")
        self.wait_for("query-migrate", "completed")


class Source:
    """What machines are made of, and the state that they are restored to."""

    qemu_args = ()

    def __init__(self, options, folder, initramfs, cpu=""):
        self.kernel, self.cache = options.kernel, machine.cache_of(options.build)
        self.initramfs, self.cpu = initramfs, cpu
        self.folder = pathlib.Path(tempfile.mkdtemp(dir=folder))
        self.saved = self.folder / "saved"

    def restored(self, guid=None):
        return Machine(self, guid, self.saved)


def check_log(machine_):
    wrong = kernellog.findings(machine_.log())
    expect(not wrong, f"the kernel's log: {wrong}")


def run(description, check, add_options=lambda parser: None):
    """What a script is: reads the command line, gives `check` the options and a
    folder. Returns the exit code: 0 passed, 1 failed, 77 skipped."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    parser = argparse.ArgumentParser(description=description.splitlines()[0])
    parser.add_argument("--kernel", default="6.12", help="6.1, 6.12 or a full version")
    parser.add_argument("--build", type=pathlib.Path,
                        default=machine.VM_DIR.parent.parent / "build")
    parser.add_argument("--keep", action="store_true", help="keep consoles and what was saved")
    add_options(parser)
    options = parser.parse_args()
    options.build = options.build.resolve()
    try:
        options.kernel = machine.resolve_kernel(options.kernel, options.build)
        if not (options.build / "kmod" / options.kernel / "blksnap.ko").exists():
            raise machine.Unavailable(f"no modules for {options.kernel} in {options.build}")
        boots = options.build / "vm/boots"
        boots.mkdir(parents=True, exist_ok=True)
        folder = pathlib.Path(tempfile.mkdtemp(dir=boots, prefix="restored-"))
        try:
            check(options, folder)
        except Failed as error:
            print(f"FAILED: {error}")
            return 1
        finally:
            if options.keep:
                print(f"files: {folder}")
            else:
                shutil.rmtree(folder)
    except machine.Unavailable as error:
        print(f"skipped: {error}", file=sys.stderr)
        return SKIPPED
    print("passed")
    return 0

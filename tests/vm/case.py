# SPDX-License-Identifier: LGPL-2.1-or-later
"""Cases: bash scripts whose header says what machine they need."""

import collections
import functools
import os
import pathlib
import re
import shutil
import subprocess

import guest
import machine

_HEADER = re.compile(r"#\s*(title|disks|memory|cpus|timeout|kernel|needs|power-cut):\s*(.*?)\s*")
_NAME = re.compile(r"\d{3}-[a-z0-9-]+")


class Case:
    """One script and its header."""

    def __init__(self, path):
        self.path = path
        self.name = path.name
        header = {}
        for line in path.read_text().splitlines():
            if not line.startswith("#"):
                break
            match = _HEADER.fullmatch(line)
            if match:
                header[match[1]] = match[2]
        self.title = header.get("title", "")
        self.timeout = (int(header.get("timeout", 300)) * machine.SCALE +
                        int(os.environ.get("VM_SECONDS", 0)))
        self.kernels = header.get("kernel", "").split()
        self.needs = header.get("needs", "").split()
        self.power_cut = header.get("power-cut", "no") == "yes"
        self.shape = guest.Shape(
            disks=tuple(header.get("disks", "").split()),
            memory=int(header.get("memory", 1024)),
            cpus=int(header.get("cpus", 2)))

    def machine_name(self):
        """A short word for the machine: what differs from the default."""
        words = ["_".join(self.shape.disks).replace(":", "b") or "diskless"]
        if self.shape.memory != 1024:
            words.append(f"{self.shape.memory}mib")
        if self.shape.cpus != 2:
            words.append(f"{self.shape.cpus}cpu")
        return "-".join(words)

    def reason_to_skip(self, kernel, build):
        """Why this case cannot run, or None."""
        if self.kernels and not machine.names(kernel) & set(self.kernels):
            return f"for kernel {' '.join(self.kernels)}"
        for need in self.needs:
            if not _is_there(need, kernel, build):
                return f"needs {need}"
        return None


@functools.cache
def _has_storage_tools(build):
    """Unpacks them at first."""
    script = pathlib.Path(__file__).with_name("storage-tools")
    return subprocess.run([script, "--build", build], check=False).returncode == 0


def _is_there(need, kernel, build):
    if need == "storage-tools":
        return _has_storage_tools(build)
    if need == "kmod":
        return (build / "kmod" / kernel / "blksnap.ko").exists()
    if "/" in need:
        return (build / need).exists()
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    return (bool(shutil.which(need, path=path)) or
            machine.has_module(kernel, need, machine.cache_of(build)))


def find(folder, wanted=()):
    """The cases of a folder; wanted: names, or numbers as far as unique."""
    cases = [Case(path) for path in sorted(pathlib.Path(folder).iterdir())
             if _NAME.fullmatch(path.name) and os.access(path, os.X_OK)]
    if not wanted:
        return cases
    chosen = []
    for word in wanted:
        name = pathlib.Path(word).name
        matches = [case for case in cases
                   if case.name == name or case.name.startswith(f"{name}-")]
        if len(matches) != 1:
            raise LookupError(f"{len(matches)} cases match {word!r} in {folder}")
        chosen += matches
    return chosen


def by_machine(cases):
    """Groups of cases that can share a boot: {machine name: [case, ...]}"""
    groups = collections.defaultdict(list)
    for case in cases:
        groups[case.machine_name()].append(case)
    return groups


# Cases of one boot in ctest: with one boot for all of them, its end would be waited
# for with one processor in use.
_LARGEST_SHARE = 24


def shares(cases):
    """The same in parts that take about as long as each other: {name: [case, ...]}"""
    parts = {}
    for name, group in by_machine(cases).items():
        count = -(-len(group) // _LARGEST_SHARE)
        for part in range(count):
            parts[f"{name}-{part + 1}" if count > 1 else name] = group[part::count]
    return parts

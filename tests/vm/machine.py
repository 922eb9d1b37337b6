# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a guest boots: stock kernels, their initramfs, the accelerator."""

import fcntl
import hashlib
import lzma
import os
import pathlib
import re
import shutil
import subprocess
import tempfile

VM_DIR = pathlib.Path(__file__).resolve().parent
QEMU = "qemu-system-x86_64"
SERIES = ("6.1", "6.12")
DEBUG = "debug"     # the kernel that the script debug-kernel builds

# Enough to mount the root file system; everything else is loaded from there.
EARLY_MODULES = ("virtio_pci", "9pnet_virtio", "9p", "overlay")

# For each boot, whatever the accelerator. no_timer_check: the emulated
# timer is too irregular on a busy host for the kernel's check at boot.
# oops=panic with panic=-1 and -no-reboot: a crash ends QEMU at once.
# The stall detectors get the patience that emulation needs. norandmaps: QEMU
# keeps translated code by its address, and would translate the C library anew
# for each process (a start of /bin/true: 60 ms in place of 15).
KERNEL_ARGS = (
    "console=ttyS0 no_timer_check panic=-1 oops=panic net.ifnames=0 "
    "printk.devkmsg=on rcupdate.rcu_cpu_stall_timeout=60 watchdog_thresh=60 "
    "workqueue.watchdog_thresh=120 norandmaps"
).split()

# ACPI's interpreter makes so many small allocations to find out about interrupts
# that are not used (MSI-X is) that checking them takes half a minute a device.
DEBUG_KERNEL_ARGS = ["pci=noacpi"]

# la57: a fifth page table level costs time and tests nothing of ours. erms: with
# it kernel and C library copy by "rep movsb", which is emulated byte by byte.
_TCG_CPU = ["-cpu", "max,la57=off,erms=off"]
ACCELERATORS = {
    "tcg-multi": ["-accel", "tcg,thread=multi", *_TCG_CPU],
    "tcg-single": ["-accel", "tcg,thread=single", *_TCG_CPU],
    "kvm": ["-accel", "kvm", "-cpu", "host"],
}


# For campaigns: how many times the usual rounds.
SCALE = int(os.environ.get("VM_SCALE", "1"))


class Unavailable(Exception):
    """Something that the machine lacks, so that tests are skipped."""


def _version_key(version):
    return [int(n) for n in re.findall(r"\d+", version)]


def cache_of(build):
    return pathlib.Path(build) / "vm/cache"


def is_debug(version):
    return f"-{DEBUG}-" in version


def kernel_args(version):
    return KERNEL_ARGS + (DEBUG_KERNEL_ARGS if is_debug(version) else [])


def least_slowness(version):
    """Percent of a stock kernel's time that one takes at least (slowness.sh)."""
    return 500 if is_debug(version) else 100


def _root(version, cache):
    """What has that kernel's lib/modules: the machine, or debug-kernel's cache."""
    return cache / version if is_debug(version) else pathlib.Path("/")


def vmlinuz(version, cache=None):
    """Path of that kernel's image, or None."""
    if is_debug(version):
        return str(_root(version, cache) / "lib/modules" / version / "vmlinuz")
    for path in (f"/boot/vmlinuz-{version}", f"/lib/modules/{version}/vmlinuz"):
        if os.access(path, os.R_OK):
            return path
    return None


def _stock_kernels():
    """All installed ones that can be built for, the newest last."""
    return sorted((
        path.name for path in pathlib.Path("/lib/modules").iterdir()
        # Only the generic flavour is "stock"; cloud kernels lack 9p.
        if re.fullmatch(r"\d.*", path.name) and not re.search(r"-(rt|cloud|dbg)\b", path.name)
        and vmlinuz(path.name) and (path / "build").is_dir()), key=_version_key)


def installed_kernels(series=SERIES):
    """The newest installed stock kernel of each series."""
    newest = {".".join(version.split(".")[:2]): version for version in _stock_kernels()}
    return [newest[wanted] for wanted in series if wanted in newest]


def kernels_to_test():
    """Those, or with VM_KERNELS=all every one that our modules are for."""
    if os.environ.get("VM_KERNELS") != "all":
        return installed_kernels()
    return [version for version in _stock_kernels()
            if _version_key(version) >= _version_key(SERIES[0])]


def resolve_kernel(name, build):
    """Full version for "6.1", "6.12", "debug" or a full version itself."""
    if name == DEBUG:
        return _debug_kernel(build)
    if re.fullmatch(r"\d+\.\d+", name):
        for version in installed_kernels([name]):
            return version
    elif not is_debug(name) and vmlinuz(name) and os.path.isdir(f"/lib/modules/{name}"):
        return name
    raise Unavailable(f"no kernel {name} installed (image, modules and headers)")


def _debug_kernel(build):
    """Its version; it and our modules for it are built if need be."""
    done = subprocess.run([VM_DIR / "debug-kernel", "--build", build],
                          stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise Unavailable(f"no debug kernel (debug-kernel ended with {done.returncode})")
    return done.stdout.strip()


def names(version):
    """What a case may call that kernel: 6.1.0-56-amd64, 6.1, debug, newest.

    With VM_KERNELS=all, "newest" is each of them.
    """
    found = {version, ".".join(version.split(".")[:2])}
    if is_debug(version):
        found.add(DEBUG)
    if os.environ.get("VM_KERNELS") == "all" or version not in installed_kernels()[:-1]:
        found.add("newest")
    return found


def has_module(version, name, cache):
    """Whether that kernel has the module, as a file or built in."""
    pattern = re.compile(rf"/{re.escape(name).replace('_', '[-_]')}\.ko", re.M)
    for index in ("modules.dep", "modules.builtin"):
        text = (_root(version, cache) / "lib/modules" / version / index).read_text()
        if pattern.search(text):
            return True
    return False


def tool(name):
    """Path of a program, also where only root looks for it."""
    path = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if not path:
        raise Unavailable(f"{name} is not installed")
    return path


def module_files(version, cache, names):
    """Paths of that kernel's modules, with what they need, in the order of loading."""
    files = []
    for module in names:
        shown = subprocess.run(
            [tool("modprobe"), "-S", version, "-d", _root(version, cache),
             "--show-depends", module],
            check=True, capture_output=True, text=True).stdout
        for line in shown.splitlines():
            kind, path = line.split()[:2]
            if kind == "insmod" and path not in files:
                files.append(path)
    return files


def _locked(path):
    """Opens and locks; the lock lasts until the file is closed."""
    lock = open(path, "w")
    fcntl.flock(lock, fcntl.LOCK_EX)
    return lock


def initramfs(version, cache):
    """Path of the initramfs for that kernel, made anew if anything changed."""
    busybox = tool("busybox")
    inputs = [busybox, str(VM_DIR / "early-init"), *module_files(version, cache, EARLY_MODULES)]
    state = [(path, os.stat(path).st_mtime_ns, os.stat(path).st_size) for path in inputs]
    digest = hashlib.sha256(repr(state).encode()).hexdigest()[:16]
    image = cache / f"initramfs-{version}-{digest}"
    with _locked(cache / "initramfs.lock"):
        if image.exists():
            return image
        with tempfile.TemporaryDirectory(dir=cache) as name:
            _fill_initramfs(pathlib.Path(name), inputs)
            partial = image.with_suffix(".partial")
            pack_initramfs(name, partial)
            partial.rename(image)
    return image


def pack_initramfs(folder, image):
    with open(image, "wb") as out:
        subprocess.run(f"find . | {tool('cpio')} --quiet -o -H newc -R 0:0",
                       shell=True, cwd=folder, stdout=out, check=True)


def _fill_initramfs(root, inputs):
    busybox, early_init, *modules = inputs
    for folder in ("bin", "modules", "proc", "dev", "host", "upper", "new"):
        (root / folder).mkdir()
    shutil.copy(busybox, root / "bin/busybox")
    shutil.copy(early_init, root / "init")
    order = [copy_module(path, root / "modules") for path in modules]
    (root / "modules/order").write_text("".join(name + "\n" for name in order))


def copy_module(path, folder):
    """The copy's name: a plain one, as busybox's insmod wants it."""
    module = pathlib.Path(path)
    data = module.read_bytes()
    if module.suffix == ".xz":
        data, module = lzma.decompress(data), module.with_suffix("")
    (folder / module.name).write_bytes(data)
    return module.name


def accelerator(version, cache):
    """"kvm" if it is known to work on this very machine, else a kind of TCG.

    /dev/kvm may exist and still hang guests (nested, or emulated by a
    sandbox), so one trial boot decides, once for each boot of this machine.
    """
    forced = os.environ.get("VM_ACCEL")
    if forced:
        if forced not in ACCELERATORS:
            raise Unavailable(f"VM_ACCEL={forced}: none of {' '.join(ACCELERATORS)}")
        return forced
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return _tcg_kind()
    boot_id = pathlib.Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    verdict = cache / f"accelerator-{boot_id}"
    with _locked(cache / "accelerator.lock"):
        if not verdict.exists():
            works = _kvm_trial(version, cache)
            verdict.write_text("kvm" if works else "tcg")
        return "kvm" if verdict.read_text() == "kvm" else _tcg_kind()


def _tcg_kind():
    """Whether this QEMU may run the guest's processors in threads of their own.

    Before 8.1 it may execute code that another processor has just patched
    (QEMU issue 404): a kernel that turns ftrace on under load then dies of an
    "Oops: int3", about once in a hundred times. VM_TCG=multi or single says
    otherwise: for guests that attach filters while nothing is written.
    """
    wanted = os.environ.get("VM_TCG")
    if wanted:
        return f"tcg-{wanted}"
    said = subprocess.run([tool(QEMU), "--version"], capture_output=True,
                          text=True, check=True).stdout
    version = re.search(r"version (\d+)\.(\d+)", said)
    fixed = version and tuple(map(int, version.groups())) >= (8, 1)
    return "tcg-multi" if fixed else "tcg-single"


def _kvm_trial(version, cache):
    command = [
        tool(QEMU), "-nodefaults", "-no-user-config", "-display", "none",
        "-no-reboot", *ACCELERATORS["kvm"], "-smp", "2", "-m", "512",
        "-serial", "stdio", "-kernel", vmlinuz(version, cache),
        "-initrd", str(initramfs(version, cache)),
        "-append", " ".join([*kernel_args(version), "vm_trial=yes"]),
    ]
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, timeout=15,
                              capture_output=True)
        return b"vm: early user space" in done.stdout
    except subprocess.TimeoutExpired:
        return False

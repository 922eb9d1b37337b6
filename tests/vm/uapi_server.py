#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Runs pieces of Python that use uapi, each in a child of its own (snapshot.sh).

An interpreter takes 0.7 s to start under emulation, and a case asks for dozens.

    uapi_server.py FOLDER

FOLDER/port is a FIFO; an empty line ends the server. A client writes a line
"PID IN OUT ERR": its own pid, and which of its files shall be the standard ones.
FOLDER/PID is a FIFO that it has open, for the exit code; FOLDER/PID.request holds
the code and its arguments, each ended by a zero byte. The child has the client's
working directory. It is not in the client's cgroup, and has none of its other files.
"""

import ctypes
import os
import select
import signal
import sys
import traceback
import uuid

import uapi

PIDFD_GETFD = 438   # of all architectures; Linux 5.6
LIBC = ctypes.CDLL(None, use_errno=True)


def become(pid, files):
    """Takes over what the code may notice of who asked for it."""
    handle = os.pidfd_open(pid)
    for number, theirs in enumerate(files):
        # One file with the client, with one position: what they write stays in order.
        got = LIBC.syscall(PIDFD_GETFD, handle, theirs, 0)
        if got < 0:
            raise OSError(ctypes.get_errno(), f"file {theirs} of process {pid}")
        os.dup2(got, number)
        os.close(got)
    os.close(handle)
    os.chdir(f"/proc/{pid}/cwd")


def run(pid, files, request):
    """Runs the code: its exit code, as the interpreter itself would end."""
    try:
        become(pid, files)
        with open(request, "rb") as file:
            code, *arguments = file.read().decode().split("\0")[:-1]
        sys.argv = ["-c", *arguments]
        exec(code, {"sys": sys, "uuid": uuid, "uapi": uapi, "__name__": "__main__"})
    except SystemExit as end:
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
            return 1
        return end.code or 0
    except BaseException:
        traceback.print_exc()
        return 1
    finally:
        sys.stdout.flush()
    return 0


def answer(folder, pid, code):
    """Tells a client, if it is still there."""
    os.unlink(f"{folder}/{pid}.request")
    try:
        reply = os.open(f"{folder}/{pid}", os.O_WRONLY | os.O_NONBLOCK)
    except OSError:     # it has been killed
        reply = None
    os.unlink(f"{folder}/{pid}")
    if reply is not None:
        os.write(reply, f"{code}\n".encode())
        os.close(reply)


def start(folder, pid, *files):
    """Starts the child that runs what this client asks for: its pid."""
    child = os.fork()
    if not child:
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGCHLD, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        os._exit(run(pid, files, f"{folder}/{pid}.request"))
    return child


def main(folder):
    clients = {}    # by the pid of the child
    port = os.open(f"{folder}/port", os.O_RDWR)
    # The end of a child is seen like a request: a signal between the look at
    # clients and the wait for requests would be missed.
    ended, wakeup = os.pipe2(os.O_NONBLOCK)
    signal.set_wakeup_fd(wakeup, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    # The whole session gets it at a timeout, and cases clean up after that.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    received = b""
    while True:
        ready, _, _ = select.select([port, ended], [], [])
        if ended in ready:
            os.read(ended, 4096)
            for child in tuple(clients):
                done, status = os.waitpid(child, os.WNOHANG)
                if done:
                    code = os.waitstatus_to_exitcode(status)
                    answer(folder, clients.pop(child), code if code >= 0 else 128 - code)
        if port in ready:
            *lines, received = (received + os.read(port, 4096)).split(b"\n")
            for line in lines:
                if not line:
                    return
                client = [int(word) for word in line.split()]
                clients[start(folder, *client)] = client[0]


main(sys.argv[1])

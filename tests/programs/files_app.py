"""Files in a process of its own: `python tests/programs/files_app.py JSON`, with

    folder       the folder that `/s` serves
    file         the file that `/o` serves, if given
    options      keyword arguments of `Folder`, if any
    config       settings, if any
    without      "ENOSYS" or "EPERM": the kernel's answer to `openat2` from now on, as old kernels and containers do
    user         a number: the user of the process from now on
    descriptors  how many it may have open

`/s/private` is guarded: another route. `/f` says which url a handler below a route would read, `/` answers the rest.
"""

from __future__ import annotations

import ctypes
import errno
import importlib
import json
import os
import pkgutil
import resource
import struct
import sys

import outside
from outside import FilePath, Folder, OutsideHTTP, Request, Response

OPENAT2 = 437  # on every architecture


def refuse_openat2(number: int) -> None:
    """A filter of system calls that answers this one with an error (seccomp(2), SECCOMP_SET_MODE_FILTER)."""
    load, equals, answer = 0x20, 0x15, 0x06  # BPF_LD|BPF_W|BPF_ABS, BPF_JMP|BPF_JEQ|BPF_K, BPF_RET|BPF_K
    allow, fail = 0x7FFF0000, 0x00050000
    steps = [(load, 0, 0, 0), (equals, 0, 1, OPENAT2), (answer, 0, 0, fail | number), (answer, 0, 0, allow)]
    program = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *step) for step in steps))
    whole = struct.pack("@HP", len(steps), ctypes.addressof(program))
    libc = ctypes.CDLL(None, use_errno=True)
    no_new_privileges, set_seccomp, filter_mode = 38, 22, 2
    if libc.prctl(no_new_privileges, 1, 0, 0, 0) or libc.prctl(set_seccomp, filter_mode, whole, 0, 0):
        raise OSError(ctypes.get_errno(), "no filter of system calls")


def root(request: Request) -> Response:
    return Response(200, {"X-Route": "root"}, "root")


def url(request: Request) -> Response:
    return Response(200, {"X-Route": "f"}, request.url)


def guarded(request: Request) -> Response:
    return Response(200, {"X-Route": "guarded"}, "guarded")


def main() -> None:
    given = json.loads(sys.argv[1])
    if "descriptors" in given:
        resource.setrlimit(resource.RLIMIT_NOFILE, (given["descriptors"], given["descriptors"]))
    if "without" in given:
        refuse_openat2(getattr(errno, given["without"]))
    server = OutsideHTTP(("127.0.0.1", 0))
    server.config.update({"access_log": "off", "max_socket_reuse": 1_000_000, **given.get("config", {})})
    server.set_route("/", root)
    server.set_route("/f", url)
    server.set_route("/s", Folder(given["folder"], **given.get("options", {})))
    server.set_route("/s/private", guarded)
    if "file" in given:
        server.set_route("/o", FilePath(given["file"]))
    if "user" in given:
        # A module that is imported later could not be read any more, where Python is installed for one user.
        for module in pkgutil.walk_packages(outside.__path__, "outside."):
            if module.name != "outside.__main__":
                importlib.import_module(module.name)
        os.setgid(given["user"])
        os.setuid(given["user"])
    server.run()


if __name__ == "__main__":
    main()

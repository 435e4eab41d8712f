"""A server that is killed at a chosen step of obtaining a certificate, by strace: at the Nth system call of a kind.

strace attaches while the authority holds its first answer back, so the calls of a start are not counted. It counts each thread by
itself; the thread that obtains certificates writes every file of the storage. The signal comes as the call begins: the call is not made.
"""

from __future__ import annotations

import os
import re
import shutil
import ssl
import subprocess
import threading
from pathlib import Path

import pytest

from support.authority import handshake, wait_for_certificate
from support.certificate_keeping import NAME, Keeping
from support.harness import wait_until
from support.mean_authority import MeanAuthority
from support.subprocesses import Process, start_process
from support.wire import DEADLINE

STRACE = shutil.which("strace")

needs_strace = pytest.mark.skipif(STRACE is None, reason="needs strace (make clients installs it)")

# The system calls by which a file gets its content and its place, as strace names them on every machine.
CALLS = ("openat", "write", "fsync", "/^rename", "/^unlink")


def obtain(folder: Path, mean: MeanAuthority) -> Path:
    """A storage with a certificate, from which renewals begin."""
    keeping = Keeping(folder, mean)
    wait_for_certificate(mean.authority.tls_port, mean.authority.trusting(), NAME)
    assert keeping.stop() == 0
    return keeping.storage


def killed_at(folder: Path, mean: MeanAuthority, call: str, number: int, before: Path | None) -> str | None:
    """Kills a server at a call, checks what it has left, and starts it again. Returns the call as strace shows it; `None` if the
    certificate was obtained before it came. `before` is the storage of a certificate to renew."""
    storage = folder / "storage"
    folder.mkdir(parents=True, exist_ok=True)
    if before:
        shutil.copytree(before, storage)
        (storage / f"acme/certificates/{NAME}/wish").write_text("renew")
        (storage / f"acme/certificates/{NAME}/wish").chmod(0o600)
    asked, go_on = threading.Event(), threading.Event()

    def hold(question: object) -> None:
        asked.set()
        assert go_on.wait(DEADLINE)

    mean.before = hold
    mask = os.umask(0)
    try:
        keeping = Keeping(folder, mean)
    finally:
        os.umask(mask)
    assert asked.wait(DEADLINE), keeping.lines
    strace = attach(folder / "strace.log", keeping.script.process.pid, call, number)
    mean.be_kind()
    go_on.set()
    process = keeping.script.process
    wait_until(lambda: process.poll() is not None or any("was obtained from" in line for line in keeping.lines), "an end")
    if process.poll() is None:
        strace.terminate()
        strace.wait(DEADLINE)
        assert keeping.stop() == 0
        return None
    strace.wait(DEADLINE)
    assert process.returncode == -9, keeping.lines
    hit = last_call((folder / "strace.log").read_text())
    check_files(storage, has_certificate=before is not None)
    again = Keeping(folder, mean)
    context = mean.authority.trusting()
    if before:
        # One of the two is there, so that the first client is answered.
        handshake(mean.authority.tls_port, context, NAME)
    wait_for_certificate(mean.authority.tls_port, context, NAME)
    assert again.stop() == 0, again.lines
    check_files(storage, has_certificate=True)
    return hit


def last_call(traced: str) -> str:
    """The call that was not made. Those of other threads may stand between its begin and its end."""
    thread = re.findall(r"^(\d+) .*= \?$", traced, re.MULTILINE)[0]
    return re.findall(rf"^{thread} +(\w+\(.*)", traced, re.MULTILINE)[-1]


def attach(log: Path, pid: int, call: str, number: int) -> Process:
    """Has the process killed at the call; the call is traced from now on."""
    inject = f"inject={call}:signal=KILL:when={number}"
    command = [str(STRACE), "-f", "-y", "-s", "0", "-o", str(log), "-e", f"trace={call}", "-e", inject, "-p", str(pid)]
    strace = start_process(command, stderr=subprocess.PIPE)
    said = strace.stderr.readline().decode()
    if "attached" not in said:
        strace.wait(DEADLINE)
        pytest.skip(f"STRACE MAY NOT ATTACH HERE, so no process is killed at a step of writing: {said}")
    return strace


def check_files(storage: Path, *, has_certificate: bool) -> None:
    """The pair is whole, if there is one, and every file is for its owner alone."""
    for path in storage.rglob("*"):
        assert path.stat().st_mode & 0o777 == (0o700 if path.is_dir() else 0o600), path
    pair = storage / f"acme/certificates/{NAME}/certificate.pem"
    assert pair.exists() or not has_certificate
    if pair.exists():
        # Refused unless the key is that of the certificate.
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(pair)

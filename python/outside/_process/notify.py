"""Tells the service manager how things stand, by the protocol of systemd's `sd_notify`; without one, nothing happens."""

import logging
import os
import socket
import time

_log = logging.getLogger("outside")


def notify(*assignments: str) -> None:
    """Sends `READY=1` and the like, in one message, to the socket that NOTIFY_SOCKET names."""
    name = os.environ.get("NOTIFY_SOCKET", "")
    if not name:
        return
    address = "\0" + name[1:] if name.startswith("@") else name
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.settimeout(1)
            sender.sendto("\n".join(assignments).encode(), address)
    except OSError as error:
        _log.warning("the service manager cannot be told %s: %s", ", ".join(assignments), error)


def reloading() -> None:
    """A reload begins; `READY=1` ends it. The time is what systemd asks for with `Type=notify-reload`."""
    notify("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")

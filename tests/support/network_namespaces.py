"""Machines as network namespaces of Linux: each has one link to its clients, and one to the broker, which can be cut."""

from __future__ import annotations

import os
import subprocess
import sys

from support.subprocesses import run_process


def run_ip(*arguments: str) -> bool:
    done = run_process(["ip", *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return done.returncode == 0


class NetworkNamespace:
    """Addresses of 10.77.0.0/16 for clients and of 10.78.0.0/16 for the broker; this process has the other end of both links."""

    def __init__(self, number: int) -> None:
        self.name = f"outside{os.getpid()}-{number}"
        self.address, self.broker_address = f"10.77.{number}.2", f"10.78.{number}.1"
        # A name of a link has at most 15 characters.
        self.links = [
            (f"{kind}{number}-{os.getpid()}", net) for kind, net in (("c", f"10.77.{number}"), ("b", f"10.78.{number}"))
        ]
        # The command before a program that runs there.
        self.launcher = ["ip", "netns", "exec", self.name, sys.executable]

    def open(self) -> bool:
        """Whether this process may make one, and has made it."""
        steps = [("netns", "add", self.name), ("-n", self.name, "link", "set", "lo", "up")]
        for link, net in self.links:
            inner = f"i{link}"
            steps += [
                ("link", "add", link, "type", "veth", "peer", "name", inner, "netns", self.name),
                ("address", "add", f"{net}.1/24", "dev", link),
                ("link", "set", link, "up"),
                ("-n", self.name, "address", "add", f"{net}.2/24", "dev", inner),
                ("-n", self.name, "link", "set", inner, "up"),
            ]
        return all(run_ip(*step) for step in steps)

    def hold(self) -> None:
        """Cuts the link to the broker: packets are lost, and no end is told."""
        assert run_ip("link", "set", self.links[1][0], "down")

    def go_on(self) -> None:
        assert run_ip("link", "set", self.links[1][0], "up")

    def close(self) -> None:
        for link, _ in self.links:
            run_ip("link", "delete", link)
        run_ip("netns", "delete", self.name)

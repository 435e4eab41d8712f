"""The cost of `domains` for clients: `python bench/certificates.py [--handshakes N] [--requests N] [--pairs N]`.

Two servers show the same certificate, one by `domains` from a storage that holds it, one by `ssl_certfile`. callgrind counts the
instructions of a full handshake (TLS 1.3), and of a hello on a connection that stays open: each server runs twice, with N and with 2N of
them, and the difference divided by N is free of start-up. The authority of `domains` does not answer, so nothing is ordered.
Standard library only, and valgrind.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import signal
import socket
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from harness import install, paths
from harness.server import free_port

PROGRAM = """\
import json, sys
from outside import OutsideHTTP

server = OutsideHTTP(("127.0.0.1", int(sys.argv[1])))
server.config.update({"access_log": "off", "allowed_hosts": ["localhost"], **json.loads(sys.argv[2])})
server.set_route("/", lambda request: "hello")
server.run()
"""
REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
# Seconds until a server under callgrind answers.
DEADLINE = 300.0


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--handshakes", type=int, default=300, help="N of handshakes (default 300)")
    parser.add_argument("--requests", type=int, default=3000, help="N of hellos (default 3000)")
    parser.add_argument("--pairs", type=int, default=3, help="pairs of runs; the median counts (default 3)")
    return parser.parse_args()


def settings(folder: Path) -> dict[str, dict[str, object]]:
    """The two servers, with one certificate."""
    subprocess.run([paths.OUR_PYTHON, "-m", "outside", "cert", "localhost"], cwd=folder, check=True, stdout=subprocess.DEVNULL)
    certificate, key = folder / ".outside/localhost.pem", folder / ".outside/localhost.key"
    kept = folder / "storage/acme/certificates/localhost"
    kept.mkdir(parents=True, mode=0o700)
    (kept / "certificate.pem").write_text(key.read_text() + certificate.read_text())
    # The certificate has more names than these; as one of an authority that adds names, it is not ordered anew.
    (kept / "state.json").write_text(json.dumps({"names": ["localhost"]}))
    return {
        "file": {"ssl_enabled": True, "ssl_certfile": str(certificate), "ssl_keyfile": str(key)},
        "domains": {
            "domains": ["localhost"],
            "acme_storage": str(folder / "storage"),
            "acme_directory": f"https://127.0.0.1:{free_port()}/dir",
            "https_redirect": False,
        },
    }


def connected(port: int, context: ssl.SSLContext) -> ssl.SSLSocket:
    plain = socket.create_connection(("127.0.0.1", port), timeout=DEADLINE)
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return context.wrap_socket(plain, server_hostname="localhost")


def wait_until_ready(port: int, context: ssl.SSLContext) -> None:
    end = time.monotonic() + DEADLINE
    while True:
        try:
            return connected(port, context).close()
        except OSError as error:
            if time.monotonic() > end:
                sys.exit(f"bench-certificates: no answer: {error}")
            time.sleep(0.2)


def shake_hands(port: int, context: ssl.SSLContext, count: int) -> None:
    for _ in range(count):
        connected(port, context).close()


def ask(port: int, context: ssl.SSLContext, count: int) -> None:
    with connected(port, context) as secure:
        for _ in range(count):
            secure.sendall(REQUEST)
            answer = b""
            while not answer.endswith(b"hello"):
                answer += secure.recv(65536)


def instructions(folder: Path, config: dict[str, object], load, count: int) -> int:
    """All instructions of a server's life with this load."""
    port, messages = free_port(), folder / "callgrind.log"
    command = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={folder / 'callgrind.out'}", f"--log-file={messages}"]
    command += [str(paths.OUR_PYTHON), str(folder / "program.py"), str(port), json.dumps(config)]
    context = ssl.create_default_context(cafile=folder / ".outside/localhost.pem")
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            wait_until_ready(port, context)
            load(port, context, count)
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait(DEADLINE)
    found = re.search(r"Collected : (\d+)", messages.read_text())
    return int(found[1]) if found else sys.exit("bench-certificates: callgrind left no sum")


def main() -> None:
    options = arguments()
    if not shutil.which("valgrind"):
        sys.exit("bench-certificates: needs valgrind")
    if reason := install.our_python():
        sys.exit(f"bench-certificates: {reason}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "program.py").write_text(PROGRAM)
        servers = settings(folder)
        for what, load, count in (("handshake", shake_hands, options.handshakes), ("hello", ask, options.requests)):
            found: dict[str, list[float]] = {kind: [] for kind in servers}
            for _ in range(options.pairs):
                for kind, config in servers.items():
                    once, twice = (instructions(folder, config, load, times * count) for times in (1, 2))
                    found[kind].append((twice - once) / count)
            middle = {kind: statistics.median(values) for kind, values in found.items()}
            shown = ", ".join(f"{kind} {value:,.0f}" for kind, value in middle.items())
            print(f"{what:9}  {shown} instructions: {(middle['domains'] / middle['file'] - 1) * 100:+.2f} %", flush=True)


if __name__ == "__main__":
    main()

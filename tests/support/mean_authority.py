"""The mean authority: a proxy in front of Pebble that adds what Pebble lacks, counts what it is asked, and injects faults.

Pebble builds its URLs from the Host field, and clients sign them, so the proxy hands that field on as it came. It adds
`renewalInfo` (RFC 9773) and profiles to the directory, and repeats `replaces` and `profile` in orders.
"""

from __future__ import annotations

import base64
import http.client
import http.server
import json
import ssl
import subprocess
import threading
import time
from collections.abc import Callable
from email.utils import formatdate
from pathlib import Path

from support.authority import Authority
from support.subprocesses import run_process

PROBLEM = "urn:ietf:params:acme:error:"
ADVICE = "/renewal-info/"


class Reply:
    """The answer of Pebble, which a fault may change."""

    def __init__(self, status: int, headers: dict[str, str], content: bytes) -> None:
        self.status, self.headers, self.content = status, headers, content

    @classmethod
    def problem(cls, status: int, kind: str, detail: str, **headers: str) -> Reply:
        content = json.dumps({"type": PROBLEM + kind, "detail": detail, "status": status}).encode()
        return cls(status, {"Content-Type": "application/problem+json", **headers}, content)

    def edit(self, change: Callable[[dict], None]) -> None:
        value = json.loads(self.content)
        change(value)
        self.content = json.dumps(value).encode()


class Asked:
    """A request of a client, as a fault sees it."""

    def __init__(self, method: str, path: str, content: bytes) -> None:
        self.method, self.path, self.content, self.at = method, path, content, time.monotonic()
        try:
            text = json.loads(content)["payload"]
            self.payload = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)) or b"{}")
        except (ValueError, KeyError):
            self.payload = {}


class MeanAuthority:
    """`before` may answer in Pebble's place, `after` may change its answer; `window` is the advice about a certificate: the
    seconds from now on, or a function that makes the whole answer. `begin` is called on the thread that starts all others."""

    def __init__(self, authority: Authority, begin: Callable[[], None] = lambda: None) -> None:
        self.authority = authority
        self.asked: list[Asked] = []
        self.before: Callable[[Asked], Reply | None] = lambda asked: None
        self.after: Callable[[Asked, Reply], None] = lambda asked, reply: None
        self.window: tuple[float, float] | Reply = (86_400.0, 2 * 86_400.0)
        self.retry_after = "21600"
        self.has_advice = True
        self._orders: dict[str, dict] = {}
        self.silence = threading.Event()
        handler = type("Handler", (_Handler,), {"mean": self})
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        settings = json.loads((authority.folder / "pebble.json").read_text())["pebble"]
        context.load_cert_chain(settings["certificate"], settings["privateKey"])
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True, do_handshake_on_connect=False)
        threading.Thread(target=self._serve, args=(begin,), daemon=True).start()

    def _serve(self, begin: Callable[[], None]) -> None:
        begin()
        self.server.serve_forever(poll_interval=0.01)

    @property
    def directory(self) -> str:
        return f"https://localhost:{self.port}/dir"

    def config(self, storage: Path, *domains: object) -> dict[str, object]:
        return {**self.authority.config(storage, *domains), "acme_directory": self.directory}

    def be_kind(self) -> None:
        """Forgets all faults and counts."""
        self.before, self.after = lambda asked: None, lambda asked, reply: None
        self.window, self.retry_after, self.has_advice = (86_400.0, 2 * 86_400.0), "21600", True
        self.asked.clear()

    def count(self, path: str) -> int:
        return sum(asked.path.startswith(path) and asked.method != "HEAD" for asked in self.asked)

    def orders(self) -> list[dict]:
        """The payloads of the orders that were asked for."""
        return [asked.payload for asked in self.asked if asked.path == "/order-plz"]

    def stop(self) -> None:
        self.silence.set()
        self.server.shutdown()
        self.server.server_close()

    def answer(self, asked: Asked, host: str, headers: dict[str, str]) -> Reply:
        self.asked.append(asked)
        reply = self.before(asked)
        if reply is None and asked.path.startswith(ADVICE):
            reply = self._advice()
        if reply is None:
            reply = self._forward(asked, headers)
            if asked.path == "/dir":
                reply.edit(lambda directory: self._add_to(directory, host))
            self._repeat(asked, reply)
        self.after(asked, reply)
        return reply

    def _advice(self) -> Reply:
        if isinstance(self.window, Reply):
            return self.window
        start, end = (time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + offset)) for offset in self.window)
        content = json.dumps({"suggestedWindow": {"start": start, "end": end}}).encode()
        return Reply(200, {"Content-Type": "application/json", "Retry-After": self.retry_after}, content)

    def _add_to(self, directory: dict, host: str) -> None:
        if self.has_advice:
            directory["renewalInfo"] = f"https://{host}{ADVICE.rstrip('/')}"
        directory["meta"]["profiles"] = {"classic": "as always", "shortlived": "for a week"}

    def _forward(self, asked: Asked, headers: dict[str, str]) -> Reply:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        connection = http.client.HTTPSConnection("127.0.0.1", self.authority.port, context=context, timeout=20)
        try:
            connection.request(asked.method, asked.path, asked.content or None, headers)
            answer = connection.getresponse()
            content = answer.read()
        finally:
            connection.close()
        left_out = {"content-length", "connection", "date", "transfer-encoding"}
        return Reply(answer.status, {k: v for k, v in answer.getheaders() if k.lower() not in left_out}, content)

    def _repeat(self, asked: Asked, reply: Reply) -> None:
        """An order has the fields that were asked for (RFC 9773 section 5)."""
        if asked.path == "/order-plz" and reply.status == 201:
            key = reply.headers["Location"].rpartition("/")[2]
            self._orders[key] = {name: asked.payload[name] for name in ("replaces", "profile") if name in asked.payload}
        else:
            key = asked.path.rpartition("/")[2]
        if more := self._orders.get(key):
            reply.edit(lambda order: order.update(more))


class _Handler(http.server.BaseHTTPRequestHandler):
    mean: MeanAuthority
    protocol_version = "HTTP/1.1"

    def _answer(self) -> None:
        content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        host = self.headers["Host"]
        headers = {name: value for name, value in self.headers.items() if name.lower() not in ("connection", "content-length")}
        reply = self.mean.answer(Asked(self.command, self.path, content), host, headers)
        self.send_response_only(reply.status)
        reply.headers.setdefault("Date", formatdate(usegmt=True))
        for name, value in {**reply.headers, "Content-Length": str(len(reply.content)), "Connection": "close"}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(reply.content)
        self.close_connection = True

    do_GET = do_HEAD = do_POST = _answer

    def log_message(self, *_: object) -> None:
        pass

    def handle_one_request(self) -> None:
        try:
            super().handle_one_request()
        except (OSError, ssl.SSLError):
            self.close_connection = True


def signed_anew(folder: Path, asked: Asked, *extra: str, names: str, start: str | None = None) -> bytes:
    """The request for a certificate of this finalization, signed by another authority: certificate and issuer in PEM. With
    `-force_pubkey`, for another key; `start` is the beginning of its validity."""
    text = asked.payload["csr"]
    (folder / "request.der").write_bytes(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    (folder / "names").write_text(f"subjectAltName={names}\n")
    openssl(folder, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=mean")
    openssl(folder, "pkey", "-in", "ca.key", "-pubout", "-out", "ca.pub")
    openssl(folder, "req", "-inform", "DER", "-in", "request.der", "-out", "request.pem")
    if start is None:
        sign = ["x509", "-req", "-in", "request.pem", "-CA", "ca.pem", "-CAkey", "ca.key", "-days", "9", "-extfile", "names"]
    else:
        (folder / "index").write_text("")
        (folder / "ca.conf").write_text(LATER)
        sign = [
            "ca",
            "-batch",
            "-notext",
            "-config",
            "ca.conf",
            "-in",
            "request.pem",
            "-extfile",
            "names",
            "-subj",
            "/CN=later",
        ]
        sign += ["-startdate", start, "-enddate", f"{int(start[:4]) + 1}{start[4:]}"]
    openssl(folder, *sign, "-out", "leaf.pem", *extra)
    return (folder / "leaf.pem").read_bytes() + (folder / "ca.pem").read_bytes()


# `openssl x509` of OpenSSL 3.0 chooses no beginning of the validity; `openssl ca` does, and keeps a list.
LATER = """
[ca]
default_ca = mean
[mean]
database = index
rand_serial = yes
new_certs_dir = .
certificate = ca.pem
private_key = ca.key
default_md = sha256
policy = any
[any]
commonName = optional
"""


def openssl(folder: Path, *arguments: str) -> None:
    run_process(
        ["openssl", *arguments], cwd=folder, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=20
    )

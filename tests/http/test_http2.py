"""HTTP/2 as independent clients speak it: curl, nghttp, h2load, httpx and Chromium, with and without TLS.

A program that is not installed is skipped; `make clients` installs them where that can be done.
"""

from __future__ import annotations

import asyncio
import json
import os
import queue
import re
import shutil
import threading
import time
from collections import Counter

import httpx
import pytest

from outside import Folder, Request, Response
from support.browser import CHROMIUM, chromium
from support.clients import CURL
from support.harness import Records, Running
from support.subprocesses import run_process

NGHTTP, H2LOAD, OPENSSL = (shutil.which(program) for program in ("nghttp", "h2load", "openssl"))
needs_curl = pytest.mark.skipif(CURL is None, reason="curl is not installed")
needs_nghttp = pytest.mark.skipif(NGHTTP is None, reason="nghttp is not installed (make clients)")
needs_h2load = pytest.mark.skipif(H2LOAD is None, reason="h2load is not installed (make clients)")
needs_openssl = pytest.mark.skipif(OPENSSL is None, reason="openssl is not installed")
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed (make clients)")


def said(*command: object, stdin: bytes | None = None) -> str:
    """The standard output of a program, which must succeed."""
    arguments = [str(argument) for argument in command]
    done = run_process(arguments, input=stdin, capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, (done.stdout + done.stderr).decode(errors="replace")
    return done.stdout.decode(errors="replace")


def curl(running: Running, target: str, *options: object, stdin: bytes | None = None, secure: bool = False) -> str:
    how = ["--http2", "--insecure"] if secure else ["--http2-prior-knowledge"]
    url = f"{'https' if secure else 'http'}://{running.address[0]}:{running.address[1]}{target}"
    quiet = ["--silent", "--show-error", "--noproxy", "*", "--max-time", "30"]
    return said(CURL, *quiet, *how, *options, url, stdin=stdin)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    """Settings of a server with a certificate for localhost."""
    folder = tmp_path_factory.mktemp("certificate")
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    said(
        OPENSSL, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
        "-keyout", key, "-out", certificate, "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
    )  # fmt: skip
    return {"ssl_enabled": True, "ssl_keyfile": str(key), "ssl_certfile": str(certificate)}


def about(request: Request) -> str:
    return f"{request.method} {request.path} {request.version} {request.scheme} {request.host.partition(':')[0]}"


async def soon(request: Request) -> str:
    await asyncio.sleep(0)
    return f"soon {request.version}"


ROUTES = {
    "/": about,
    "/soon": soon,
    "/echo": lambda request: Response(200, {"Content-Type": "application/octet-stream"}, request.content),
    "/pieces": lambda request: Response(200, {}, iter([b"one", b"two", b"three"])),
    "/fail": lambda request: 1 / 0,
    "/page": lambda request: Response(200, {"Content-Type": "text/html"}, "<p>again</p>" * 10_000),
}


@needs_curl
def test_curl(serve):
    running = serve(ROUTES, h2c=True)
    assert curl(running, "/a?b=c") == "GET /a HTTP/2 http 127.0.0.1"
    assert curl(running, "/soon") == "soon HTTP/2"
    assert curl(running, "/pieces") == "onetwothree"
    assert curl(running, "/fail", "--output", "/dev/null", "--write-out", "%{http_code} %{http_version}") == "500 2"
    head = curl(running, "/", "--head")
    assert head.startswith("HTTP/2 200") and "content-length: 28" in head and "date: " in head
    assert curl(running, "/page", "--compressed") == "<p>again</p>" * 10_000


@needs_curl
@pytest.mark.parametrize("asynchronous", [False, True])
def test_head_has_the_length_of_get_or_none(serve, asynchronous):
    declared = {"Content-Length": "1234"}
    answers = {
        "/declared": (Response(200, declared, ""), "1234"),
        "/stream": (Response(200, declared, iter([])), "1234"),
        "/none": (Response(200, {}, ""), None),
        "/given": (Response(200, declared, "four"), "4"),
    }

    def plain(answer):
        return lambda request: answer

    def awaited(answer):
        async def handler(request):
            return answer

        return handler

    make = awaited if asynchronous else plain
    running = serve({path: make(answer) for path, (answer, _) in answers.items()}, h2c=True)
    for path, (_, length) in answers.items():
        head = curl(running, path, "--head")
        found = re.findall(r"^content-length: (\d+)\r?$", head, re.MULTILINE)
        assert found == ([length] if length else []), (path, head)


@needs_curl
def test_cookies_are_as_large_as_over_http_1(serve):
    running = serve({"/": lambda request: str(len(request.cookies["id"]))}, h2c=True)
    assert curl(running, "/", "--header", "Cookie: id=" + "c" * 20_000) == "20000"


@needs_curl
def test_curl_uploads(serve, tmp_path):
    """Larger than the windows, larger than memory is used for, and larger than is taken."""
    running = serve(ROUTES, h2c=True, max_body_size_mb=4)
    large = os.urandom(3 << 20)
    (tmp_path / "large").write_bytes(large)
    curl(running, "/echo", "--data-binary", f"@{tmp_path / 'large'}", "--output", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == large
    (tmp_path / "large").write_bytes(large * 2)
    status = curl(
        running, "/echo", "--data-binary", f"@{tmp_path / 'large'}", "--output", "/dev/null", "--write-out", "%{http_code}"
    )
    assert status == "413"


@needs_curl
def test_files(serve, tmp_path):
    content = os.urandom(300_000)
    (tmp_path / "file.bin").write_bytes(content)
    (tmp_path / "small.txt").write_text("small")
    running = serve({"/": Folder(str(tmp_path))}, h2c=True)
    curl(running, "/file.bin", "--output", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == content
    assert curl(running, "/small.txt") == "small"
    curl(running, "/file.bin", "--range", "100000-199999", "--output", tmp_path / "part")
    assert (tmp_path / "part").read_bytes() == content[100_000:200_000]
    curl(running, "/file.bin", "--range", "0-9,299990-", "--output", tmp_path / "parts")
    parts = (tmp_path / "parts").read_bytes()
    assert content[:10] in parts and content[-10:] in parts
    etag = re.search(r'etag: ("[^"]+")', curl(running, "/file.bin", "--head"))
    assert etag
    status = ("--output", "/dev/null", "--write-out", "%{http_code}")
    assert curl(running, "/file.bin", *status, "--header", f"If-None-Match: {etag[1]}") == "304"
    assert curl(running, "/missing", *status) == "404"


def test_hooks_and_the_log(serve, records: Records):
    seen: queue.Queue[tuple] = queue.Queue()

    def pre_send(response: Response) -> None:
        response.headers["X-Hook"] = "1"

    running = serve(
        ROUTES,
        h2c=True,
        access_log="common",
        pre_send=pre_send,
        post_callback=lambda request, response: seen.put((request.path, request.version, response.status_code)),
    )
    with httpx.Client(http1=False, http2=True, base_url="http://{}:{}".format(*running.address)) as client:
        answer = client.get("/hello")
        assert (answer.status_code, answer.http_version, answer.headers["x-hook"]) == (200, "HTTP/2", "1")
    assert seen.get(timeout=30) == ("/hello", "HTTP/2", 200)
    records.wait_for('"GET /hello HTTP/2" 200')


def test_httpx_many_at_once(serve):
    running = serve(ROUTES, h2c=True)

    async def all_of_them() -> list[str]:
        limits = httpx.Limits(max_connections=1)
        base = "http://{}:{}".format(*running.address)
        async with httpx.AsyncClient(http1=False, http2=True, base_url=base, limits=limits, timeout=30) as client:
            answers = await asyncio.gather(*(client.get(path) for path in ["/soon", "/pieces", "/page", "/"] * 25))
            return [answer.text[:11] for answer in answers]

    assert Counter(asyncio.run(all_of_them())) == {
        "soon HTTP/2": 25,
        "onetwothree": 25,
        "<p>again</p": 25,
        "GET / HTTP/": 25,
    }


def test_a_client_that_leaves_cancels_the_handler(serve):
    begun, cancelled = threading.Event(), threading.Event()

    async def slow(request: Request) -> str:
        begun.set()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled.set()
            raise
        return "late"

    running = serve({"/slow": slow, "/": about}, h2c=True, cancel_on_disconnect=True)

    async def leave() -> str:
        base = "http://{}:{}".format(*running.address)
        async with httpx.AsyncClient(http1=False, http2=True, base_url=base) as client:
            asking = asyncio.create_task(client.get("/slow", timeout=60))
            await asyncio.to_thread(begun.wait, 30)
            asking.cancel()
            return (await client.get("/")).text

    assert asyncio.run(leave()).startswith("GET / HTTP/2")
    assert cancelled.wait(30)


@needs_nghttp
def test_nghttp(serve):
    running = serve(ROUTES, h2c=True)
    url = "http://{}:{}/pieces".format(*running.address)
    out = said(NGHTTP, "--verbose", "--multiply=20", url)
    assert out.count(":status: 200") == 20
    assert "SETTINGS_MAX_CONCURRENT_STREAMS(0x03):100" in out
    assert "RST_STREAM" not in out


@needs_h2load
def test_h2load(serve):
    running = serve(ROUTES, h2c=True)
    for path, count in (("/", 4000), ("/page", 400), ("/soon", 1000)):
        url = f"http://{running.address[0]}:{running.address[1]}{path}"
        out = said(H2LOAD, f"--requests={count}", "--clients=4", "--max-concurrent-streams=100", url)
        assert f"{count} succeeded, 0 failed, 0 errored, 0 timeout" in out, out


@needs_curl
@needs_openssl
def test_it_is_agreed_on_within_tls(serve, certificate):
    running = serve(ROUTES, **certificate)
    assert curl(running, "/", secure=True) == "GET / HTTP/2 https 127.0.0.1"
    assert curl(running, "/", "--http1.1", secure=True) == "GET / HTTP/1.1 https 127.0.0.1"
    large = "x" * 2_000_000
    assert curl(running, "/echo", "--data-binary", "@-", secure=True, stdin=large.encode()) == large
    host, port = running.address[:2]
    agreed = run_process(
        [OPENSSL, "s_client", "-connect", f"{host}:{port}", "-alpn", "h2,http/1.1"],
        input=b"", capture_output=True, timeout=30, check=False,
    )  # fmt: skip
    assert b"ALPN protocol: h2" in agreed.stdout


@needs_h2load
@needs_openssl
def test_many_at_once_on_one_connection(serve, certificate):
    clients: Counter[tuple] = Counter()

    def pieces(request: Request) -> Response:
        clients[request.address] += 1
        return Response(200, {}, iter([b"one", b"two", b"three"]))

    running = serve({"/pieces": pieces}, **certificate)
    url = "https://{}:{}/pieces".format(*running.address)
    out = said(H2LOAD, "--requests=100", "--clients=1", "--max-concurrent-streams=100", url)
    assert "100 succeeded, 0 failed" in out
    assert f"({100 * len('onetwothree')}) data" in out
    assert list(clients.values()) == [100]


@pytest.mark.timed
@needs_curl
@needs_openssl
def test_a_server_ends_while_streams_are_busy(serve, certificate):
    """Requests in flight are answered; then the connection is closed in good order."""
    going = threading.Event()

    def slow(request: Request) -> str:
        going.set()
        time.sleep(0.5)
        return "done " + request.version

    running = serve({"/slow": slow}, **certificate)
    answers: queue.Queue[str] = queue.Queue()
    asking = threading.Thread(target=lambda: answers.put(curl(running, "/slow", secure=True)))
    asking.start()
    assert going.wait(30)
    running.server.terminate()
    assert answers.get(timeout=30) == "done HTTP/2"
    asking.join()
    running.wait_for_return()


PAGE = """<!doctype html><title>images</title><script>
const images = Array.from({length: 50}, (_, number) => new Promise((done, failed) => {
  const image = new Image();
  image.onload = () => done(image.naturalWidth);
  image.onerror = () => failed(new Error("image " + number));
  image.src = "/image/" + number + ".svg";
}));
Promise.all(images).then(widths => ({widths}), error => ({error: String(error)})).then(report => {
  report.protocols = performance.getEntriesByType("resource").map(entry => entry.nextHopProtocol);
  fetch("/report", {method: "POST", body: JSON.stringify(report)});
});
</script>"""


@needs_openssl
@needs_chromium
def test_chromium_shows_fifty_images(serve, certificate):
    reports: queue.Queue[dict] = queue.Queue()
    clients: Counter[tuple] = Counter()

    def image(request: Request) -> Response:
        clients[request.address] += 1
        width = int(re.sub(r"\D", "", request.path)) + 1
        svg = f"<svg xmlns='http://www.w3.org/2000/svg' width='{width}' height='9'></svg>"
        return Response(200, {"Content-Type": "image/svg+xml", "Cache-Control": "no-store"}, svg)

    def report(request: Request) -> str:
        reports.put(json.loads(request.content))
        return "thank you"

    page = Response(200, {"Content-Type": "text/html"}, PAGE)
    running = serve({"/": lambda request: page, "/image": image, "/report": report}, **certificate)
    url = f"https://localhost:{running.address[1]}/"
    with chromium("--remote-debugging-port=0", "--ignore-certificate-errors", url):
        found = reports.get(timeout=90)
    assert found.get("widths") == list(range(1, 51)), found
    assert set(found["protocols"]) == {"h2"}
    assert sum(clients.values()) == 50 and len(clients) == 1, clients

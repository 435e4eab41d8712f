"""Files as independent clients ask for them: curl, wget, and Chromium with a media file and a listing.

A program that is not installed is skipped; `make clients` installs them where that can be done.
"""

from __future__ import annotations

import gzip
import json
import math
import os
import queue
import shutil
import struct
import wave
from collections.abc import Callable
from pathlib import Path

import brotli
import pytest

from outside import FilePath, Folder, Request, Response
from support.browser import PICTURES, chromium, needs_chromium
from support.clients import CURL, curl
from support.harness import Running
from support.subprocesses import run_process

WGET = shutil.which("wget")
needs_curl = pytest.mark.skipif(CURL is None, reason="curl is not installed")
needs_wget = pytest.mark.skipif(WGET is None, reason="wget is not installed")


class RecordedFolder:
    """A folder on a route, and the requests for it: path, Range as received, status."""

    def __init__(self, serve: Callable[..., Running], folder: Path, **options: object) -> None:
        self.exchanges: list[tuple[str, str | None, int]] = []
        self.reports: queue.Queue[dict] = queue.Queue()
        self.folder = folder
        self.running = serve({"/": Folder(str(folder), **options), "/report": self.report}, post_callback=self.after)
        self.address = self.running.address

    def report(self, request: Request) -> str:
        self.reports.put(request.json())
        return "thank you"

    def after(self, request: Request, response: Response) -> None:
        self.exchanges.append((request.url, request.headers.get("Range"), response.status_code))

    def url(self, path: str) -> str:
        return f"http://{self.address[0]}:{self.address[1]}{path}"


@pytest.fixture
def large(tmp_path: Path) -> Path:
    path = tmp_path / "site" / "large.bin"
    path.parent.mkdir()
    path.write_bytes(os.urandom(3_000_000))
    return path


# --- curl


@needs_curl
def test_curl_resumes(serve, large, tmp_path):
    seen, partial = RecordedFolder(serve, large.parent), tmp_path / "partial"
    partial.write_bytes(large.read_bytes()[:1_234_567])
    curl(seen.address, "/large.bin", "--continue-at", "-", "--output", str(partial))
    assert partial.read_bytes() == large.read_bytes()
    seen.running.stop()
    assert ("/large.bin", "bytes=1234567-", 206) in seen.exchanges


@needs_curl
def test_curl_resumes_a_complete_download(serve, large, tmp_path):
    """Nothing is missing: the range cannot be satisfied, which curl understands."""
    seen, whole = RecordedFolder(serve, large.parent), tmp_path / "whole"
    shutil.copy(large, whole)
    curl(seen.address, "/large.bin", "--continue-at", "-", "--output", str(whole))
    assert whole.read_bytes() == large.read_bytes()


@needs_curl
@pytest.mark.parametrize(
    ("wanted", "pieces"),
    [("0-99", [(0, 100)]), ("-10", [(2_999_990, 3_000_000)]), ("2999999-", [(2_999_999, 3_000_000)])],
)
def test_curl_ranges(serve, large, wanted, pieces):
    content = large.read_bytes()
    out = curl(RecordedFolder(serve, large.parent).address, "/large.bin", "--range", wanted)
    assert out == b"".join(content[start:end] for start, end in pieces)


@needs_curl
def test_curl_ranges_in_parts(serve, large):
    content = large.read_bytes()
    out = curl(RecordedFolder(serve, large.parent).address, "/large.bin", "--range", "0-9,100-109", "--include")
    assert b"multipart/byteranges" in out
    assert content[:10] in out
    assert content[100:110] in out


@needs_curl
def test_curl_decodes_compressed_files(serve, tmp_path):
    text = "a line of text\n" * 1_000
    (tmp_path / "a.txt").write_text(text)
    (tmp_path / "b.css").write_text("plain")
    (tmp_path / "b.css.gz").write_bytes(gzip.compress(b"packed"))
    (tmp_path / "b.css.br").write_bytes(brotli.compress(b"packed"))
    seen = RecordedFolder(serve, tmp_path)
    out = curl(seen.address, "/a.txt", "--compressed", "--write-out", "\n%{size_download}")
    body, _, size = out.decode().rpartition("\n")
    assert body == text
    assert int(size) < len(text) / 10
    assert curl(seen.address, "/b.css", "--compressed") == b"packed"
    assert curl(seen.address, "/b.css") == b"plain"


@needs_curl
def test_curl_asks_whether_it_has_changed(serve, large, tmp_path):
    seen, tag = RecordedFolder(serve, large.parent), tmp_path / "tag"
    curl(seen.address, "/large.bin", "--etag-save", str(tag), "--output", os.devnull)
    status = curl(seen.address, "/large.bin", "--etag-compare", str(tag), "--output", os.devnull, "--write-out", "%{http_code}")
    assert status == b"304"
    copy = tmp_path / "copy"
    curl(seen.address, "/large.bin", "--remote-time", "--output", str(copy))
    assert int(copy.stat().st_mtime) == int(large.stat().st_mtime)
    status = curl(seen.address, "/large.bin", "--time-cond", str(copy), "--output", os.devnull, "--write-out", "%{http_code}")
    assert status == b"304"


@needs_curl
def test_curl_follows_to_the_slash(serve, tmp_path):
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "index.html").write_text("index")
    assert curl(RecordedFolder(serve, tmp_path).address, "/docs?a=1", "--location") == b"index"


@needs_curl
def test_curl_finds_no_way_out(serve, tmp_path):
    (tmp_path / "site").mkdir()
    (tmp_path / "secret").write_text("secret")
    address = RecordedFolder(serve, tmp_path / "site").address
    for path in ("/../secret", "/%2e%2e/secret", "/..%2fsecret", "/site/../../secret"):
        assert curl(address, path, "--output", "-", "--write-out", "%{http_code}")[-3:] in (b"400", b"404")


# --- wget


def wget(seen: RecordedFolder, path: str, folder: Path, *options: str) -> None:
    command = [WGET, "--quiet", "--tries=2", "--timeout=10", "--no-proxy", *options, seen.url(path)]
    done = run_process(command, cwd=folder, capture_output=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr.decode()


@needs_wget
def test_wget_continues(serve, large, tmp_path):
    seen, partial = RecordedFolder(serve, large.parent), tmp_path / "large.bin"
    partial.write_bytes(large.read_bytes()[:700_001])
    wget(seen, "/large.bin", tmp_path, "--continue")
    assert partial.read_bytes() == large.read_bytes()
    wget(seen, "/large.bin", tmp_path, "--continue")  # nothing is left to do
    assert partial.read_bytes() == large.read_bytes()
    seen.running.stop()
    assert ("/large.bin", "bytes=700001-", 206) in seen.exchanges


@needs_wget
def test_wget_takes_only_newer_files(serve, large, tmp_path):
    seen = RecordedFolder(serve, large.parent)
    for _ in range(2):
        wget(seen, "/large.bin", tmp_path, "--timestamping")
    seen.running.stop()
    assert [status for _, _, status in seen.exchanges] == [200, 304]
    assert (tmp_path / "large.bin").read_bytes() == large.read_bytes()


@needs_wget
def test_wget_mirrors_a_listing(serve, tmp_path):
    """It reads the page that people read, and follows its links."""
    site, copy = tmp_path / "site", tmp_path / "copy"
    names = ["a.txt", "with space.txt", "ü.txt", "q?.txt", "100%.txt", "deep/er/b.txt", "deep/c&d.txt"]
    for name in names:
        (site / name).parent.mkdir(parents=True, exist_ok=True)
        (site / name).write_text(f"content of {name}")
    copy.mkdir()
    seen = RecordedFolder(serve, site, listing=True)
    wget(
        seen,
        "/",
        copy,
        "--recursive",
        "--no-parent",
        "--no-host-directories",
        "--restrict-file-names=nocontrol",
        "--level=5",
    )
    found = {path.read_text() for path in copy.rglob("*") if path.is_file()}
    assert {f"content of {name}" for name in names} <= found


# --- Chromium


def tone(path: Path, seconds: int) -> None:
    """A WAV file of 44,100 stereo samples a second, each second at a pitch of its own."""
    rate = 44_100
    with wave.open(str(path), "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(rate)
        for second in range(seconds):
            period = [round(9_000 * math.sin(2 * math.pi * step * (220 + 10 * second) / rate)) for step in range(rate // 10)]
            file.writeframes(
                struct.pack("<" + "hh" * len(period), *[value for sample in period for value in (sample, sample)]) * 10
            )


PLAYER = """<!doctype html><audio id=player preload=auto src=tone.wav></audio><script>
const player = document.getElementById("player");
const event = name => new Promise((done, failed) => {
  player.addEventListener(name, done, {once: true});
  player.addEventListener("error", () => failed(new Error(player.error.message)), {once: true});
});
(async () => {
  const report = {};
  try {
    if (player.readyState < 3) await event("canplay");
    report.duration = player.duration;
    await player.play();
    report.seekable = player.seekable.end(0);
    for (const to of [100, 20, 110]) {
      player.currentTime = to;
      await event("seeked");
      const before = player.currentTime;
      await event("timeupdate");
      report["at" + to] = [before, player.currentTime, player.paused];
    }
  } catch (error) { report.error = String(error); }
  await fetch("/report", {method: "POST", headers: {"Content-Type": "application/json"}, body: JSON.stringify(report)});
})();
</script>"""


@needs_chromium
def test_chromium_plays_and_seeks(serve, tmp_path):
    """Two minutes of sound, 20 MB: too much to be fetched ahead, so that each jump is a range."""
    tone(tmp_path / "tone.wav", 120)
    (tmp_path / "index.html").write_text(PLAYER)
    seen = RecordedFolder(serve, tmp_path)
    with chromium("--remote-debugging-port=0", seen.url("/")):
        report = seen.reports.get(timeout=60)
    assert "error" not in report, report
    assert report["duration"] == pytest.approx(120, abs=0.1)
    assert report["seekable"] == pytest.approx(120, abs=0.1)
    for to in (100, 20, 110):
        before, after, paused = report[f"at{to}"]
        assert (before, paused) == (pytest.approx(to, abs=2), False)
        assert after >= before
    seen.running.stop()
    asked = [(wanted, status) for url, wanted, status in seen.exchanges if url == "/tone.wav"]
    far = [wanted for wanted, status in asked if wanted and status == 206 and int(wanted[6:].partition("-")[0]) > 10_000_000]
    assert far, asked


@needs_chromium
def test_chromium_plays_the_answer_of_a_handler(serve, tmp_path):
    tone(tmp_path / "tone.wav", 120)
    running = serve()
    reports: queue.Queue[dict] = queue.Queue()

    def report(request: Request) -> str:
        reports.put(request.json())
        return "thank you"

    running.server.set_route("/", lambda request: Response(200, {"Content-Type": "text/html"}, PLAYER))
    running.server.set_route("/tone.wav", lambda request: Response(200, {}, FilePath(tmp_path / "tone.wav")))
    running.server.set_route("/report", report)
    with chromium("--remote-debugging-port=0", "http://{}:{}/".format(*running.address)):
        found = reports.get(timeout=60)
    assert "error" not in found, found
    assert found["at110"][0] == pytest.approx(110, abs=2)


LISTED = [
    "Archive/x",
    "photos 2024/x",
    "Größe.txt",
    "a very long name that does not end soon, with many words and no end " + "x" * 100 + ".tar.gz",
    "<b>bold.html",
    "app.3f2a9c1b.js",
    "report10.pdf",
    "report2.pdf",
    "日本語.txt",
]


@needs_chromium
@pytest.mark.parametrize(("kind", "width", "height"), [("desktop", 1280, 800), ("phone", 390, 844)])
def test_chromium_shows_a_listing(serve, tmp_path, kind, width, height):
    """The page as it is laid out, without script: its texts, and no element wider than the window."""
    site = tmp_path / "site"
    for name in LISTED:
        (site / name).parent.mkdir(parents=True, exist_ok=True)
        (site / name).write_bytes(b"x" * (len(name) * 12_345))
    seen = RecordedFolder(serve, site, listing=True)
    picture = Path(PICTURES or tmp_path) / f"listing-{kind}.png"
    # One that crashes by itself is started once more.
    for _attempt in range(2):
        with chromium(f"--window-size={width},{height}", f"--screenshot={picture}", seen.url("/")) as process:
            status = process.wait(60)
        if status >= 0:
            break
    assert status == 0
    data = picture.read_bytes()
    assert data.startswith(b"\x89PNG")
    assert struct.unpack(">II", data[16:24])[0] == width
    # A page that was not painted packs to next to nothing.
    assert len(data) > 10_000
    seen.running.stop()
    assert ("/", None, 200) in seen.exchanges
    assert json.dumps(seen.exchanges).count("404") <= 1, "favicon.ico at most"

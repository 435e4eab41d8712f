"""Helpers of the tests of the documents: blocks of Markdown, programs that are served, and a small curl.

The curl is a small one of our own, so that the tests need none to be installed: `-i`, `-I`, `-X`, `-H`, `-d`, `-b`, `-F`,
`--cacert`.
"""

from __future__ import annotations

import argparse
import http.client
import itertools
import re
import shlex
import signal
import ssl
import subprocess
import threading
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from support.subprocesses import start_process

DEADLINE = 60.0


@dataclass(frozen=True)
class Block:
    """One fenced block of a document."""

    name: str
    language: str
    text: str
    # The file that it stands for, for the programs behind it; empty if none.
    title: str = ""


def blocks(path: Path) -> list[Block]:
    """The fenced blocks of a document in order, each named by file and line."""
    text = path.read_text("utf-8")
    found = re.finditer(r'^```([\w,]*)(?: title="([^"\n]+)")?\n(.*?)^```$', text, re.MULTILINE | re.DOTALL)
    named = lambda match: f"{path.name}:{text.count(chr(10), 0, match.start()) + 1}"
    return [Block(named(match), match[1], match[3], match[2] or "") for match in found]


def write_files(block: Block, documents: list[Path], folder: Path) -> None:
    """Writes the files that stand before a program in its document, the latest form of each."""
    for path in documents:
        found = blocks(path)
        if block in found:
            for before in found[: found.index(block)]:
                if before.title:
                    (folder / before.title).parent.mkdir(parents=True, exist_ok=True)
                    (folder / before.title).write_text(before.text, "utf-8")


def follow(found: list[Block], language: str) -> list[tuple[Block, Block | None]]:
    """Each block of the language with the block after it, if that one shows the output."""
    pairs = itertools.zip_longest(found, found[1:])
    return [
        (block, after if after and after.language in ("console", "text") else None)
        for block, after in pairs
        if block.language == language
    ]


def commands(transcript: str, address: str) -> list[tuple[str, str]]:
    """The commands of a transcript and the output of each, with the real address in place of 127.0.0.1:8080."""
    real = transcript.replace("127.0.0.1:8080", address.partition("://")[2])
    parts = re.split(r"^\$ ", real, flags=re.MULTILINE)
    pairs = [part.partition("\n") for part in parts[1:]]
    return [(command, output.strip("\n")) for command, _, output in pairs]


def masked(output: str) -> str:
    """Without the values that change from one run to the next."""
    output = re.sub(r"^Date: .*$", "Date: *", output.strip(), flags=re.MULTILINE)
    return re.sub(r"^(ETag|Last-Modified|traceparent): .*$", r"\1: *", output, flags=re.MULTILINE)


class Program:
    """A program that prints the URL it serves and ends on SIGTERM. Leaving the block ends it and waits for it."""

    def __init__(self, arguments: list[str], folder: Path) -> None:
        self.output = ""
        self.code: int | None = None
        self._url: str | None = None
        self._ready = threading.Event()
        self._process = start_process(
            arguments, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, encoding="utf-8"
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> Program:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        try:
            self.code = self._process.wait(DEADLINE)
        finally:
            self._process.kill()
            self._reader.join(DEADLINE)

    def wait_for_url(self) -> str:
        """The URL that the program has printed, without a path."""
        self._ready.wait(DEADLINE)
        assert self._url, f"no URL was printed: {self.output}"
        return self._url

    def _read(self) -> None:
        assert self._process.stdout
        for line in self._process.stdout:
            self.output += line
            match = re.search(r"https?://[\w.:\[\]]+:\d+", line)
            if match and not self._url:
                self._url = match[0]
                self._ready.set()
        # The end of the output ends the waiting too.
        self._ready.set()


def curl(command: str, folder: Path = Path()) -> tuple[int, str]:
    """Sends the request of a curl command line, typed in the folder; returns the status and the output that curl would have."""
    parser = argparse.ArgumentParser(prog="curl", exit_on_error=False)
    parser.add_argument("url")
    parser.add_argument("-i", action="store_true", dest="show_head")
    parser.add_argument("-I", action="store_true", dest="only_head")
    parser.add_argument("-X", dest="method")
    parser.add_argument("-H", action="append", default=[], dest="headers")
    parser.add_argument("-d", dest="data")
    parser.add_argument("-b", dest="cookie")
    parser.add_argument("-F", dest="form")
    parser.add_argument("--cacert")
    program, *words = shlex.split(command)
    assert program == "curl", command
    given = parser.parse_args(words)

    headers = {name: value.strip() for name, _, value in (header.partition(":") for header in given.headers)}
    body = given.data
    if given.data is not None:
        headers.setdefault("Content-Type", "application/x-www-form-urlencoded")
    if given.cookie:
        headers["Cookie"] = given.cookie
    if given.form:
        name, _, value = given.form.partition("=")
        headers["Content-Type"] = "multipart/form-data; boundary=frontier"
        body = f'--frontier\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n--frontier--\r\n'
    method = given.method or ("HEAD" if given.only_head else "GET" if body is None else "POST")

    url = urlsplit(given.url)
    connection = http.client.HTTPConnection(url.netloc, timeout=DEADLINE)
    if url.scheme == "https":
        context = ssl.create_default_context(cafile=folder / given.cacert)
        connection = http.client.HTTPSConnection(url.netloc, timeout=DEADLINE, context=context)
    try:
        target = (url.path or "/") + (f"?{url.query}" if url.query else "")
        connection.request(method, target, body, {"User-Agent": "curl/8", "Accept": "*/*", **headers})
        answer = connection.getresponse()
        content = answer.read().decode("utf-8")
    finally:
        connection.close()
    head = ""
    if given.show_head or given.only_head:
        lines = [f"HTTP/1.1 {answer.status} {answer.reason}", *(f"{name}: {value}" for name, value in answer.getheaders())]
        head = "\n".join(lines) + "\n\n"
    return answer.status, head + content

"""Shared by the tests of compression: the table of negotiation, and decoders that others have written."""

from __future__ import annotations

import zlib

import brotli
import zstandard

from support.wire import Answer

TEXT = "".join(f"{number}: all work and no play makes jack a dull boy\n" for number in range(200))
ALL = "gzip, deflate, br, zstd"
CODINGS = ["zstd", "br", "gzip"]
SUFFIX = {"zstd": ".zst", "br": ".br", "gzip": ".gz"}


def decoded(answer: Answer) -> bytes:
    """The content without its coding."""
    coding = answer.header("Content-Encoding")
    if coding is None:
        return answer.body
    if coding == "gzip":
        reader = zlib.decompressobj(31)
        content = reader.decompress(answer.body)
        assert reader.eof
        assert not reader.unused_data
        return content
    if coding == "br":
        return brotli.decompress(answer.body)
    assert coding == "zstd", coding
    return zstandard.ZstdDecompressor().decompressobj().decompress(answer.body)


def accept(value: str | None) -> dict[str, str]:
    return {} if value is None else {"Accept-Encoding": value}


def varies(answer: Answer) -> bool:
    return "accept-encoding" in (answer.header("Vary") or "").lower()


NEGOTIATION = [
    # the codings that a client accepts, and the one that it gets where all three are there (RFC 9110 section 12.5.3)
    (None, None),
    ("", None),
    ("gzip", "gzip"),
    ("br", "br"),
    ("zstd", "zstd"),
    ("deflate", None),
    ("compress, exi", None),
    ("gzip, deflate, br, zstd", "zstd"),
    ("gzip, deflate, br", "br"),
    ("gzip, deflate", "gzip"),
    ("gzip;q=1.0, br;q=0.5", "gzip"),
    ("gzip;q=0.5, br;q=0.8, zstd;q=0.1", "br"),
    ("br;q=0.999, gzip", "gzip"),
    ("zstd;q=0, br;q=0, gzip", "gzip"),
    ("zstd;q=0.000, br", "br"),
    ("gzip;q=0", None),
    ("*", "zstd"),
    ("*;q=0", None),
    ("gzip;q=0.5, *;q=0.1", "gzip"),
    ("zstd;q=0, *", "br"),
    ("*;q=0, gzip", "gzip"),
    ("identity", None),
    ("identity;q=0", None),
    ("identity, gzip;q=0.5", None),
    ("identity;q=0.5, gzip;q=0.5", "gzip"),
    ("identity;q=0, gzip", "gzip"),
    ("GZIP", "gzip"),
    ("x-gzip", "gzip"),
    ("gzip ; q=0.5 , br ; Q=0.4", "gzip"),
    ("gzip,,br", "br"),
    ("gzipped, brotli", None),
    ("gzip;q=nonsense, br", "br"),
    ("gzip;q=2, br;q=1", "br"),
    ("  gzip  ", "gzip"),
    (",".join(["exi"] * 2_000) + ",gzip", "gzip"),
]

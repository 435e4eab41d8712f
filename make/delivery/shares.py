"""How many bytes of the module each feature has, by the crates of the symbols that nm lists.

A symbol counts for the first crate in its name that is not the standard library. C code is told by the prefixes of its functions. Bytes
without a symbol (tables of unwinding, nameless constants) are not counted.
"""

from __future__ import annotations

import collections
import re
import subprocess
from pathlib import Path

STANDARD = {"core", "alloc", "std", "hashbrown", "compiler_builtins", "gimli", "addr2line", "rustc_demangle", "miniz_oxide"}
# Features, by their crates. Crates in none of them are listed together.
FEATURES = {
    "TLS: aws-lc": {"aws_lc_rs", "aws_lc_sys", "aws_lc"},
    "TLS: rustls": {"rustls", "webpki", "rustls_pki_types", "untrusted", "subtle", "zeroize"},
    "automatic certificates (ACME)": {"instant_acme", "rcgen", "yasna", "pem", "time", "webpki_roots", "base64"},
    "zstd": {"zstd", "zstd_safe", "zstd_sys"},
    "brotli": {"brotli", "brotli_decompressor", "alloc_no_stdlib", "alloc_stdlib"},
    "gzip": {"zlib_rs"},
    "HTTP/2": {"h2", "http", "indexmap", "slab", "fnv"},
    "JSON of Python": {"jiter", "zmij", "itoa", "lexical_parse_float", "num_bigint"},
    "JSON of Rust": {"serde", "serde_core", "serde_json", "serde_path_to_error"},
    "media types": {"mime_guess", "unicase", "phf"},
    "event loop": {"tokio", "mio", "socket2"},
    "Python's classes": {"pyo3", "pyo3_ffi", "_outside"},
    "the command": {"outside_cli", "lexopt", "strsim"},
    "the engine": {"outside"},
    "standard library": STANDARD,
}
C_PREFIXES = (
    ("aws_lc", "aws_lc"),
    ("ZSTD_", "zstd"),
    ("HUF_", "zstd"),
    ("FSE_", "zstd"),
    ("HIST_", "zstd"),
    ("COVER_", "zstd"),
)


def table(sizes: collections.Counter[str]) -> str:
    """A table in Markdown, the largest first."""
    total = sum(sizes.values())
    rows = "".join(f"| {part} | {size / 1e3:,.0f} | {size / total:.0%} |\n" for part, size in sizes.most_common())
    return "| part | KB | share |\n|---|---:|---:|\n" + rows


def of(module: Path) -> collections.Counter[str]:
    """Bytes of each feature in a module that has its symbols."""
    listed = subprocess.run(["nm", "--print-size", "--demangle", str(module)], check=True, capture_output=True, text=True)
    return count(listed.stdout)


def count(listing: str) -> collections.Counter[str]:
    """Bytes of each feature, from the lines of nm."""
    sizes: collections.Counter[str] = collections.Counter()
    for line in listing.splitlines():
        found = re.match(r"[0-9a-f]+ ([0-9a-f]+) [a-zA-Z] (.+)", line)
        if found:
            sizes[feature(found[2])] += int(found[1], 16)
    return sizes


def feature(symbol: str) -> str:
    """The feature that a symbol belongs to."""
    crate = next((crate for prefix, crate in C_PREFIXES if symbol.startswith(prefix)), "")
    if not crate:
        crates = re.findall(r"(?<![\w:])([a-z_][a-z0-9_]*)(?:\[[0-9a-f]+\])?::", symbol)
        crate = next((crate for crate in crates if crate not in STANDARD), crates[0] if crates else "")
    return next((name for name, crates in FEATURES.items() if crate in crates), "other crates, and C without a prefix")

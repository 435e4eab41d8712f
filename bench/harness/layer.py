"""The page and the sessions of the application layer: what is expected, and cookies that each server takes."""

from __future__ import annotations

import base64
import hashlib
import hmac
import html
import sys
import time

from . import paths

sys.path.insert(0, str(paths.BENCH / "peers"))

from layer_data import ROWS, SECRET, TITLE

# The value in the cookies: one more has as many digits.
COUNT = 4


def page() -> bytes:
    """The page as the template writes it."""
    rows = "".join(f"<tr><td>{row['id']}<td>{html.escape(str(row['name']))}<td>{row['value']}</tr>\n" for row in ROWS)
    return f"<!doctype html>\n<title>{html.escape(TITLE)}</title>\n<table>\n{rows}</table>".encode()


def cookie_of_outside() -> str:
    """`content.time.signature`, by HMAC-SHA256 over name, time and content."""
    content, issued = _encoded(b'{"count":%d}' % COUNT), f"{int(time.time()):x}"
    signature = hmac.digest(SECRET.encode(), f"session\0{issued}\0{content}".encode(), "sha256")
    return f"Cookie: session={content}.{issued}.{_encoded(signature)}"


def cookie_of_flask() -> str:
    """As itsdangerous signs it, with the key derivation that Flask asks for."""
    now = int(time.time())
    content = b'{"count":%d}' % COUNT
    value = f"{_encoded(content)}.{_encoded(now.to_bytes(4, 'big'))}"
    key = hmac.digest(SECRET.encode(), b"cookie-session", hashlib.sha1)
    return f"Cookie: session={value}.{_encoded(hmac.digest(key, value.encode(), hashlib.sha1))}"


def _encoded(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()

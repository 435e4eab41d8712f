"""Cookies as `response.set_cookie` makes them: safe unless told otherwise."""

from datetime import datetime, timedelta, timezone
from typing import TypedDict

from .._outside import ResponseCookie

# The end of the year 9999, in seconds since 1970: HTTP writes years of four digits.
LAST_SECOND = 253_402_300_800


class _CookieAttributes(TypedDict, total=False):
    max_age: int | timedelta | None
    expires: datetime | int | float | None
    path: str | None
    domain: str | None
    secure: bool
    http_only: bool
    same_site: str | None
    partitioned: bool


def made(
    name: str,
    value: str,
    *,
    max_age: int | timedelta | None = None,
    expires: datetime | int | float | None = None,
    path: str | None = "/",
    domain: str | None = None,
    secure: bool = False,
    http_only: bool = True,
    same_site: str | None = "Lax",
    partitioned: bool = False,
) -> ResponseCookie:
    """The cookie; a name or value that cannot be written is a `ValueError`."""
    if isinstance(max_age, timedelta):
        max_age = int(max_age.total_seconds())
    if isinstance(expires, datetime):
        # A time without a zone is one of UTC, as in Flask.
        expires = (expires if expires.tzinfo else expires.replace(tzinfo=timezone.utc)).timestamp()
    if expires is not None and not isinstance(expires, int | float):
        raise TypeError(f"expires is a datetime or a number of seconds since 1970, not {expires!r}")
    if expires is not None and not 0 <= expires < LAST_SECOND:
        raise ValueError(f"expires is a time from 1970 to 9999, not {expires!r}")
    at = None if expires is None else int(expires)
    return ResponseCookie(value, max_age, domain, http_only, secure, path, same_site, at, partitioned)

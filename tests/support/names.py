"""Names of parametrized tests that every process gives alike: `make test` has several, which compare their names."""

from __future__ import annotations

import re


def steady(value: object) -> str:
    """The value as `repr` shows it, without the address of an object."""
    return re.sub(r" at 0x[0-9a-f]+", "", repr(value))

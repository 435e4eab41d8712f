"""Settings of the environment: `OUTSIDE_<KEY>` for every key of `config`, and the names that platforms use, `PORT` and
`WEB_CONCURRENCY`."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from typing import Any

_PREFIX = "OUTSIDE_"
# Names of platforms.
_PLATFORM = {"PORT": "port", "WEB_CONCURRENCY": "processes"}
# Names that are no keys: two for `host`, one as the option is called, and those of the processes among themselves.
_SPECIAL = {"HOST": "host", "PORT": "port", "WORKERS": "processes"}
_INTERNAL = {"READY", "TICKETS", "LISTENERS", "RELOADER", "DEBUG_TOKEN", "HUB", "BOARD"}
_TRUE, _FALSE = {"1", "true", "yes", "on"}, {"0", "false", "no", "off"}


def settings_of(
    environment: Mapping[str, str], defaults: Mapping[str, Any], names: dict[str, str] | None = None
) -> tuple[dict[str, Any], list[str]]:
    """The settings of the environment, by key of `config` (`host` and `port` apart from each other), and warnings about names
    that look mistyped. `defaults` tells the keys and their kinds; `names` is told which variable has set a key."""
    found: dict[str, Any] = {}
    names = {} if names is None else names
    warnings = []
    for name, key in _PLATFORM.items():
        if value := environment.get(name):
            found[key], names[key] = _number(value), name
    for name, value in environment.items():
        key = name.removeprefix(_PREFIX)
        if key == name or key in _INTERNAL:
            continue
        if key == "HOST":
            found["host"] = value
        elif key in _SPECIAL:
            found[_SPECIAL[key]], names[_SPECIAL[key]] = _number(value), name
        elif key.lower() in defaults and key.isupper():
            found[key.lower()], names[key.lower()] = _value(value, defaults[key.lower()]), name
        else:
            known = [*(other.upper() for other in defaults), *_SPECIAL]
            if near := difflib.get_close_matches(key.upper(), known, n=1, cutoff=0.75):
                warnings.append(f"{name} is no setting; did you mean {_PREFIX}{near[0]}?")
    return found, warnings


def _value(text: str, default: Any) -> Any:
    """The text as the kind of value that the default is; as it stands if it is none, for the server to refuse it by name."""
    if isinstance(default, bool):
        lower = text.strip().lower()
        return True if lower in _TRUE else False if lower in _FALSE else text
    if isinstance(default, list) and text.startswith("["):
        return _json(text)
    if isinstance(default, list):
        return [part.strip() for part in text.split(",") if part.strip()]
    if text.startswith(("[", "{")):
        return _json(text)
    if default is None and text.strip().lower() in ("", "none"):
        return None
    return text if isinstance(default, str) else _number(text)


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _number(text: str) -> Any:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            pass
    return text

"""What platforms expect of a server that runs on them, as their variables tell."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

# The variables by which platforms are known.
_PLATFORMS = {
    "DYNO": "Heroku",
    "K_SERVICE": "Cloud Run",
    "RENDER": "Render",
    "FLY_APP_NAME": "Fly",
    "RAILWAY_ENVIRONMENT": "Railway",
    "KUBERNETES_SERVICE_HOST": "Kubernetes",
}
_CONTAINER = Path("/.dockerenv")


def platform_of(environment: Mapping[str, str]) -> str | None:
    """The name of the platform, or of the kind of container."""
    for name, platform in _PLATFORMS.items():
        if environment.get(name):
            return platform
    return "a container" if environment is os.environ and _CONTAINER.exists() else None


def listens_everywhere(environment: Mapping[str, str]) -> str | None:
    """The platform whose router comes from another machine, if one has set PORT."""
    return platform_of(environment) if environment.get("PORT") else None


def settings_for(environment: Mapping[str, str]) -> dict[str, Any]:
    """Settings that count before those of the program and after all that is typed or set by name."""
    found: dict[str, Any] = {}
    if environment.get("DYNO"):
        # The router keeps its connections for 90 seconds: the server must not close one before.
        found["keep_alive_idle"] = 100
    if environment.get("FORWARDED_ALLOW_IPS"):
        names = [name.strip() for name in environment["FORWARDED_ALLOW_IPS"].split(",") if name.strip()]
        found["trusted_proxies"] = ["0.0.0.0/0", "::/0"] if names == ["*"] else names
    if environment.get("K_SERVICE"):
        # SIGKILL follows SIGTERM after 10 seconds.
        found["termination_timeout"] = 8
    if environment.get("FLY_APP_NAME"):
        # SIGKILL follows after 5 seconds.
        found["termination_timeout"] = 4
    return found

"""Fixtures for all tests; `soak/conftest.py` imports the same."""

from support.fixtures import app_address, records, serve, server, site, start

__all__ = ["app_address", "records", "serve", "server", "site", "start"]

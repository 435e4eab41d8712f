"""What `run()` refuses before anything is bound or asked, each with the reason; and what `domains` brings."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

import pytest

from outside import OutsideHTTP
from outside._dev.command import configure
from support.authority import free_port
from support.subprocesses import run_process

# The user without rights, on most systems.
NOBODY = 65534


def refusal(tmp_path, **config: object) -> str:
    server = OutsideHTTP(("127.0.0.1", 0))
    server.config.update({"acme_storage": str(tmp_path / "storage"), "https_redirect": free_port(), **config})
    with pytest.raises((ValueError, TypeError, OSError, RuntimeError)) as error:
        server.run()
    return str(error.value)


@pytest.mark.parametrize(
    ("domains", "parts"),
    [
        (["localhost"], ["localhost", "outside cert localhost"]),
        (["printer.local"], ["printer.local", "in this network alone"]),
        (["intranet"], ["without a dot"]),
        (["10.0.0.1"], ["addresses of private networks"]),
        (["8.8.8.8"], ['"shortlived"']),
        (["*.outside.dev"], ["wildcard", "acme_dns"]),
        (["https://outside.dev"], ["domains", "https://outside.dev"]),
        (["a.dev", "a.dev"], ["domains"]),
        ([("a.dev", 80)], ["domains"]),
        ([()], ["domains"]),
        (5, ["domains"]),
    ],
)
def test_names(tmp_path, domains, parts):
    text = refusal(tmp_path, domains=domains)
    for part in parts:
        assert part in text, text
    assert not (tmp_path / "storage").exists()


@pytest.mark.parametrize(
    ("config", "parts"),
    [
        ({"acme_directory": "http://ca.example/dir"}, ["acme_directory", "https"]),
        ({"acme_directory": "zerossl"}, ["acme_directory", "letsencrypt"]),
        ({"acme_directory": []}, ["acme_directory"]),
        ({"acme_email": "nobody"}, ["acme_email"]),
        ({"acme_eab": "kid"}, ["acme_eab"]),
        ({"acme_challenges": ["http-02"]}, ["acme_challenges", "tls-alpn-01"]),
        ({"acme_challenges": ["dns-01"]}, ["acme_dns"]),
        ({"acme_challenges": ["http-01"], "https_redirect": False}, ["http-01 alone"]),
        ({"acme_roots": "/nowhere.pem"}, ["acme_roots", "/nowhere.pem"]),
        ({"acme_roots": os.devnull}, ["acme_roots", "no certificate"]),
        ({"acme_dns": "a text"}, ["acme_dns"]),
        ({"on_certificate": 5}, ["on_certificate"]),
    ],
)
def test_settings(tmp_path, config, parts):
    text = refusal(tmp_path, domains=["outside.dev"], **config)
    for part in parts:
        assert part in text, text


def test_a_storage_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    text = refusal(tmp_path, domains=["outside.dev"], acme_storage=str(tmp_path / "file" / "below"))
    assert "cannot be written" in text and "acme_storage" in text


def test_a_key_that_other_users_may_read_and_this_one_cannot_close(tmp_path):
    """A file of another user, which this one may not change."""
    if os.geteuid() != 0:
        pytest.skip("needs root, to be another user")
    # Below a folder that every user may enter.
    with tempfile.TemporaryDirectory() as name:
        storage = Path(name, "storage")
        folder = storage / "acme/certificates/outside.dev"
        folder.mkdir(parents=True)
        for path in (name, *(path for path in (folder, *folder.parents) if storage in (path, *path.parents))):
            os.chown(path, NOBODY, NOBODY)
        (folder / "certificate.pem").write_text("")
        (folder / "certificate.pem").chmod(0o644)
        os.seteuid(NOBODY)
        try:
            text = refusal(tmp_path, domains=["outside.dev"], acme_storage=str(storage))
        finally:
            os.seteuid(0)
    assert "certificate.pem" in text and "open to other users" in text and "mode 600" in text, text


def test_modes_are_repaired(tmp_path):
    """Everything that another user could read is closed before the server begins."""
    folder = tmp_path / "storage/acme/certificates/outside.dev"
    folder.mkdir(parents=True, mode=0o755)
    for name in ("certificate.pem", "state.json"):
        (folder / name).write_text("")
        (folder / name).chmod(0o644)
    # Refused for another reason, after the storage was prepared.
    refusal(tmp_path, domains=["outside.dev"], acme_directory="https://ca.internal/", host=("192.0.2.1", 443))
    assert folder.stat().st_mode & 0o777 == 0o700 and folder.parent.stat().st_mode & 0o777 == 0o700
    assert (folder / "certificate.pem").stat().st_mode & 0o777 == 0o600


def test_the_redirect_has_a_port_of_its_own(tmp_path):
    port = free_port()
    text = refusal(tmp_path, domains=["outside.dev"], host=("127.0.0.1", port), https_redirect=port)
    assert "https_redirect" in text and str(port) in text


TYPED = dict.fromkeys(["host", "port", "access_log", "workers", "certfile", "keyfile", "acme_storage"])


@pytest.mark.parametrize(
    ("environment", "typed", "host", "domains"),
    [
        ({"OUTSIDE_DOMAINS": "a.dev, b.dev+c.dev"}, {}, ("::", 443), ["a.dev", "b.dev+c.dev"]),
        ({"OUTSIDE_DOMAINS": '["a.dev", ["b.dev", "c.dev"]]'}, {}, ("::", 443), ["a.dev", ["b.dev", "c.dev"]]),
        ({"OUTSIDE_DOMAINS": "a.dev", "PORT": "8443"}, {}, ("127.0.0.1", 8443), ["a.dev"]),
        ({"OUTSIDE_DOMAINS": "a.dev"}, {"domains": ["b.dev"]}, ("::", 443), ["b.dev"]),
        ({}, {"domains": ["b.dev"], "host": "0.0.0.0"}, ("0.0.0.0", 8080), ["b.dev"]),
    ],
)
def test_environment_and_command_line(monkeypatch, environment, typed, host, domains):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    server = OutsideHTTP(("127.0.0.1", 8080))
    configure(server, {**TYPED, "allowed_hosts": [], "domains": [], "debug": False, **typed})
    assert (server.config["host"], server.config["domains"]) == (host, domains)


def test_no_certificates_to_show(tmp_path):
    command = [sys.executable, "-m", "outside", "cert", "status", "--acme-storage", str(tmp_path)]
    shown = run_process(command, capture_output=True, timeout=20)
    assert shown.returncode == 3 and b"there are no certificates here" in shown.stderr

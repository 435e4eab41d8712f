"""Clients that others wrote, at the authority of these tests: it is as authorities are, so what our client passes here means something.

They sign what they ask for and check what they get: nonces, URLs, chains, profiles and the advice on renewal.
"""

from __future__ import annotations

import os
import shutil
import ssl
import sys
from pathlib import Path

import pytest

from support.authority import Authority, needs_pebble
from support.mean_authority import ADVICE, MeanAuthority
from support.subprocesses import run_process

pytestmark = needs_pebble

LEGO = shutil.which("lego")
CERTBOT = shutil.which("certbot", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]))

# Seconds for one call of a client: certbot imports for two of them on a slow machine.
WITHIN = 60


@pytest.fixture(scope="module")
def mean(tmp_path_factory):
    authority = Authority(tmp_path_factory.mktemp("authority"))
    mean = MeanAuthority(authority)
    yield mean
    mean.stop()
    authority.stop()


@pytest.fixture(autouse=True)
def _kind(mean):
    mean.be_kind()


def call(*command: str, **environment: str) -> str:
    done = run_process(list(command), env={**os.environ, **environment}, capture_output=True, timeout=WITHIN)
    text = (done.stdout + done.stderr).decode(errors="replace")
    assert done.returncode == 0, text
    return text


def names_of(mean: MeanAuthority, chain: Path, key: Path) -> tuple:
    """The names of the first certificate; the key is its own, and the chain leads to the root of the authority."""
    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(chain, key)
    _, *issuers = chain.read_text().split("-----END CERTIFICATE-----\n")[:-1]
    assert issuers, "the issuer is behind it"
    root = chain.with_name("root.pem")
    context = mean.authority.trusting()
    root.write_text("".join(ssl.DER_cert_to_PEM_cert(one) for one in context.get_ca_certs(binary_form=True)))
    call("openssl", "verify", "-CAfile", str(root), "-untrusted", str(chain), str(chain))
    return tuple(sorted(call("openssl", "x509", "-in", str(chain), "-noout", "-ext", "subjectAltName").split("DNS:")[1:]))


@pytest.mark.skipif(LEGO is None, reason="needs lego (make clients installs it)")
def test_lego(mean, tmp_path):
    """A first certificate by HTTP, its renewal by TLS."""
    common = ["--server", mean.directory, "--accept-tos", "--email", "a@lego.example", "--path", str(tmp_path)]
    common += ["--domains", "lego.example", "--domains", "www.lego.example"]
    by_http = ["--http", "--http.port", f"127.0.0.1:{mean.authority.http_port}"]
    by_tls = ["--tls", "--tls.port", f"127.0.0.1:{mean.authority.tls_port}"]
    call(str(LEGO), *common, *by_http, "run", LEGO_CA_CERTIFICATES=mean.authority.roots)
    chain, key = tmp_path / "certificates/lego.example.crt", tmp_path / "certificates/lego.example.key"
    assert len(names_of(mean, chain, key)) == 2
    before = chain.read_text()
    renewal = [*common, *by_tls, "renew", "--days", "99999", "--no-random-sleep"]
    call(str(LEGO), *renewal, LEGO_CA_CERTIFICATES=mean.authority.roots)
    assert chain.read_text() != before and len(mean.orders()) == 2


@pytest.mark.skipif(CERTBOT is None, reason="needs certbot (make/test-tools.txt)")
def test_certbot(mean, tmp_path):
    folders = [part for name in ("config", "work", "logs") for part in (f"--{name}-dir", str(tmp_path / name))]
    common = [*folders, "--non-interactive", "--server", mean.directory]
    place = ["--standalone", "--http-01-address", "127.0.0.1", "--http-01-port", str(mean.authority.http_port)]
    new = ["-d", "certbot.example", "-d", "www.certbot.example", "--preferred-profile", "shortlived"]
    environment = {"REQUESTS_CA_BUNDLE": mean.authority.roots}
    register = ["--agree-tos", "--register-unsafely-without-email"]
    call(CERTBOT, "certonly", *common, *place, *new, *register, **environment)
    live = tmp_path / "config/live/certbot.example"
    assert len(names_of(mean, live / "fullchain.pem", live / "privkey.pem")) == 2
    assert mean.orders()[0]["profile"] == "shortlived"
    # The window lies in the past: it is renewed now.
    before = (live / "fullchain.pem").read_text()
    mean.window = (-86_400, -3600)
    call(CERTBOT, "renew", *common, "--no-random-sleep-on-renew", **environment)
    assert mean.count(ADVICE) >= 1
    assert (live / "fullchain.pem").read_text() != before
    assert len(mean.orders()) == 2

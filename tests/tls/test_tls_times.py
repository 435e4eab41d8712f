"""Certificates whose time has not come or is over, and those of X.509 version 1: when each is shown, and what is said about it."""

from __future__ import annotations

import datetime
import os
from pathlib import Path

import pytest

from outside import OutsideHTTP
from support.certificates import Certificate, certificate
from support.harness import wait_until
from support.tls import certificate_in, fetch_over_tls, served_certificate

x509 = pytest.importorskip("cryptography.x509")

SECOND = datetime.timedelta(seconds=1)
DAY = datetime.timedelta(days=1)


def now() -> datetime.datetime:
    return datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0)


def issued(folder: Path, name: str, begins: datetime.datetime, ends: datetime.datetime) -> Certificate:
    """One that is valid in this time alone."""
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    folder.mkdir(parents=True, exist_ok=True)
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    builder = x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number(), begins, ends)
    made = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False).sign(key, hashes.SHA256())
    certfile, keyfile = folder / f"{name}.pem", folder / f"{name}.key"
    certfile.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    keyfile.write_bytes(key.private_bytes(*private))
    return Certificate(str(certfile), str(keyfile))


def test_a_renewed_one_is_shown_when_its_time_comes(serve, records, tmp_path):
    """It is looked at again, not once: the clock of the authority may be ahead."""
    own = certificate(tmp_path / "own")
    running = serve(lambda request: "hello", **own.config)
    before = certificate_in(own.certfile)
    own.replace(issued(tmp_path / "new", "localhost", now() + 4 * SECOND, now() + 90 * DAY))
    records.wait_for("not valid yet")
    assert served_certificate(running.address, None) == before
    records.wait_for("new certificates are in use")
    assert served_certificate(running.address, None) == certificate_in(own.certfile)


@pytest.mark.parametrize(
    ("begins", "ends", "sentence"),
    [(now() - 30 * DAY, now() - DAY, "has expired"), (now() + 30 * DAY, now() + 60 * DAY, "is not valid yet")],
    ids=["expired", "not yet valid"],
)
def test_one_out_of_its_time_keeps_no_other_from_being_renewed(serve, records, tmp_path, begins, ends, sentence):
    good, bad = certificate(tmp_path / "good", "good.example"), issued(tmp_path / "bad", "bad.example", begins, ends)
    entries = [{"certfile": own.certfile, "keyfile": own.keyfile} for own in (bad, good)]
    running = serve(lambda request: "hello", ssl_enabled=True, ssl_certificates=entries)
    assert fetch_over_tls(running.address, good.client(), name="good.example") == "hello"
    # Clients that name no host get one that they can use.
    assert served_certificate(running.address, None) == certificate_in(good.certfile)
    told = [text for text in records.texts() if sentence in text]
    assert len(told) == 1 and os.path.basename(bad.certfile) in told[0], records.texts()
    good.replace(certificate(tmp_path / "newer", "good.example"))
    wait_until(lambda: served_certificate(running.address, None) == certificate_in(good.certfile), "the new one is shown")
    # The bad one is shown as soon as it is good.
    bad.replace(certificate(tmp_path / "better", "bad.example"))
    wait_until(lambda: is_trusted(running.address, bad), "the other one is shown")


def is_trusted(address: tuple, own: Certificate) -> bool:
    try:
        return fetch_over_tls(address, own.client(), name=Path(own.certfile).stem) == "hello"
    except OSError:
        return False


def test_a_clock_that_is_behind_is_a_warning(serve, records, tmp_path):
    """The only certificate is served all the same: clients with a right clock take it."""
    own = issued(tmp_path, "localhost", now() + 30 * DAY, now() + 60 * DAY)
    running = serve(lambda request: "hello", **own.config)
    assert served_certificate(running.address, None) == certificate_in(own.certfile)
    assert records.wait_for("unless the clock is behind").levelname == "WARNING"


def test_nothing_but_one_that_has_expired_is_refused(tmp_path):
    own = issued(tmp_path, "localhost", now() - 30 * DAY, now() - DAY)
    server = OutsideHTTP(("127.0.0.1", 0))
    server.config.update(own.config)
    with pytest.raises(ValueError, match=r"localhost\.pem.* has expired"):
        server.run()


def test_version_1_is_named_as_what_it_is(tmp_path):
    """As `openssl x509 -req` makes them without a file of extensions: clients find no name in them."""
    certfile, keyfile = tmp_path / "old.pem", tmp_path / "old.key"
    certfile.write_text(VERSION_1)
    keyfile.write_text(VERSION_1_KEY)
    server = OutsideHTTP(("127.0.0.1", 0))
    server.config.update(ssl_enabled=True, ssl_certfile=str(certfile), ssl_keyfile=str(keyfile))
    with pytest.raises(ValueError, match=r"old\.pem.*X\.509 version 1.*subjectAltName.*outside cert"):
        server.run()


VERSION_1 = """\
-----BEGIN CERTIFICATE-----
MIIBHDCBxAIUE6gkUT/48k5WOZqTJMp2LuIUiEQwCgYIKoZIzj0EAwIwDTELMAkG
A1UEAwwCY2EwIBcNMjYxMTI4MjIxNjIxWhgPMjA4MTA4MzEyMjE2MjFaMBQxEjAQ
BgNVBAMMCWxvY2FsaG9zdDBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABOXHoJjl
4nnh3MRxEfi1sjS8yRqJd1zZObwvmK6Zq+O68bX8u+UnRoc5fCpiEkX3Es7NgxBa
Yp40giXoxKNVSrUwCgYIKoZIzj0EAwIDRwAwRAIgSNh5EY2egHypMCp2kMVCBu/w
YtGOmnw+AX5+CHJXjzACIGyFbFVQEVagZ5ZyhL7VS3NCqsmkUHPVBOX5CiM6tdmE
-----END CERTIFICATE-----
"""
VERSION_1_KEY = """\
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgmXt+vCESdq2gk9Gy
BiEXGzRUWNP8vgjxcktGAm6uW76hRANCAATlx6CY5eJ54dzEcRH4tbI0vMkaiXdc
2Tm8L5iumavjuvG1/LvlJ0aHOXwqYhJF9xLOzYMQWmKeNIIl6MSjVUq1
-----END PRIVATE KEY-----
"""

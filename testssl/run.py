"""testssl.sh against a server with an ECDSA certificate of an authority that it is told to trust: no finding above LOW.

Prints every finding that is more than information; the exit status is 1 if one of them is above LOW.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

from outside import OutsideHTTP, Response

HARMLESS = {"OK", "INFO", "DEBUG"}
ALLOWED = {"LOW"}
# Findings that are no fault of the server: the DNS of a public name, and the OpenSSL of testssl.sh itself.
ELSEWHERE = {"DNS_CAArecord", "engine_problem"}
# OpenSSL's client, told to ask nothing, leaves before the tickets of TLS 1.3 come: in 4 of 10 connections to this server, and in
# nearly all to OpenSSL's own. testssl.sh then has no ticket to try.
NO_TICKET = ("sessionresumption_ticket", "check failed because of connect problem")
EXTENSIONS = """
subjectAltName = DNS:localhost, IP:127.0.0.1
extendedKeyUsage = serverAuth
keyUsage = critical, digitalSignature
crlDistributionPoints = URI:http://localhost/none.crl
"""


def openssl(folder: Path, *arguments: str) -> None:
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)


def make_certificates(folder: Path) -> None:
    """`ca.pem`, and `server.pem` with its key."""
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    openssl(folder, "req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.pem", "-days", "90", "-subj", "/CN=Tests")
    openssl(folder, "req", *key, "-keyout", "server.key", "-out", "server.csr", "-subj", "/CN=localhost")
    (folder / "extensions").write_text(EXTENSIONS)
    sign = ["-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "80", "-extfile", "extensions"]
    openssl(folder, "x509", "-req", "-in", "server.csr", *sign, "-out", "server.pem")


def start(folder: Path) -> OutsideHTTP:
    server = OutsideHTTP(("127.0.0.1", 0))
    server.config.update(
        ssl_enabled=True,
        ssl_certfile=folder / "server.pem",
        ssl_keyfile=folder / "server.key",
        access_log="off",
    )
    # Fields that the page of a site would have; the rest is the server's.
    headers = {"Strict-Transport-Security": "max-age=31536000", "X-Content-Type-Options": "nosniff"}
    server.set_route("/", lambda request: Response(200, headers, "hello"))
    threading.Thread(target=server.run, daemon=True).start()
    assert server.wait_until_ready(20), "not ready in time"
    return server


def main() -> int:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_certificates(folder)
        server = start(folder)
        findings = folder / "findings.json"
        command = ["testssl", "--quiet", "--warnings", "off", "--color", "0", "--openssl", "/usr/bin/openssl"]
        command += ["--add-ca", str(folder / "ca.pem"), "--jsonfile", str(findings), f"localhost:{server.address[1]}"]
        ended = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=1800)
        found = json.loads(findings.read_text()) if findings.exists() else []
        if not any(finding["id"] == "TLS1_3" for finding in found):
            print(ended.stdout)
            print("testssl.sh did not come to an end")
            return 1
        bad = 0
        for finding in found:
            severity = finding["severity"]
            if severity in HARMLESS or finding["id"] in ELSEWHERE or (finding["id"], finding["finding"]) == NO_TICKET:
                continue
            is_bad = severity not in ALLOWED
            bad += is_bad
            print(f"{'  BAD  ' if is_bad else '       '}{severity:9}{finding['id']}: {finding['finding']}")
        server.terminate()
        print(f"{len(found)} findings, {bad} above LOW")
        return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())

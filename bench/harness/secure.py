"""TLS of the bench: one ECDSA certificate for every server, and nginx as it stands in front of others.

nginx is Debian's with OpenSSL, TLS 1.2 and 1.3, its default curves and tickets; towards the server behind it it keeps
connections alive.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable

from . import paths
from .server import free_port

FOLDER = paths.WORK / "tls"
CERTIFICATE, KEY = FOLDER / ".outside/localhost.pem", FOLDER / ".outside/localhost.key"


def make() -> None:
    """Writes the certificate anew: `outside cert` makes an ECDSA key on P-256."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for file in (CERTIFICATE, KEY):
        file.unlink(missing_ok=True)
    subprocess.run(
        [str(paths.OUR_PYTHON), "-m", "outside", "cert", "localhost"], cwd=FOLDER, check=True, stdout=subprocess.DEVNULL
    )


def _configuration(port: int, folder: str, location: str, upstream: str = "") -> str:
    return f"""
worker_processes 1;
daemon off;
pid {folder}/nginx.pid;
error_log stderr warn;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    keepalive_requests 1000000000;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
    {upstream}
    server {{
        listen 127.0.0.1:{port} ssl backlog=4096;
        ssl_certificate {CERTIFICATE};
        ssl_certificate_key {KEY};
        ssl_protocols TLSv1.2 TLSv1.3;
        {location}
    }}
}}
"""


def _write(name: str, text: str) -> list[str]:
    folder = paths.WORK / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "nginx.conf").write_text(text)
    return ["nginx", "-p", str(folder), "-e", "stderr", "-c", str(folder / "nginx.conf")]


def nginx_alone(port: int) -> list[str]:
    """It answers by itself: the cost of handshakes."""
    location = 'location / { default_type text/plain; return 200 "Hello, World!"; }'
    return _write("nginx-tls", _configuration(port, str(paths.WORK / "nginx-tls"), location))


def nginx_before(command: Callable[[int], list[str]]) -> Callable[[int], list[str]]:
    """It ends TLS for a server behind it, on the same core."""

    def start(port: int) -> list[str]:
        behind = free_port()
        upstream = f"upstream behind {{ server 127.0.0.1:{behind}; keepalive 128; keepalive_requests 1000000000; }}"
        location = 'location / { proxy_pass http://behind; proxy_http_version 1.1; proxy_set_header Connection ""; }'
        name = "nginx-tls-front"
        nginx = _write(name, _configuration(port, str(paths.WORK / name), location, upstream))
        # Both belong to one session, whose processes are all weighed and all ended.
        script = "import json, os, subprocess, sys; behind, nginx = json.loads(sys.argv[1]); subprocess.Popen(behind); "
        return [sys.executable, "-c", script + "os.execvp(nginx[0], nginx)", json.dumps([command(behind), nginx])]

    return start

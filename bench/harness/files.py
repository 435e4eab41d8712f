"""The files that the workloads of files ask for, and the configurations of peers that serve files and read one.

nginx is set up as its users do for fast files: sendfile, the head and the beginning of the file in one packet, descriptors
kept open, precompressed siblings looked for (as ours does), no access log, one worker.
"""

from __future__ import annotations

import os
import random
import subprocess

from . import paths

# Name and size in bytes.
SIZES = {"1k.txt": 1024, "100k.bin": 100 * 1024, "100m.bin": 100_000_000}


def make() -> None:
    """Writes those that are missing; their content is the same everywhere."""
    paths.FILES.mkdir(parents=True, exist_ok=True)
    for name, size in SIZES.items():
        path = paths.FILES / name
        if path.exists() and path.stat().st_size == size:
            continue
        if name.endswith(".txt"):
            path.write_bytes((b"All work and no play makes Jack a dull boy.\n" * size)[:size])
        else:
            path.write_bytes(random.Random(20261122).randbytes(size))


def certificate() -> tuple[str, str]:
    """The paths of a certificate and its key (ECDSA, P-256), which are made once."""
    if not paths.CERTIFICATE.exists():
        paths.WORK.mkdir(parents=True, exist_ok=True)
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "3650",
             "-keyout", paths.KEY, "-out", paths.CERTIFICATE, "-subj", "/CN=localhost"],
            check=True, capture_output=True,
        )  # fmt: skip
    return str(paths.CERTIFICATE), str(paths.KEY)


def nginx_tls(port: int) -> list[str]:
    """The same with TLS and HTTP/2."""
    certificate_file, key_file = certificate()
    return nginx(port, f"ssl_certificate {certificate_file};\n        ssl_certificate_key {key_file};")


def nginx(port: int, tls: str = "") -> list[str]:
    """Its command, after its configuration was written."""
    folder = paths.WORK / ("nginx-tls" if tls else "nginx")
    folder.mkdir(parents=True, exist_ok=True)
    # Started by root its worker would be another user, without permission to enter the folder.
    user = "user root;" if os.geteuid() == 0 else ""
    temporary = "".join(
        f"{kind}_temp_path {folder}/{kind};\n    " for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    configuration = folder / "nginx.conf"
    configuration.write_text(f"""{user}
worker_processes 1;
daemon off;
pid {folder}/nginx.pid;
error_log stderr warn;
events {{
    worker_connections 1024;
}}
http {{
    {temporary}access_log off;
    sendfile on;
    tcp_nopush on;
    tcp_nodelay on;
    keepalive_timeout 75;
    keepalive_requests 1000000000;
    open_file_cache max=10000 inactive=60s;
    gzip_static on;
    types {{
        text/plain txt;
        application/octet-stream bin;
    }}
    charset utf-8;
    server {{
        listen 127.0.0.1:{port}{" ssl http2" if tls else ""};
        {tls}
        location / {{
            return 404;
        }}
        location /static/ {{
            alias {paths.FILES}/;
        }}
    }}
}}
""")
    return ["nginx", "-p", str(folder), "-e", "stderr", "-c", str(configuration)]


def caddy(port: int) -> list[str]:
    """Its command, after its configuration was written: no admin port, no log of accesses (it has none unless asked)."""
    folder = paths.WORK / "caddy"
    folder.mkdir(parents=True, exist_ok=True)
    configuration = folder / "Caddyfile"
    configuration.write_text(f"""{{
    admin off
    auto_https off
}}
http://127.0.0.1:{port} {{
    handle_path /static/* {{
        root * {paths.FILES}
        file_server {{
            precompressed zstd br gzip
        }}
    }}
}}
""")
    return ["caddy", "run", "--config", str(configuration), "--adapter", "caddyfile"]

"""Where a container gives nothing: a root that is read-only, no writable folder at all, a user without a name, no HOME; as process 1."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

import pytest

from support.harness import ROOT, Script
from support.subprocesses import run_process
from support.wire import fetch

PROGRAM = """\
import os, sys, tempfile
from outside import OutsideHTTP
server = OutsideHTTP(("127.0.0.1", 0))
server.config.update(processes=int(sys.argv[1]), access_log="json", secret="0123456789abcdef0123456789abcdef",
                     ready_route="/ready", max_worker_memory_mb=None if sys.argv[1] == "1" else 4000)
def state(request):
    try:
        tempfile.gettempdir()
        has_folder = True
    except FileNotFoundError:
        has_folder = False
    return {"pid": os.getpid(), "uid": os.getuid(), "home": os.environ.get("HOME"), "folder": has_folder}
server.set_route("/", state)
server.set_route("/upload", lambda request: str(len(request.content)))
server.run()
"""

# Every mount becomes read-only, in a namespace of its own; then the user is one without a name. If Python lies in a folder that is
# closed to others, as a home is, it gets a way there.
BARE = """\
set -e
base=$1; shift
closed=$(path=$base; found=; while [ "$path" != / ]; do [ -z "$(find "$path" -maxdepth 0 ! -perm -o=x)" ] || found=$path
    path=$(dirname "$path"); done; echo "$found")
if [ -n "$closed" ]; then
    mount --bind "$base" /mnt; mount -t tmpfs -o mode=755 none "$closed"; mkdir -p "$base"; mount --bind /mnt "$base"; umount /mnt
fi
awk '{print $5}' /proc/self/mountinfo | sort -u | while read -r place; do
    case $place in /proc|/proc/*|/sys|/sys/*|/dev|/dev/*) ;; *) mount -o remount,bind,ro "$place" 2>/dev/null || true;; esac
done
for place in /dev/shm /dev/mqueue; do mount -o remount,bind,ro "$place" 2>/dev/null || true; done
exec setpriv --reuid 51234 --regid 51234 --clear-groups "$@"
"""


def start(folder: Path, processes: int) -> Script:
    inside = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
    tried = run_process([*inside, "sh", "-c", BARE, "sh", sys.base_prefix, "true"], capture_output=True, check=False)
    if tried.returncode:
        pytest.skip(f"needs unshare and setpriv, and the right to use them: {tried.stderr!r}")
    (folder / "program.py").write_text(PROGRAM)
    # Its folders are closed to other users; a container has its program in the root.
    for parent in (folder, *folder.parents):
        if parent.stat().st_mode & 0o5 != 0o5 and os.stat(parent).st_uid == os.getuid():
            parent.chmod(parent.stat().st_mode | 0o5)
    kept = ("PATH", "LD_LIBRARY_PATH")
    environment = {name: os.environ[name] for name in kept if name in os.environ} | {"PYTHONPATH": str(ROOT / "python")}
    wrapped = [
        "env",
        "-i",
        *(f"{name}={value}" for name, value in environment.items()),
        *inside,
        "sh",
        "-c",
        BARE,
        "sh",
        sys.base_prefix,
    ]
    return Script(
        "-W", "error", str(folder / "program.py"), str(processes), program=[*wrapped, sys.executable], folder=Path("/")
    )


def inner(script: Script) -> int:
    """The server: the only child of `unshare`, outside of its namespace."""
    (child,) = Path(f"/proc/{script.process.pid}/task/{script.process.pid}/children").read_text().split()
    return int(child)


@pytest.mark.parametrize("processes", [1, 2])
def test_it_starts_serves_reloads_and_ends_without_a_warning(tmp_path: Path, processes: int):
    script = start(tmp_path, processes)
    seen = json.loads(fetch(script.address).text)
    assert (seen["uid"], seen["home"], seen["folder"]) == (51234, None, False)
    assert seen["pid"] == 1 or processes == 2
    assert fetch(script.address, "/ready").text == "ok\n"
    assert fetch(script.address, "/upload", "POST", body=b"x" * 100_000).text == "100000"
    os.kill(inner(script), signal.SIGHUP)
    while json.loads(fetch(script.address).text)["pid"] in (1, seen["pid"]):
        pass
    # Content that would go to a file has no place; the client is told, and the server goes on.
    assert fetch(script.address, "/upload", "POST", body=b"x" * (8 << 20)).status in (500, 503, 507)
    assert fetch(script.address, "/ready").text == "ok\n"
    os.kill(inner(script), signal.SIGTERM)
    assert script.wait() == 0, script.errors
    events = [entry["event"] for line in script.errors.splitlines() if "event" in (entry := json.loads(line))]
    assert all("spool" in event or "temporary" in event or "content" in event for event in events), events

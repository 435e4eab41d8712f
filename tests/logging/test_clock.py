"""`clock_backwards`: the clock of the machine is set back by a day, and forth by two, while a server serves.

A small library in front of the C library adds an offset to the time of day, which the test writes into a file.
"""

from __future__ import annotations

import json
import mmap
import shutil
import struct
from email.utils import parsedate_to_datetime
from pathlib import Path

import pytest

from support.harness import Script, wait_until
from support.subprocesses import run_process
from support.wire import Wire, request_bytes

SHIM = """\
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static long offset(void) {
    static volatile long *shared;
    if (!shared) {
        int file = open(getenv("CLOCK_OFFSET"), O_RDONLY | O_CLOEXEC);
        void *there = mmap(0, sizeof(long), PROT_READ, MAP_SHARED, file, 0);
        close(file);
        if (there == MAP_FAILED) return 0;
        shared = there;
    }
    return *shared;
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
    int result = real(clock, now);
    if (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE) now->tv_sec += offset();
    return result;
}

time_t time(time_t *there) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (there) *there = now.tv_sec;
    return now.tv_sec;
}
"""

PROGRAM = """\
import time
from outside import OutsideHTTP
server = OutsideHTTP(("127.0.0.1", 0))
server.config.update(access_log="json", secret="0123456789abcdef0123456789abcdef", process_timeout=20, ready_route="/ready")
@server.get("/")
def hello(request):
    time.sleep(0.05)  # the clock is set within a handler too
    return [time.time(), request.id]
server.run()
"""
DAY = 86_400


def test_clock_backwards(tmp_path: Path):
    if shutil.which("cc") is None:
        pytest.skip("needs a C compiler")
    (tmp_path / "shim.c").write_text(SHIM)
    shim, shared = tmp_path / "shim.so", tmp_path / "offset"
    built = run_process(["cc", "-shared", "-fPIC", "-o", str(shim), str(tmp_path / "shim.c"), "-ldl"], capture_output=True)
    assert built.returncode == 0, built.stderr
    shared.write_bytes(bytes(8))
    with shared.open("r+b") as file, mmap.mmap(file.fileno(), 8) as offset:
        script = Script("-c", PROGRAM, environment={"LD_PRELOAD": str(shim), "CLOCK_OFFSET": str(shared)})
        with Wire(script.address) as wire, Wire(script.address) as other:
            dates, asked = [], 0
            for moved in (0, -DAY, -2 * DAY, DAY, -DAY, 0):
                offset[:] = struct.pack("q", moved)
                answer = wire.send(request_bytes("/")).receive_answer()
                assert answer.status == 200
                date, seen = parsedate_to_datetime(answer.header("Date")).timestamp(), json.loads(answer.text)[0]
                assert abs(date - seen) < 5, "the field is that of the clock as it is now"
                dates.append(seen - moved)
                # The clock moves while a handler runs, and while a connection is idle: neither is timed by it.
                wire.send(request_bytes("/"))
                offset[:] = struct.pack("q", moved - DAY)
                assert wire.receive_answer().status == 200
                assert other.send(request_bytes("/ready")).receive_answer().text == "ok\n"
                asked += 3
        assert max(dates) - min(dates) < 60
        wait_until(lambda: script.process.poll() is None)
        assert script.stop() == 0
    entries = [json.loads(line) for line in script.errors.splitlines()]
    assert [entry["status"] for entry in entries] == [200] * asked, script.errors
    for entry in entries:
        assert 0 <= entry["microseconds"] < 10_000_000, entry
    days = {entry["time"][:10] for entry in entries}
    assert len(days) >= 4

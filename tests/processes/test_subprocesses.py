"""The processes of the tests have default signals, even where the tests run under `nohup` or in the background."""

from __future__ import annotations

import signal
import subprocess
import sys

from support.harness import TESTS
from support.subprocesses import run_process, start_process

CHILD = "import signal; print([signal.getsignal(n).name for n in (1, 3)], signal.getsignal(2) is signal.default_int_handler)"
IGNORING = f"""
import signal, sys

sys.path.insert(0, {str(TESTS)!r})
for signum in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT):
    signal.signal(signum, signal.SIG_IGN)
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])

from support.subprocesses import hand_on_default_signals, start_process

hand_on_default_signals()
signal.raise_signal(signal.SIGHUP)
start_process([sys.executable, "-c", {CHILD!r}]).wait()
child = start_process(["sleep", "60"])
child.terminate()
print("ended by", child.wait())
"""


def test_ignored_and_blocked_signals_are_not_handed_on():
    done = run_process([sys.executable, "-u", "-c", IGNORING], capture_output=True, text=True, timeout=60)
    assert done.stdout.splitlines() == ["['SIG_DFL', 'SIG_DFL'] True", "ended by -15"], done.stderr


def test_a_process_that_a_test_starts_can_be_interrupted():
    with start_process(["sleep", "60"], stdout=subprocess.DEVNULL) as process:
        process.send_signal(signal.SIGHUP)
        assert process.wait(60) == -signal.SIGHUP

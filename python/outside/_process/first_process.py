"""Process 1 of a container, which must outlive every generation: when it ends, all others are killed.

It forks the first supervisor and stays behind: it passes signals on to the supervisor of the generation that serves, takes the
exit status of processes that nobody else waits for, and ends with the status of the last supervisor. Elsewhere it does nothing.
"""

import os
import signal

from .fork import flush, fork, release

# The environment variable that hands the descriptor from one generation to the next.
NAME = "OUTSIDE_FIRST"

# To process 1; `None` if that is none of ours.
descriptor: int | None = None

_PASSED_ON = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2}


def stay_behind(listeners: list[int]) -> None:
    """In process 1: goes on in a child, and does not return in this one. In others: finds the way to process 1."""
    from .generation import inherited_descriptor

    global descriptor
    descriptor = inherited_descriptor(NAME)
    if os.getpid() != 1:
        return
    hearing, telling = os.pipe()
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {*_PASSED_ON, signal.SIGCHLD})
    pid, _ = fork(())
    if pid == 0:
        os.close(hearing)
        descriptor = telling
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        return
    status = 1
    try:
        os.close(telling)
        release(listeners)
        os.set_blocking(hearing, False)
        status = _pass_on(pid, hearing)
    finally:
        flush()
        os._exit(status)


def hand_over(pid: int) -> None:
    """From now on signals are for the supervisor of the next generation."""
    if descriptor is not None:
        os.write(descriptor, b"%d\n" % pid)


def _pass_on(pid: int, hearing: int) -> int:
    said = b""
    while True:
        signum = signal.sigwait({*_PASSED_ON, signal.SIGCHLD})
        # Said before the old supervisor ends, so that its end is not taken for the end of all.
        try:
            while more := os.read(hearing, 4096):
                said += more
        except BlockingIOError:
            pass
        *lines, said = said.split(b"\n")
        pid = int(lines[-1]) if lines else pid
        if signum != signal.SIGCHLD:
            _kill(pid, signum)
        while (ended := _wait_for_any())[0]:
            if ended[0] == pid:
                status = os.waitstatus_to_exitcode(ended[1])
                return status if status >= 0 else 128 - status


def _kill(pid: int, signum: int) -> None:
    try:
        os.kill(pid, signum)
    except ProcessLookupError:
        pass  # its end will be heard of


def _wait_for_any() -> tuple[int, int]:
    try:
        return os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        return 0, 0

"""Each case of the corpus is one test: bytes in, bytes out, and whether the connection stays open.

After the case's own bytes a request follows that must be answered when the connection is to stay open (so it is still
in step), and must not be when it is to close: nothing behind a refusal is read as a request.
"""

from __future__ import annotations

import pytest

from support.corpus_reader import Case, all_cases
from support.wire import Wire, parse_all

PROBE = b"GET /target/probe?in=step HTTP/1.1\r\nHost: probe\r\nConnection: close\r\n\r\n"
PROBED = b"/target/probe\nin=step"
CASES = all_cases()


def play(case: Case, address: tuple, piece: int | None = None) -> None:
    """Takes the steps of one case against the application at `address`; sends `piece` bytes at a time, if given."""
    with Wire(address) as wire:
        ended = False
        for kind, data in case.steps:
            if kind == "send":
                for start in range(0, len(data), piece or len(data)):
                    wire.send_if_possible(data[start : start + (piece or len(data))])
            elif kind == "expect":
                assert wire.receive_exactly(data) == data
            elif kind == "end":
                wire.send_end()
                ended = True
        if not ended:
            wire.send_if_possible(PROBE)
        answers = parse_all(wire.receive_rest())
    if case.stays_open:
        assert answers, "closed instead of staying open"
        probe = answers.pop()
        assert (probe.status, probe.body) == (200, PROBED), "out of step"
    statuses = [answer.status for answer in answers]
    wanted = [] if case.is_transcript else case.statuses
    assert _agree(statuses, wanted), f"answered {statuses}, the verdict is {' '.join(wanted) or 'nothing'}"


def _agree(statuses: list[int], wanted: list[str]) -> bool:
    """Whether statuses match verdict words such as 200, 400|501 and 400?"""
    if not wanted:
        return not statuses
    word = wanted[0]
    if word.endswith("?") and _agree(statuses, wanted[1:]):
        return True
    return bool(statuses) and str(statuses[0]) in word.rstrip("?").split("|") and _agree(statuses[1:], wanted[1:])


def test_the_corpus_is_large_enough() -> None:
    assert sum(not case.is_transcript for case in CASES) >= 220
    assert sum(case.is_transcript for case in CASES) >= 30


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.title.replace("§", "section "))
def test_case(case: Case, app_address: tuple) -> None:
    play(case, app_address)


@pytest.mark.parametrize("piece", [1, 7])
@pytest.mark.parametrize("place", sorted({case.place.partition(":")[0] for case in CASES}))
def test_answers_do_not_depend_on_how_bytes_travel(place: str, piece: int, app_address: tuple) -> None:
    for case in CASES:
        size = sum(len(data) for kind, data in case.steps if kind == "send")
        if case.place.startswith(place + ":") and size < 2000:
            try:
                play(case, app_address, piece)
            except AssertionError as error:
                raise AssertionError(f"{case.title} ({case.place}): {error}") from error

"""Load on hosted applications: clients that keep their connections as long as the server wants, and miss no answer."""

from __future__ import annotations

import threading
from collections import Counter

from support.wire import Wire, request_bytes


class Load:
    """Clients that ask one request after another until `stop()`. An answer that does not come, or a wrong one, is a loss."""

    def __init__(self, address: tuple, target: str = "/", clients: int = 4, fresh: bool = False) -> None:
        self.address = address
        self.target = target
        # Whether each request has a connection of its own.
        self.fresh = fresh
        self.answers: Counter[str] = Counter()
        self.losses: list[str] = []
        self.count = 0
        self._changed = threading.Condition()
        self._ends = False
        self._threads = [threading.Thread(target=self._ask, daemon=True) for _ in range(clients)]
        for thread in self._threads:
            thread.start()

    def _ask(self) -> None:
        wire: Wire | None = None
        while not self._ends:
            try:
                wire = wire or Wire(self.address)
                answer = wire.send(request_bytes(self.target)).receive_answer()
                if answer.status != 200:
                    self.losses.append(f"{answer.status} {answer.body[:100]!r}")
                if self.fresh or (answer.header("Connection") or "").lower() == "close":
                    wire.close()
                    wire = None
                with self._changed:
                    self.answers[answer.text] += 1
                    self.count += 1
                    self._changed.notify_all()
            except (OSError, AssertionError) as error:
                self.losses.append(repr(error)[:300])
                return
        if wire is not None:
            wire.close()

    def wait_for(self, count: int, seconds: float = 60) -> None:
        """Until so many more answers have come."""
        with self._changed:
            wanted = self.count + count
            assert self._changed.wait_for(lambda: self.losses or self.count >= wanted, seconds), f"{self.count} answers"
        assert not self.losses, self.losses

    def wait_for_kinds(self, kinds: int, seconds: float = 60) -> None:
        """Until so many different answers have come."""
        with self._changed:
            came = self._changed.wait_for(lambda: self.losses or len(self.answers) >= kinds, seconds)
            assert came, f"{self.answers}"
        assert not self.losses, self.losses

    def stop(self) -> None:
        self._ends = True
        for thread in self._threads:
            thread.join(60)
        assert not self.losses, self.losses

"""Medians, and how far they can be trusted.

Absolute times do not hold on a machine that others use; the ratio of two servers measured one after the other does.
So each round gives one ratio, and the median over the rounds is reported with a 95 % interval: the 2.5th and 97.5th
percentile of the medians of 10,000 bootstrap samples (rounds drawn with replacement, from a fixed seed).
"""

from __future__ import annotations

import random
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

SAMPLES = 10_000


@dataclass(frozen=True)
class Estimate:
    median: float
    low: float
    high: float
    count: int

    def as_dict(self) -> dict:
        return {"median": self.median, "low": self.low, "high": self.high, "rounds": self.count}


def estimate(values: Sequence[float]) -> Estimate:
    """The median of `values` (at least one) and its 95 % bootstrap interval."""
    generator = random.Random(20261122)
    medians = sorted(statistics.median(generator.choices(values, k=len(values))) for _ in range(SAMPLES))
    low, high = medians[int(SAMPLES * 0.025)], medians[int(SAMPLES * 0.975) - 1]
    return Estimate(statistics.median(values), low, high, len(values))


def paired(ours: dict[int, dict], theirs: dict[int, dict], key: str) -> Estimate | None:
    """The estimate of ours divided by theirs over the rounds (round number -> result) that have both."""
    values = [
        ours[number][key] / theirs[number][key] for number in sorted(ours.keys() & theirs.keys()) if theirs[number].get(key)
    ]
    return estimate(values) if values else None

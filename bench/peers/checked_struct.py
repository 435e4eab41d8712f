"""The models of a validated body, for the servers that use msgspec."""

import msgspec


class Reading(msgspec.Struct):
    id: int
    name: str
    value: float
    valid: bool
    tag: str | None = None


class Station(msgspec.Struct):
    title: str
    station: str
    rows: list[Reading]

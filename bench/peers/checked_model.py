"""The models of a validated body, for the servers that use pydantic."""

from pydantic import BaseModel


class Reading(BaseModel):
    id: int
    name: str
    value: float
    valid: bool
    tag: str | None = None


class Station(BaseModel):
    title: str
    station: str
    rows: list[Reading]

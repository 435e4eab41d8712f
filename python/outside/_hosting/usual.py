"""Defaults of the configuration that mean something else than the same number does when a program has set it."""


class Usual(int):
    """A default. Applications of other interfaces, which have bounds of their own, are bound by such a number only if it was set."""

    __slots__ = ()

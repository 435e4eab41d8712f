"""Where the helpers lived in outside 1.5.8; kept so that old imports work. New code imports from `outside`."""

from ._outside import get_insensitive_header

__all__ = ["get_insensitive_header"]

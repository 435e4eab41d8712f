"""Jinja2's environment, quicker with rows that are dictionaries. Imported by `templates.py` when there is a `Templates`."""

from __future__ import annotations

from typing import Any

import jinja2

# Jinja2 looks for an attribute first, then for a key: `row.items` is the method even where there is such a key.
_ATTRIBUTES = frozenset(dir(dict))


class Environment(jinja2.Environment):
    """With the results of `jinja2.Environment`, for the same templates."""

    def getattr(self, obj: Any, attribute: str) -> Any:
        # A plain dictionary has no attributes but these. Jinja2 would raise and catch an AttributeError for each value of a row,
        # which takes half of the time of a page with a table.
        if type(obj) is dict and attribute not in _ATTRIBUTES:
            try:
                return obj[attribute]
            except KeyError:
                return self.undefined(obj=obj, name=attribute)
        return super().getattr(obj, attribute)

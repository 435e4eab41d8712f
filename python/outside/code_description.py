"""Where the reason phrases lived in outside 1.5.8; kept so that old imports work. New code imports from `outside`.

`code_info` is the table behind `get_description`: every status code that has a phrase, in order.
"""

from ._outside import get_description, status_codes

code_info: dict[int, str] = dict(status_codes())

__all__ = ["code_info", "get_description"]

"""Where the reason phrases lived in outside 1.5.8; kept so that old imports work. New code imports from `outside`.

`code_info` is the table behind `get_description`: every status code that has a phrase, in order.
"""

from ._outside import get_description

code_info: dict[int, str] = {
    code: phrase for code in range(100, 600) if (phrase := get_description(code)) != "Unknown"
}

__all__ = ["code_info", "get_description"]

"""Where the HTTP names lived in outside 1.5.8; kept so that old imports work. New code imports from `outside`."""

from ._outside import (
    FilePath,
    OutsideHTTP_Redirect,
    Request,
    Response,
    ResponseCookie,
    ScheduledResponse,
)
from ._server import OutsideHTTP

__all__ = [
    "FilePath",
    "OutsideHTTP",
    "OutsideHTTP_Redirect",
    "Request",
    "Response",
    "ResponseCookie",
    "ScheduledResponse",
]

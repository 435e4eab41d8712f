"""The loggers `outside` and `outside.access`: their records, the ids of requests in every record, and lines of JSON.

`logging.config` disables every logger that exists and is not named, unless it is told otherwise: the errors of handlers
would vanish because of a configuration that was written for something else. Levels and filters count as ever.

A record of a request, whichever logger makes it, has its ids: `request_id`, `trace_id` and `span_id`, "-" outside of requests.
They are looked for when a record is made, so a request that logs nothing pays nothing for them.
"""

import json
import logging
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from typing import Any

from . import _outside
from ._outside import Request

_Ids = tuple[str, str, str]

# The request of this context: set where functions around handlers are called.
CURRENT: ContextVar[Request | None] = ContextVar("outside.request", default=None)
# What has the ids of the request of this context, where no such function is called: of asynchronous handlers and streams.
LOGGED: ContextVar[Any] = ContextVar("outside.logged", default=None)

_NONE: _Ids = ("-", "-", "-")
# In the context of the engine's own thread, so that nothing is looked for.
_WITHOUT_REQUEST = object()
_NAMES = ("request_id", "trace_id", "span_id")


def _keep_enabled(name: str) -> logging.Logger:
    logger = logging.getLogger(name)
    kind = type(logger)
    # A data descriptor comes before the attributes of the instance.
    logger.__class__ = type(kind.__name__, (kind,), {"disabled": property(lambda _: False, lambda _, value: None)})
    return logger


logger = _keep_enabled("outside")
access_logger = _keep_enabled("outside.access")


def ids_here() -> _Ids:
    """The ids of the request that this code is called for."""
    request = CURRENT.get()
    if request is None:
        request = LOGGED.get()
    if request is None:
        request = _outside._request_of_thread(threading.get_ident())
    if request is None or request is _WITHOUT_REQUEST:
        return _NONE
    _, trace, span, _ = request.traceparent.split("-")
    return request.id, trace, span


def add_ids() -> None:
    """Has every record of this process get the ids of its request, by a factory around the one that is set."""
    before = logging.getLogRecordFactory()
    if getattr(before, "adds_ids_of_outside", False) or _has_ids(before):
        return

    def factory(*arguments: Any, **named: Any) -> logging.LogRecord:
        record = before(*arguments, **named)
        if "request_id" not in record.__dict__:
            record.__dict__.update(zip(_NAMES, ids_here(), strict=True))
        return record

    factory.adds_ids_of_outside = True  # type: ignore[attr-defined]
    logging.setLogRecordFactory(factory)


def _has_ids(factory: Callable[..., logging.LogRecord]) -> bool:
    """Whether records have ids already, because the factory is around ours."""
    try:
        return "request_id" in factory("outside", logging.DEBUG, "outside", 0, "", (), None).__dict__
    except Exception:
        return False  # a factory of the program, which is called with its own records as ever


def begin(is_json: bool) -> bool:
    """At the start of a server: whether `logging` has handlers for `outside.access`. `is_json`: where it has none for `outside`,
    events are lines of JSON on standard error."""
    add_ids()
    own = [handler for handler in logger.handlers if isinstance(handler, JSONLines)]
    if is_json and not own:
        logger.addHandler(JSONLines())
    for handler in own if not is_json else ():
        logger.removeHandler(handler)
    return _is_configured(access_logger)


def _is_configured(here: logging.Logger | None) -> bool:
    while here is not None:
        if any(not isinstance(handler, JSONLines) for handler in here.handlers):
            return True
        here = here.parent if here.propagate else None
    return False


def event(level: int, text: str, ids: _Ids | None = None, error: BaseException | None = None) -> None:
    """Logs a sentence of the engine. Its record names no file of Python, because the engine has none."""
    if not logger.isEnabledFor(level):
        return
    error_info = None if error is None else (type(error), error, error.__traceback__)
    record = _record(logger, level, text, error_info)
    if ids is not None:
        record.__dict__.update(zip(_NAMES, ids, strict=True))
    logger.handle(record)


def access(names: Sequence[str], records: list[tuple[str, tuple[Any, ...]]]) -> None:
    """Hands lines of the access log on, each as a record with its fields as attributes."""
    if not access_logger.isEnabledFor(logging.INFO):
        return
    LOGGED.set(_WITHOUT_REQUEST)
    names = [name.replace(":", "_").replace("-", "_") for name in names]
    fault: BaseException | None = None
    for line, values in records:
        record = _record(access_logger, logging.INFO, line, None)
        for name, value in zip(names, values, strict=True):
            if value is not None or name not in _NAMES:
                record.__dict__[name] = value
        try:
            access_logger.handle(record)
        except Exception as error:  # of a filter: the other lines are not lost
            fault = error
    if fault is not None:
        traceback.print_exception(fault, file=sys.stderr)


def _record(of: logging.Logger, level: int, text: str, error_info: Any) -> logging.LogRecord:
    return of.makeRecord(of.name, level, "outside", 0, "%s", (text,), error_info, "engine")


class JSONLines(logging.Handler):
    """Writes events to standard error, one JSON object a line, unless a handler of the program's own has them. As long as `logging`
    is not configured, what is below a warning is not shown; nor is it here."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)

    def emit(self, record: logging.LogRecord) -> None:
        if _is_configured(logger):
            return
        try:
            sys.stderr.write(json_line(record) + "\n")
            sys.stderr.flush()
        except Exception:
            self.handleError(record)


def json_line(record: logging.LogRecord) -> str:
    """A record as a JSON object in one line."""
    moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(record.created))
    line: dict[str, Any] = {"time": moment, "level": record.levelname.lower(), "event": record.getMessage()}
    if record.name != logger.name:
        line["logger"] = record.name
    if record.exc_info and record.exc_info[0] is not None:
        line["exception"] = "".join(traceback.format_exception(*record.exc_info)).rstrip("\n")
    for name in _NAMES:
        if (value := getattr(record, name, "-")) != "-":
            line[name] = value
    return json.dumps(line)


class JSONFormatter(logging.Formatter):
    """Formats records as JSON objects, one a line, for handlers that a program has set up itself: the server's events and the
    program's own records alike. A line of the access log that is JSON already (`config["access_log"] = "json"`) stays as it is.
    """

    def format(self, record: logging.LogRecord) -> str:
        if record.name == access_logger.name and (line := record.getMessage()).startswith("{"):
            return line
        return json_line(record)

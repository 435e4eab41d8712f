"""The loggers `outside` and `outside.access`, which no configuration silences that does not name them.

`logging.config` disables every logger that exists and is not named, unless it is told otherwise: the errors of handlers
would vanish because of a configuration that was written for something else. Levels and filters count as ever.
"""

import logging


def _keep_enabled(name: str) -> logging.Logger:
    logger = logging.getLogger(name)
    kind = type(logger)
    # A data descriptor comes before the attributes of the instance.
    logger.__class__ = type(kind.__name__, (kind,), {"disabled": property(lambda _: False, lambda _, value: None)})
    return logger


logger = _keep_enabled("outside")
access = _keep_enabled("outside.access")

"""A server of several processes whose certificates come from an authority: `python certificate_app.py SETTINGS.json`.

The log is printed; `/worker` is answered with the process, `/child` with one that it forks.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
from pathlib import Path

from outside import OutsideHTTP

settings = json.loads(Path(sys.argv[1]).read_text())
logging.basicConfig(stream=sys.stdout, level="INFO", format="%(levelname)s %(process)d %(message)s")
server = OutsideHTTP(tuple(settings.pop("host")))
server.config.update({"access_log": "off", "termination_timeout": 5, "drain_idle": 0, **settings})
server.set_route("/worker", lambda request: str(os.getpid()))


def child(request):
    """A process that lives on; its number."""
    pid = os.fork()
    if pid == 0:
        signal.pause()
    return str(pid)


server.set_route("/child", child)
server.run()

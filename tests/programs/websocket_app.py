"""Echoes in three styles, in a process of their own; each end is printed. With `silent` neither end nor client has to say
anything: no ends are printed, and no client is pinged."""

from __future__ import annotations

import resource
import sys
from pathlib import Path

from outside import OutsideHTTP

sys.path.insert(0, str(Path(__file__).parents[1]))  # where the package `support` lies
from support.websocket_styles import ASYNC, BLOCKING, CALLBACKS, websocket

is_silent = "silent" in sys.argv
server = OutsideHTTP(("127.0.0.1", 0))
server.config.update({"access_log": "off", "termination_timeout": 5})
if is_silent:
    # Half of all connections otherwise, which is less than tests open.
    places = min(resource.getrlimit(resource.RLIMIT_NOFILE)[1] * 4 // 5, 50_000)
    server.config.update({"max_connections": places, "max_websocket_connections": places})
for style in (BLOCKING, ASYNC, CALLBACKS):
    made = websocket(style, max_message=16 << 20, deflate=True, ping_interval=600 if is_silent else 25)
    if not is_silent:
        made.on_exit(lambda connection, style=style: print("exit", style, connection.close_code, flush=True))
    server.set_route(f"/{style}", made)
server.run()

"""A validated body on this project's server: `outside_checked_app.py PORT`. `/pydantic` has pydantic's models, `/msgspec` those of
msgspec. Else as `outside_routes_app.py`.
"""

import sys

import checked_struct
from checked_model import Station

from outside import OutsideHTTP

server = OutsideHTTP(("127.0.0.1", int(sys.argv[1])))
server.config["access_log"] = "off"
server.config["max_socket_reuse"] = 1_000_000_000


@server.post("/pydantic")
def by_pydantic(station: Station):
    return {"title": station.title, "rows": len(station.rows), "last": station.rows[-1].name}


@server.post("/msgspec")
def by_msgspec(station: checked_struct.Station):
    return {"title": station.title, "rows": len(station.rows), "last": station.rows[-1].name}


server.run()

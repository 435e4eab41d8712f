"""Pages of templates and sessions on this project's server: `outside_layer_app.py PORT`. Else as `outside_routes_app.py`."""

import sys

from layer_data import ROWS, SECRET, TITLE

from outside import OutsideHTTP, Templates

server = OutsideHTTP(("127.0.0.1", int(sys.argv[1])))
server.config["access_log"] = "off"
server.config["max_socket_reuse"] = 1_000_000_000
server.config["secret"] = SECRET
templates = Templates("templates")


@server.get("/page")
def page():
    return templates("rows.html", title=TITLE, rows=ROWS)


@server.get("/session")
def session(request):
    request.session["count"] = count = request.session.get("count", 0) + 1
    return {"count": count}


server.run()

"""Decorated routes on this project's server: `outside_routes_app.py PORT`.

Everything at its default but the port, the access log, which is off as the peers have it, and the bound of requests on a
connection, which no peer has switched on.
"""

import sys

from outside import OutsideHTTP, Response

TEXT = {"Content-Type": "text/plain"}

server = OutsideHTTP(("127.0.0.1", int(sys.argv[1])))
server.config["access_log"] = "off"
server.config["max_socket_reuse"] = 1_000_000_000


@server.get("/hello")
async def hello(request):
    return Response(200, TEXT, "Hello, World!")


@server.get("/users/<int:id>")
def user(id):
    return {"id": id, "name": f"User {id}", "active": True}


@server.post("/upload")
def upload(request):
    file = request.files["file"]
    return {"title": request.form["title"], "name": file.name, "size": file.size}


server.run()

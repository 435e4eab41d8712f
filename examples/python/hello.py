"""The quick start: what `make run` serves.

$ curl http://127.0.0.1:8080/hello
"""

from outside import OutsideHTTP, Request, Response

# Create an HTTP server instance
server = OutsideHTTP(("127.0.0.1", 8080))


# Define a simple route handler
def hello_world(request: Request) -> Response:
    return Response(
        status_code=200,
        headers={"Content-Type": "text/plain"},
        content="Hello, World!",
    )


# Add the route to the server
server.set_route("/hello", hello_world)

# Start the server
server.run()

"""The quick start of 1.5.8, with the import that it forgot."""

from outside import OutsideHTTP
from outside.protocol_http import Response

# Create an HTTP server instance
server = OutsideHTTP(("127.0.0.1", 8080))


# Define a simple route handler
def hello_world(request):
    return Response(
        status_code = 200,
        headers = {"Content-Type": "text/plain"},
        content = "Hello, World!"
    )  # fmt: skip


# Add the route to the server
server.set_route("/hello", hello_world)

# Start the server
server.run()

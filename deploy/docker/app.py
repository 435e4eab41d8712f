"""The program of the image: what you have instead of it."""

from outside import OutsideHTTP

server = OutsideHTTP(("127.0.0.1", 8080))


@server.get("/")
def hello():
    return "Hello!"

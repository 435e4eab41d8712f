"""A program of 1.5.8 with everything that it had: all keys, error handlers, cookies, JSON, parameters, hooks."""

from outside import OutsideHTTP
from outside.protocol_http import Response, ResponseCookie
from outside.utility import get_insensitive_header

orders = []


def order(request):
    wanted = request.json()
    if wanted is None:
        return 400, "That is no JSON."
    orders.append(wanted["article"])
    cookie = ResponseCookie(str(len(orders)), 3600, None, True, False, "/", "Lax")
    return Response(status_code=200, headers={}, content={"number": len(orders)}, cookies={"order": cookie})


def show(request):
    language = get_insensitive_header(request.headers, "accept-language")
    number = request.cookies.get("order", "none")
    lines = [request.method, request.url, str(request.params), str(language), number, request.address[0]]
    return Response(200, {"Content-Type": "text/plain"}, "\n".join(lines))


def broken(request):
    raise RuntimeError("never shown to a client")


def not_found(request, message=None):
    return Response(status_code=404, headers={}, content=f"lost: {request.url}")


def sign(response):
    response.headers["X-Signed"] = "yes"


def count(request, response):
    print("answered", request.url, response.status_code, flush=True)


def goodbye():
    print("cleaned up", flush=True)


server = OutsideHTTP(("127.0.0.1", 8080))
server.config["backlog_length"] = 50
server.config["max_workers"] = 150
server.config["process_timeout"] = 60
server.config["termination_timeout"] = 5
server.config["recv_size"] = 1024
server.config["send_size"] = 1024
server.config["keep_alive"] = True
server.config["max_socket_reuse"] = 100
server.config["ssl_enabled"] = False
server.config["ssl_keyfile"] = ""
server.config["ssl_certfile"] = ""
server.config["accept_timeout"] = 1
server.config["max_body_size_mb"] = 250
server.config["allow_range_from_mb"] = 50
server.config["big_definition_mb"] = 50
server.config["big_send_limit_mb"] = 100
server.config["post_callback"] = count
server.config["pre_send"] = sign
server.config["server_cleanup"] = goodbye
server.set_route("/order", order)
server.set_route("/show", show)
server.set_route("/gone", show)
server.remove_route("/gone")
server.set_route("/broken", broken)
server.set_errorhandler(404, not_found)
server.set_errorhandler(500, not_found)
server.remove_errorhandler(500)
server.run()

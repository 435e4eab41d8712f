"""The file server that was `python -m outside` in 1.5.8."""

import os

import outside
import outside.protocol_websocket

http_server = outside.OutsideHTTP(("127.0.0.1", 8080))


def main_route(request):
    requested_path = os.path.abspath(os.getcwd() + request.url)
    if not requested_path.startswith(os.getcwd()):
        return 403, "Invalid parent folder."
    if os.path.isdir(requested_path):
        if os.path.exists(requested_path + "/index.html"):
            return outside.protocol_http.Response(
                status_code=200, headers={}, content=outside.protocol_http.FilePath(requested_path + "/index.html")
            )
        return 404, "No index.html file."
    if os.path.isfile(requested_path):
        return outside.protocol_http.Response(
            status_code=200, headers={}, content=outside.protocol_http.FilePath(requested_path)
        )
    return 404, "URL not found or unavailable."


http_server.set_route("/", main_route)
http_server.run()

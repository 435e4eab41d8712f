"""JSON that is echoed by a plain WSGI application with orjson, served by granian."""

import orjson


def app(environ, start_response):
    length = int(environ.get("CONTENT_LENGTH") or 0)
    body = orjson.dumps(orjson.loads(environ["wsgi.input"].read(length)))
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]

"""Hello over TLS: `outside_tls_app.py PORT CERTIFICATE KEY`. Else as `outside_app.py`."""

import sys

from outside_app import hello

from outside import OutsideHTTP

if __name__ == "__main__":
    server = OutsideHTTP(("127.0.0.1", int(sys.argv[1])))
    server.config["access_log"] = "off"
    server.config["max_socket_reuse"] = 1_000_000_000
    server.config.update(ssl_enabled=True, ssl_certfile=sys.argv[2], ssl_keyfile=sys.argv[3])
    server.set_route("/hello", hello)
    server.run()

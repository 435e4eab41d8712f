"""The hello of a server that counts: `outside_metrics_app.py PORT`. Metrics and the status page are on, and nothing asks for them.

`BENCH_INLINE`: see `outside_app.py`.
"""

import os
import sys

from outside_app import hello

from outside import OutsideHTTP

if __name__ == "__main__":
    server = OutsideHTTP(("127.0.0.1", int(sys.argv[1])))
    server.config["access_log"] = "off"
    server.config["max_socket_reuse"] = 1_000_000_000
    server.config["h2c"] = True
    server.config["metrics"] = ("127.0.0.1", 0)
    server.config["status_page"] = True
    server.set_route("/hello", hello, False if "BENCH_INLINE" in os.environ else None)
    server.run()

"""FastPySGI with the WSGI application: `fastpysgi_server.py PORT`.

Its defaults: one process, keep-alive on, log level "error". It has no threads for handlers, so a handler that sleeps
stops it; that is its design and not a setting.
"""

import sys

import fastpysgi
from wsgi_app import app

fastpysgi.run(app, host="127.0.0.1", port=int(sys.argv[1]))

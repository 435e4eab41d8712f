"""Applications of other interfaces, hosted unchanged: which interface one has (`find`), the handlers for WSGI (`wsgi`) and ASGI
(`asgi`), and their place in a server (`mount`)."""

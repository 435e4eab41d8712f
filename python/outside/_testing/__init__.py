"""The parts of `outside.testing`: a server on connections made in this process, its answers, its WebSockets, cookies and
forms."""

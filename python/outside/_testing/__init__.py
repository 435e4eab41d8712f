"""What `outside.testing` is made of: a server on connections made in this process, its answers, its WebSockets, cookies and forms."""

"""The redirect of 1.5.8."""

from outside import OutsideHTTP_Redirect

redirect_server = OutsideHTTP_Redirect(("127.0.0.1", 8080), "https://example.com")
redirect_server.run()

"""The page about an exception while `config["debug"]` is on, and the token that a browser shows to see it."""

"""What a web application needs beside a server: sessions, forgery checks, templates, addresses, sign-in by a header, limits, background
functions. Each part is imported when a program first uses it."""

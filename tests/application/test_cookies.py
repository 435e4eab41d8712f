"""`response.set_cookie` and `delete_cookie`: safe unless told otherwise."""

from datetime import datetime, timedelta

import pytest

from outside import OutsideHTTP, Response


def sent(server: OutsideHTTP, change) -> str:
    def handler():
        response = Response()
        change(response)
        return response

    server.config["access_log"] = "off"
    server.get("/")(handler)
    return server.test_client().get("/").headers["Set-Cookie"]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (lambda r: r.set_cookie("a", "1"), "a=1; Path=/; HttpOnly; SameSite=Lax"),
        (
            lambda r: r.set_cookie("a", "1", max_age=timedelta(minutes=1), http_only=False),
            "a=1; Max-Age=60; Path=/; SameSite=Lax",
        ),
        (
            lambda r: r.set_cookie("a", "1", expires=datetime(2030, 1, 1), path="/x", same_site=None),
            "a=1; Expires=Tue, 01 Jan 2030 00:00:00 GMT; Path=/x; HttpOnly",
        ),
        (
            lambda r: r.set_cookie("a", "1", secure=True, partitioned=True, same_site="None"),
            "a=1; Path=/; Secure; HttpOnly; SameSite=None; Partitioned",
        ),
        (
            lambda r: r.delete_cookie("a", path="/x"),
            "a=; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Path=/x; HttpOnly; SameSite=Lax",
        ),
    ],
)
def test_a_cookie(server: OutsideHTTP, change, field):
    assert sent(server, change) == field


@pytest.mark.parametrize(
    "given", [("a b", "1", {}), ("a", "1;2", {}), ("a", "1", {"partitioned": True}), ("a", "1", {"same_site": "None"})]
)
def test_what_browsers_would_drop_is_refused(given):
    name, value, attributes = given
    with pytest.raises(ValueError):
        Response().set_cookie(name, value, **attributes)

"""The forms in which `domains` names hosts and addresses, and those that are refused."""

from __future__ import annotations

import pytest

from outside import OutsideHTTP
from support.authority import free_port


def kept(serve, tmp_path, records, domains: object) -> set[str]:
    """The certificates that a server with these domains keeps, as its log names them."""
    silent = f"https://127.0.0.1:{free_port()}/dir"
    config = {"acme_storage": str(tmp_path), "acme_directory": silent, "https_redirect": free_port(), "acme_dns": print}
    running = serve(lambda request: "hello", domains=domains, **config)
    begin, end = "the certificate for ", " is kept valid by "
    folders = len(domains) if isinstance(domains, list) else 1
    records.wait_for(lambda _: sum(end in text for text in records.texts()) >= folders)
    running.stop()
    return {text.partition(begin)[2].partition(end)[0] for text in records.texts() if end in text}


@pytest.mark.parametrize(
    ("domains", "expected"),
    [
        ("Example.COM.", {"example.com"}),
        ("a.example+ www.a.example", {"a.example, www.a.example"}),
        (
            [
                "A.example",
                ("b.example", "*.b.example"),
                ["c.example", "192.0.2.1"],
                "d.example+d2.example",
                ("e.example",),
                "[2001:DB8:0::2]",
                "2001:db8::3",
                "xn--bcher-kva.example",
                "*.wild.example",
            ],
            {
                "a.example",
                "b.example, *.b.example",
                "c.example, 192.0.2.1",
                "d.example, d2.example",
                "e.example",
                "2001:db8::2",
                "2001:db8::3",
                "xn--bcher-kva.example",
                "*.wild.example",
            },
        ),
    ],
    ids=["one", "shared", "many"],
)
def test_forms(serve, tmp_path, records, domains, expected):
    assert kept(serve, tmp_path, records, domains) == expected


@pytest.mark.parametrize(
    "domains",
    [
        [""],
        ["*"],
        ["a.*.dev"],
        ["*.*.dev"],
        ["a..dev"],
        ["-a.dev"],
        ["a.dev:443"],
        ["[::1]:443"],
        ["2001:db8::x"],
        ["a.dev+"],
        ["a.dev+A.dev"],
        ["a.dev", ("b.dev", "A.DEV.")],
        ["2001:db8::1", "[2001:DB8:0::1]"],
        ["b\u00fccher.dev"],
        ["a" * 64 + ".dev"],
        ["a." * 127 + "dev"],
        [tuple(f"n{number}.dev" for number in range(101))],
        [["a.dev", ["b.dev"]]],
        {"a.dev": "b.dev"},
        [None],
        [b"a.dev"],
    ],
    ids=lambda domains: repr(domains)[:40],
)
def test_refused_forms(tmp_path, domains):
    server = OutsideHTTP(("127.0.0.1", 0))
    server.config.update({"acme_storage": str(tmp_path / "storage"), "https_redirect": free_port()})
    with pytest.raises((ValueError, TypeError)) as error:
        server.config["domains"] = domains
        server.run()
    text = str(error.value)
    # The sentence names the key and the allowed forms.
    assert "domains" in text and "*.example.com" in text and "xn--" in text, text
    assert not (tmp_path / "storage").exists()


def test_a_hundred_names_share_a_certificate(serve, tmp_path, records):
    names = tuple(f"n{number}.example" for number in range(100))
    assert kept(serve, tmp_path, records, [names]) == {", ".join(names)}

"""What an authority can do to a server: each fault, the requests that the server makes, and the sentence in its log.

Requests of other clients are answered throughout. The faults that take minutes are in `soak/`.
"""

from __future__ import annotations

import json
import socket
import time
from email.utils import formatdate

import pytest

from support.authority import Authority, free_port, handshake, needs_pebble, wait_for_certificate
from support.authority_faults import FAULTS, NAME, processing, signed
from support.certificates import SecureWire
from support.harness import Script, wait_until
from support.mean_authority import ADVICE, MeanAuthority, Reply
from support.wire import fetch, request_bytes

pytestmark = needs_pebble


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    authority = Authority(tmp_path_factory.mktemp("authority"))
    yield authority
    authority.stop()


@pytest.fixture
def mean(authority):
    mean = MeanAuthority(authority)
    yield mean
    mean.stop()


def answers(authority: Authority, name: str) -> bool:
    """Whether a client of the plain place is answered as always."""
    return fetch(("127.0.0.1", authority.http_port), "/", headers={"Host": name}).status == 301


def fails(mean, serve, tmp_path, records, name: str, *parts: str, **config: object) -> str:
    """A server that gets no certificate: its log says so with these words, and it answers. Returns the line of the log."""
    running = serve(lambda request: "hello", **{**mean.config(tmp_path, name), **config})
    assert answers(mean.authority, name)
    line = records.wait_for("could not be obtained").whole
    for part in (name, "the next attempt is at", *parts):
        assert part in line, line
    assert answers(mean.authority, name)
    running.stop()
    return line


def state(tmp_path, name: str) -> dict:
    return json.loads((tmp_path / f"acme/certificates/{name}/state.json").read_text())


def test_1_nothing_listens(mean, serve, tmp_path, records):
    directory = f"https://localhost:{free_port()}/dir"
    fails(mean, serve, tmp_path, records, "refused.example", "Connection refused", acme_directory=directory)


def test_2_nothing_is_answered(mean, serve, tmp_path, records):
    """The deadline of a question is 30 s, so only the server is asked here; it ends without waiting for that."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        directory = f"https://localhost:{silent.getsockname()[1]}/dir"
        running = serve(lambda request: "hello", **{**mean.config(tmp_path, "silent.example"), "acme_directory": directory})
        connection, _ = silent.accept()
        for _ in range(20):
            assert answers(mean.authority, "silent.example")
        running.stop()
        connection.close()


def test_3_it_is_being_repaired(mean, serve, tmp_path, records):
    page = Reply(503, {"Content-Type": "text/html", "Retry-After": "3600"}, b"<h1>Be back\nsoon</h1>")
    mean.before = lambda asked: page
    fails(mean, serve, tmp_path, records, "repaired.example", "status 503", "Be back", "soon")
    assert len(mean.asked) == 1
    history = state(tmp_path, "repaired.example")
    assert 3590 <= history["not_before"] - history["last"] <= 3610


def test_4_a_limit(mean, serve, tmp_path, records):
    limited = Reply.problem(429, "rateLimited", "too many certificates", **{"Retry-After": "7200", "Replay-Nonce": "x"})
    mean.before = lambda asked: limited if asked.path == "/order-plz" else None
    fails(mean, serve, tmp_path, records, "limited.example", "too many certificates", "limit")
    history = state(tmp_path, "limited.example")
    assert 7190 <= history["not_before"] - history["last"] <= 7210 and mean.count("/order-plz") == 1


@pytest.mark.timed
def test_5_nonces_are_lost(mean, serve, tmp_path):
    left = [10]

    def lose(asked):
        if asked.method != "POST" or left[0] == 0:
            return None
        left[0] -= 1
        return Reply.problem(400, "badNonce", "never heard of it", **{"Replay-Nonce": f"n{left[0]}"})

    mean.before = lose
    serve(lambda request: "hello", **mean.config(tmp_path, "nonces.example"))
    assert wait_for_certificate(mean.authority.tls_port, mean.authority.trusting(), "nonces.example") < 10
    assert left == [0]


def test_6_the_name_leads_elsewhere(mean, serve, tmp_path, records):
    mean.authority.set_dns("add-a", host="elsewhere.example.", addresses=["127.0.0.3"])
    fails(mean, serve, tmp_path, records, "elsewhere.example", "127.0.0.3", "by IPv4 and IPv6 alike")
    assert mean.count("/order-plz") == 1


def test_7_it_is_processed_for_ever(mean, serve, tmp_path):
    """The patience of the server is 90 s, so only its questions are counted here; it ends without waiting for that."""
    mean.after = processing
    running = serve(lambda request: "hello", **mean.config(tmp_path, "ever.example"))
    wait_until(lambda: mean.count("/my-order/") >= 5, "the order is looked at again and again")
    looks = [asked.at for asked in mean.asked if asked.path.startswith("/my-order/")]
    # The pauses are 0.1 s, 0.2 s, 0.4 s …, first for the proofs and then for the certificate.
    assert looks[4] - looks[0] > 0.85
    assert answers(mean.authority, "ever.example")
    running.stop()


def only_leaf(asked, reply: Reply) -> None:
    if asked.path.startswith("/certZ/"):
        reply.content = reply.content.split(b"-----END CERTIFICATE-----\n")[0] + b"-----END CERTIFICATE-----\n"


def test_8_no_issuer_behind_the_certificate(mean, serve, tmp_path, records):
    mean.after = only_leaf
    fails(mean, serve, tmp_path, records, "chain.example", "issuer is not behind it")


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("9 another key", "does not match"),
        ("10 fewer names", f"it is not for {NAME}, only for other.example"),
        ("11 not yet valid", "valid from Sun, 01 Jan 2090 00:00:00 GMT on, which is later than now"),
    ],
)
def test_9_to_11_another_certificate(mean, serve, tmp_path, records, fault, said):
    FAULTS[fault][0](mean, tmp_path / "mean")
    fails(mean, serve, tmp_path / "storage", records, NAME, said)


def test_an_authority_that_adds_names(mean, serve, tmp_path):
    """The certificate is used, and not ordered again because it is another one than was wanted."""
    signed(names=f"DNS:{NAME},DNS:www.{NAME}")(mean, tmp_path / "mean")
    serve(lambda request: "hello", **mean.config(tmp_path / "storage", NAME))
    wait_until(lambda: (tmp_path / f"storage/acme/certificates/{NAME}/certificate.pem").exists(), "the certificate")
    wait_until(lambda: state(tmp_path / "storage", NAME)["advice"], "the next step is to ask for advice")
    assert mean.count("/order-plz") == 1


def test_12_the_account_is_lost(mean, serve, tmp_path):
    before = serve(lambda request: "hello", **mean.config(tmp_path, "account.example"))
    wait_until(lambda: (tmp_path / "acme/accounts").exists() and list((tmp_path / "acme/accounts").iterdir()), "an account")
    before.stop()
    mean.be_kind()
    lost = Reply.problem(400, "accountDoesNotExist", "who is it?", **{"Replay-Nonce": "x"})
    mean.before = lambda asked: lost if asked.path == "/order-plz" and not mean.count("/sign-me-up") else None
    serve(lambda request: "hello", **mean.config(tmp_path, "account2.example"))
    assert wait_for_certificate(mean.authority.tls_port, mean.authority.trusting(), "account2.example") < 10
    assert mean.count("/sign-me-up") == 1


def test_13_it_was_replaced_already(mean, serve, tmp_path):
    """A window in the past: the renewal names its predecessor, and is ordered again without it."""
    serve(lambda request: "hello", **mean.config(tmp_path, "replaced.example"))
    context = mean.authority.trusting()
    wait_for_certificate(mean.authority.tls_port, context, "replaced.example")
    wait_until(lambda: mean.count(ADVICE), "advice is asked for")
    serial = handshake(mean.authority.tls_port, context, "replaced.example")["serialNumber"]
    conflict = Reply.problem(409, "alreadyReplaced", "once is enough", **{"Replay-Nonce": "x"})
    mean.before = lambda asked: conflict if asked.path == "/order-plz" and "replaces" in asked.payload else None
    (tmp_path / "acme/certificates/replaced.example/wish").write_text("renew")
    wait_until(
        lambda: handshake(mean.authority.tls_port, context, "replaced.example")["serialNumber"] != serial,
        "the new one is shown",
    )
    assert [("replaces" in order) for order in mean.orders()] == [False, True, False]


@pytest.mark.parametrize(
    ("window", "said"),
    [
        ((-86_400, -3600), None),
        ((86_400, 3600), "ends before it starts"),
        (Reply(500, {}, b"oops"), "status 500 oops"),
        (Reply(200, {"Retry-After": "1"}, b'{"suggestedWindow": {"start": 1}}'), "cannot be understood"),
    ],
    ids=["past", "reversed", "500", "nonsense"],
)
def test_14_strange_advice(mean, serve, tmp_path, records, window, said):
    mean.window = window
    serve(lambda request: "hello", **mean.config(tmp_path, "advice.example"), acme_profile="shortlived")
    context = mean.authority.trusting()
    wait_for_certificate(mean.authority.tls_port, context, "advice.example")
    wait_until(lambda: state(tmp_path, "advice.example")["advice"], "advice is written down")
    if said:
        records.wait_for(said)
    # A new certificate is not renewed at once, whatever the advice.
    assert mean.orders() == [{"identifiers": [{"type": "dns", "value": "advice.example"}], "profile": "shortlived"}]
    assert handshake(mean.authority.tls_port, context, "advice.example")


def test_15_an_authority_without_advice_and_profiles(authority, mean, serve, tmp_path, records):
    mean.has_advice = False
    fails(mean, serve, tmp_path, records, "profile.example", "no profile", "classic, shortlived", acme_profile="tlsserver")
    serve(lambda request: "hello", **mean.config(tmp_path, "plain.example"))
    wait_for_certificate(authority.tls_port, authority.trusting(), "plain.example")
    wait_until(lambda: state(tmp_path, "plain.example")["advice"], "it is written down that there is none")
    assert mean.count(ADVICE) == 0


def test_16_challenges_without_tokens(mean, serve, tmp_path, records):
    def strip(asked, reply):
        if not asked.path.startswith("/authZ/"):
            return
        persistent = {
            "type": "dns-persist-01",
            "url": "https://localhost/x",
            "status": "pending",
            "issuer-domain-names": ["ca"],
        }

        def change(authorization: dict) -> None:
            for challenge in authorization["challenges"]:
                if challenge["type"] == "tls-alpn-01":
                    challenge.pop("token", None)
            authorization["challenges"].insert(0, persistent)

        reply.edit(change)

    mean.after = strip
    running = serve(lambda request: "hello", **mean.config(tmp_path, "token.example"))
    wait_for_certificate(mean.authority.tls_port, mean.authority.trusting(), "token.example")
    running.stop()
    only = {"acme_challenges": ["tls-alpn-01"]}
    fails(mean, serve, tmp_path, records, "token2.example", "no challenge for token2.example that is possible here", **only)


FULL = """
import json, resource, sys, threading
from outside import OutsideHTTP
import logging; logging.basicConfig(stream=sys.stdout, level="INFO", format="%(message)s")
server = OutsideHTTP(("127.0.0.1", 0))
server.config.update(json.loads(sys.argv[1]))
server.config["host"] = tuple(server.config["host"])
limit = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
def full(request):
    resource.setrlimit(resource.RLIMIT_FSIZE, (8, limit))
    return "full"
server.set_route("/full", full)
server.set_route("/", lambda request: "hello")
server.run()
"""


def test_17_the_disk_is_full(mean, tmp_path):
    config = mean.config(tmp_path / "storage", "full.example")
    (tmp_path / "full.py").write_text(FULL)
    script = Script(str(tmp_path / "full.py"), json.dumps(config))
    context = mean.authority.trusting()
    wait_for_certificate(mean.authority.tls_port, context, "full.example")
    serial = handshake(mean.authority.tls_port, context, "full.example")["serialNumber"]
    with SecureWire(("127.0.0.1", mean.authority.tls_port), context, "full.example") as wire:
        assert wire.send(request_bytes("/full", headers={"Host": "full.example"})).receive_answer().text == "full"
    orders = mean.count("/order-plz")
    (tmp_path / "storage/acme/certificates/full.example/wish").write_text("renew")
    while "is not renewed" not in (line := script.read_line()):
        pass
    assert "cannot be written" in line and "disk space" in line
    # No certificate is asked for that could not be kept; the one in use stays.
    assert mean.count("/order-plz") == orders
    assert handshake(mean.authority.tls_port, context, "full.example")["serialNumber"] == serial
    assert script.stop() == 0


def test_18_the_clock_is_wrong(mean, serve, tmp_path, records):
    def shift(asked, reply):
        reply.headers["Date"] = formatdate(time.time() + 2 * 86_400, usegmt=True)

    mean.after = shift
    serve(lambda request: "hello", **mean.config(tmp_path, "clock.example"))
    wait_for_certificate(mean.authority.tls_port, mean.authority.trusting(), "clock.example")
    assert "behind that of localhost" in records.wait_for("the clock of this machine").whole


def test_an_unknown_authority_and_one_that_goes_elsewhere(mean, serve, tmp_path, records):
    """A directory whose certificate is not trusted, and one that names URLs without TLS."""
    fails(mean, serve, tmp_path, records, "unknown.example", "is not trusted", "acme_roots", acme_roots="")
    records.records.clear()
    plain = Reply(
        200,
        {"Content-Type": "application/json"},
        json.dumps(dict.fromkeys(["newNonce", "newAccount", "newOrder"], "http://ca.example/")).encode(),
    )
    mean.before = lambda asked: plain
    fails(mean, serve, tmp_path, records, "plain2.example", "a URL without https")
    records.records.clear()
    no_url = json.dumps(dict.fromkeys(["newNonce", "newAccount", "newOrder"], "https://ca.example/<n>")).encode()
    mean.before = lambda asked: Reply(200, {"Content-Type": "application/json"}, no_url)
    fails(mean, serve, tmp_path, records, "url.example", "invalid uri")
    records.records.clear()
    mean.before = lambda asked: Reply(200, {}, b"x" * (2 << 20))
    fails(mean, serve, tmp_path, records, "large.example", "larger than 1 MiB")

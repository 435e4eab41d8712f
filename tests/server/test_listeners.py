"""Several listeners of one server: HTTP and HTTPS from one process, from several, over reloads; and the way to HTTPS."""

from __future__ import annotations

import os
import socket
import ssl

import httpx
import pytest

from outside import OutsideHTTP, OutsideHTTP_Redirect
from support.certificates import Certificate, SecureWire, certificate
from support.harness import Running, Script, wait_until
from support.processes import start_processes, wait_for_end  # noqa: F401 - a fixture
from support.wire import Answer, Wire, fetch, parse_answer, request_bytes


@pytest.fixture(scope="module")
def own(tmp_path_factory) -> Certificate:
    return certificate(tmp_path_factory.mktemp("certificate"), "localhost", "*.example.com", "127.0.0.1", "::1")


def scheme(request):
    return f"{request.scheme} {request.host}"


def ask(address: tuple, context: ssl.SSLContext | None = None, target: str = "/", headers: object = (), **more) -> Answer:
    """One request on a connection of its own, with TLS or without."""
    with SecureWire(address, context) if context else Wire(address) as wire:
        return wire.send(request_bytes(target, headers=headers, **more)).receive_answer(head=more.get("method") == "HEAD")


def ask_unix(path: str) -> str:
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(path)
        client.sendall(b"GET / HTTP/1.0\r\nHost: unix\r\n\r\n")
        return parse_answer(b"".join(iter(lambda: client.recv(65536), b"")), ended=True)[0].text


@pytest.fixture
def make(serve):
    """Starts servers that listen at more places: pairs of host and tls."""

    def make(also: list, handler=scheme, /, **config) -> Running:
        server = OutsideHTTP(config.pop("host", ("127.0.0.1", 0)))
        server.config.update({"access_log": "off", "termination_timeout": 5, **config})
        server.set_route("/", handler)
        for host, *tls in also:
            server.listen(host, *tls)
        started.append(Running(server))
        return started[-1]

    started: list[Running] = []
    yield make
    for running in started:
        running.stop()


# One process.


def test_http_and_https_from_one_process(make, own, capfd):
    running = make([(("127.0.0.1", 0), True), (("127.0.0.1", 0), {"certfile": own.certfile, "keyfile": own.keyfile})],
                   ssl_certfile=own.certfile, ssl_keyfile=own.keyfile)  # fmt: skip
    server, context = running.server, own.client()
    assert server.address == server.addresses[0] and len(set(server.addresses)) == 3
    plain, secure, another = server.addresses
    assert ask(plain).text == "http localhost"
    assert ask(secure, context).text == ask(another, context).text == "https localhost"
    assert ask(secure).status == 400, "in clear where TLS is spoken"
    lines = [line for line in capfd.readouterr().out.splitlines() if "serving" in line]
    assert lines == [
        f"outside is serving on http://127.0.0.1:{plain[1]}",
        f"outside is serving on https://127.0.0.1:{secure[1]}",
        f"outside is serving on https://127.0.0.1:{another[1]} (Ctrl+C stops it)",
    ]
    running.server.terminate()
    running.wait_for_return()
    assert server.addresses == [] and server.address is None
    for address in (plain, secure, another):
        with pytest.raises(ConnectionRefusedError):
            Wire(address)


def test_a_plain_door_beside_tls(make, own):
    running = make([(("127.0.0.1", 0),), (("::1", 0), False)], **own.config)
    secure, plain, six = running.server.addresses
    assert ask(secure, own.client()).text.startswith("https ")
    assert ask(plain).text.startswith("http ") and ask(six).text.startswith("http ")
    assert six[0] == "::1"


def test_unix_sockets_beside_others(make, tmp_path):
    paths = [str(tmp_path / name) for name in ("a", "b")]
    running = make([(f"unix:{path}",) for path in paths])
    assert running.server.addresses[1:] == [f"unix:{path}" for path in paths]
    assert ask(running.address).text == "http localhost"
    assert [ask_unix(path) for path in paths] == ["http unix"] * 2
    running.server.terminate()
    running.wait_for_return()
    assert not any(os.path.exists(path) for path in paths)


def test_requests_in_flight_at_each_place_are_answered(make):
    import threading

    begun, go_on = threading.Semaphore(0), threading.Event()

    def slow(request):
        begun.release()
        go_on.wait(10)
        return "done"

    running = make([(("127.0.0.1", 0),)], slow)
    wires = [Wire(address).send(request_bytes("/")) for address in running.server.addresses]
    for _ in wires:
        begun.acquire()
    running.server.terminate()
    go_on.set()
    for wire in wires:
        with wire:
            assert wire.receive_answer().text == "done"
    running.wait_for_return()


def test_an_address_in_use_leaves_nothing_behind(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        server = OutsideHTTP(f"unix:{tmp_path}/s")
        server.listen(taken.getsockname())
        with pytest.raises(OSError, match=str(taken.getsockname()[1])):
            server.run()
    assert not os.path.exists(f"{tmp_path}/s")


def test_it_can_run_again(make):
    running = make([(("127.0.0.1", 0),)])
    running.server.terminate()
    running.wait_for_return()
    again = Running(running.server)
    assert len(again.server.addresses) == 2
    assert all(ask(address).status == 200 for address in again.server.addresses)
    again.stop()


@pytest.mark.parametrize(
    ("host", "tls", "text"),
    [
        (("127.0.0.1",), None, "host is"),
        ("127.0.0.1:80", None, "host is"),
        (("127.0.0.1", 0), "yes", "tls is True, False"),
        (("127.0.0.1", 0), {"cert": "x"}, "tls is True, False"),
        (("127.0.0.1", 0), [], "tls is True, False"),
        (("127.0.0.1", 0), 1, "tls is True, False"),
    ],
)
def test_wrong_places(host, tls, text):
    with pytest.raises(TypeError, match=text):
        OutsideHTTP(("127.0.0.1", 0)).listen(host, tls)


def test_a_server_that_runs_stays_where_it_is(make):
    running = make([])
    with pytest.raises(RuntimeError, match="before run"):
        running.server.listen(("127.0.0.1", 0))


def test_a_certificate_that_is_missing_is_told_at_run(tmp_path):
    server = OutsideHTTP(("127.0.0.1", 0))
    server.listen(("127.0.0.1", 0), tls={"certfile": f"{tmp_path}/none.pem"})
    with pytest.raises(FileNotFoundError, match="none.pem"):
        server.run()
    server = OutsideHTTP(("127.0.0.1", 0))
    server.listen(("127.0.0.1", 0), tls=True)
    with pytest.raises(ValueError, match="ssl_certfile"):
        server.run()


# Several processes.

needs_linux = pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="needs Linux")


def addresses_of(script) -> list[tuple]:
    """Of the newest generation: those of the lines since it began."""
    return [("127.0.0.1", int(url.rpartition(":")[2])) for url in urls_of(script)]


def urls_of(script) -> list[str]:
    begun = max(index for index, line in enumerate(script.heard) if line.startswith("generation "))
    return [line.split("serving on ")[1].split()[0] for line in script.heard[begun:] if "serving on " in line]


@needs_linux
def test_several_places_in_several_processes(start_processes, own):
    also = [[["127.0.0.1", 0], True], [["127.0.0.1", 0], False]]
    settings = {"ssl_certfile": own.certfile, "ssl_keyfile": own.keyfile, "drain_idle": 0, "test": {"also": also}}
    script = start_processes(processes=2, **settings)
    script.wait_for_all("with 2 processes")
    addresses = addresses_of(script)
    assert len(set(addresses)) == 3
    context = own.client()

    def all_answer() -> bool:
        """Every worker at every place."""
        workers = {int(ask(addresses[place], tls, "/worker").text.split()[0])
                   for place, tls in ((0, None), (1, context), (2, None)) for _ in range(30)}  # fmt: skip
        return workers == set(script.workers().values())

    assert all_answer()
    before = script.workers()
    script.reload()
    script.wait_for("with 2 processes")
    assert addresses_of(script) == addresses, "every socket was handed on to the same place"
    for worker in before.values():
        wait_for_end(worker)
    assert all_answer()
    # The next generation listens at fewer places, in another order, and at a new one.
    also = [[["127.0.0.1", 0], False], ["unix:new", None]]
    script.change(processes=2, **{**settings, "test": {"also": also}})
    script.reload()
    script.wait_for("new with 2 processes")
    found = urls_of(script)
    assert found[0].endswith(f":{addresses[0][1]}") and found[1].startswith("http://")
    assert script.stop() == 0
    for address in addresses:
        with pytest.raises(ConnectionRefusedError):
            Wire(address)


@needs_linux
def test_files_of_unix_sockets_go_with_the_last_generation(start_processes, tmp_path):
    paths = [str(tmp_path / name) for name in ("a", "b")]
    script = start_processes(processes=2, drain_idle=0, test={"also": [[f"unix:{path}", None] for path in paths]})
    script.wait_for_all("with 2 processes")
    for _ in range(2):
        assert all(os.path.exists(path) for path in paths)
        assert "404" in ask_unix(paths[0])
        script.reload()
        script.wait_for("with 2 processes")
    assert script.stop() == 0
    wait_until(lambda: not any(os.path.exists(path) for path in paths), "the files are removed")


ADOPTED = """
import os, sys
first, second, certfile, keyfile = sys.argv[1:]
for target, number in ((3, int(second)), (4, int(first))):
    os.dup2(number, target)
os.environ.update(LISTEN_FDS="2", LISTEN_PID=str(os.getpid()))
from outside import OutsideHTTP
port = lambda number: __import__("socket").socket(fileno=os.dup(int(number))).getsockname()[1]
server = OutsideHTTP(("127.0.0.1", port(first)))
server.config.update(access_log="off", ssl_certfile=certfile, ssl_keyfile=keyfile)
server.listen(("127.0.0.1", port(second)), tls=True)
server.set_route("/", lambda request: request.scheme)
server.run()
"""


@needs_linux
def test_sockets_of_a_service_manager_find_their_places(own):
    """They come in the order in which the unit files name them."""
    with socket.create_server(("127.0.0.1", 0)) as first, socket.create_server(("127.0.0.1", 0)) as second:
        numbers = [os.dup(listener.fileno()) for listener in (first, second)]
        script = Script("-c", ADOPTED, *map(str, numbers), own.certfile, own.keyfile, descriptors=numbers)
        for number in numbers:
            os.close(number)
        assert ask(first.getsockname()).text == "http"
        assert ask(second.getsockname(), own.client()).text == "https"
        assert script.stop() == 0


# To HTTPS.


def redirect_of(running) -> tuple:
    return running.server.addresses[-1]


@pytest.mark.parametrize(
    ("host", "location"),
    [
        ("localhost", "https://localhost:{port}/a%20b/?q=1&r"),
        ("LOCALHOST.:80", "https://localhost:{port}/a%20b/?q=1&r"),
        ("shop.example.com", "https://shop.example.com:{port}/a%20b/?q=1&r"),
        ("127.0.0.1:8080", "https://127.0.0.1:{port}/a%20b/?q=1&r"),
        ("[::1]", "https://[::1]:{port}/a%20b/?q=1&r"),
        ("example.com", None),
        ("a.shop.example.com", None),
        ("evil.example", None),
        ("shop.example.com.evil.example", None),
        ("127.0.0.2", None),
    ],
)
def test_hosts_of_the_certificates_are_sent_to_https(make, own, host, location):
    running = make([], https_redirect=0, **own.config)
    target = "/a%20b/?q=1&r"
    answer = ask(redirect_of(running), target=target, headers=[("Host", host)])
    if location is None:
        assert (answer.status, answer.header("Location")) == (421, None)
    else:
        assert (answer.status, answer.header("Location")) == (301, location.format(port=running.address[1]))


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"])
def test_a_post_stays_a_post(make, own, method):
    running = make([], https_redirect=("127.0.0.1", 0), **own.config)
    answer = ask(redirect_of(running), method=method, body=b"x" if method in ("POST", "PUT") else None)
    assert answer.status == (301 if method in ("GET", "HEAD") else 308)


def test_allowed_hosts_come_before_those_of_the_certificates(make, own):
    running = make([], https_redirect=0, allowed_hosts=["a.example", "*"], **own.config)
    for host, status in (("a.example", 301), ("localhost", 421), ("b.example", 421)):
        assert ask(redirect_of(running), headers=[("Host", host)]).status == status
    assert ask(redirect_of(running), target="http://a.example/x").header("Location").endswith("/x")
    assert ask(redirect_of(running), target="http://evil.example/x", headers=[("Host", "a.example")]).status == 421


@pytest.mark.parametrize("target", ["//evil.example/", "/\\evil.example", "/..//evil.example", "/%0d%0aSet-Cookie:x=1"])
def test_no_target_leads_to_another_host(make, own, target):
    running = make([], https_redirect=0, **own.config)
    answer = ask(redirect_of(running), target=target)
    assert answer.status == 301
    assert answer.header("Location") == f"https://localhost:{running.address[1]}{target}"
    assert answer.all("Set-Cookie") == []


def test_nothing_else_is_served_there(make, own):
    running = make([], https_redirect=0, health_route="/up", h2c=True, **own.config)
    assert ask(redirect_of(running), target="/").status == 301
    assert ask(redirect_of(running), target="/up", headers=[("Host", "10.0.0.1")]).text == "ok\n"
    with Wire(redirect_of(running)) as wire:
        wire.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        assert wire.receive_answer().status in (400, 505)


def test_a_client_with_tls_to_a_trusted_proxy_is_not_redirected_in_circles(make, own):
    running = make([], https_redirect=0, trusted_proxies=["127.0.0.1"], proxy_fields="x-forwarded-proto", **own.config)
    assert ask(redirect_of(running), headers=[("X-Forwarded-Proto", "https")]).text == "https localhost"
    assert ask(redirect_of(running), headers=[("X-Forwarded-Proto", "http")]).status == 301


def test_a_redirect_needs_somewhere_to_go(own):
    server = OutsideHTTP(("127.0.0.1", 0))
    server.config["https_redirect"] = 0
    with pytest.raises(ValueError, match="https_redirect.*ssl_enabled"):
        server.run()
    for wrong in (-1, 65536, "80", ("localhost", 80), True):
        server.config["https_redirect"] = wrong
        with pytest.raises(ValueError, match="https_redirect"):
            server.run()


# Strict-Transport-Security.


def test_hsts_is_told_to_clients_with_tls(make, own):
    running = make([(("127.0.0.1", 0),)], hsts="30d", https_redirect=0, allowed_hosts=["localhost"], **own.config)
    secure, plain, redirect = running.server.addresses
    context, field = own.client(), "Strict-Transport-Security"
    assert ask(secure, context).header(field) == "max-age=2592000"
    assert ask(secure, context, target="/missing").header(field) == "max-age=2592000"
    assert ask(secure, context, headers=[("Host", "other")]).header(field) == "max-age=2592000"
    with SecureWire(secure, context) as wire:
        answer = wire.send(b"this is not HTTP\r\n\r\n").receive_answer()
        assert (answer.status, answer.header(field)) == (400, "max-age=2592000")
    for address in (plain, redirect):
        assert ask(address).header(field) is None
    # In clear on the port of TLS: nothing that a browser may believe.
    assert ask(secure).header(field) is None


def test_hsts_over_http2(make, own):
    running = make([], hsts=60, allowed_hosts=["localhost"], **own.config)
    with httpx.Client(http2=True, verify=own.client(), base_url=f"https://localhost:{running.address[1]}") as client:
        for host, status in (("localhost", 200), ("other.example", 421)):
            answer = client.get("/", headers={"Host": host})
            assert (answer.http_version, answer.status_code) == ("HTTP/2", status)
            assert answer.headers["Strict-Transport-Security"] == "max-age=60"


def test_hsts_is_off_unless_asked_for(make, own):
    running = make([], **own.config)
    assert ask(running.address, own.client()).header("Strict-Transport-Security") is None


@pytest.mark.parametrize("value", ["soon", "-1d", -1, 1.5, True, "30"])
def test_wrong_times(value):
    server = OutsideHTTP(("127.0.0.1", 0))
    server.config["hsts"] = value
    with pytest.raises(ValueError, match="hsts.*30d"):
        server.run()


# OutsideHTTP_Redirect has one destination for every host.


def test_the_redirect_server_sends_everybody_to_one_place():
    server = OutsideHTTP_Redirect(("127.0.0.1", 0), "https://example.com/base")
    server.config["access_log"] = "off"
    running = Running(server)
    for host, target in (("evil.example", "/x?y"), ("localhost", "//evil.example/")):
        answer = fetch(running.address, target, headers=[("Host", host)])
        assert (answer.status, answer.header("Location")) == (301, f"https://example.com/base{target}")
    running.stop()

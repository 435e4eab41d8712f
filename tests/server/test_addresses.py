"""Where a server can listen: abstract sockets, every address of a host name, IPv4 and IPv6 on one port."""

from __future__ import annotations

import os
import socket
import sys

import pytest

from outside import OutsideHTTP
from support.harness import Running
from support.ipv6 import needs_ipv6
from support.processes import start_processes  # noqa: F401 - a fixture
from support.wire import fetch, parse_answer

needs_linux = pytest.mark.skipif(sys.platform != "linux", reason="abstract sockets are Linux's")


@pytest.fixture
def make():
    """Starts servers at several places."""

    def make(*hosts: object, **config: object) -> Running:
        server = OutsideHTTP(hosts[0])
        server.config.update({"access_log": "off", "termination_timeout": 5, **config})
        server.set_route("/", lambda request: "hello")
        for host in hosts[1:]:
            server.listen(host)
        started.append(Running(server))
        return started[-1]

    started: list[Running] = []
    yield make
    for running in started:
        running.stop()


def ask_unix(address: str) -> str:
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(address)
        client.sendall(b"GET / HTTP/1.0\r\n\r\n")
        return parse_answer(b"".join(iter(lambda: client.recv(65536), b"")), ended=True)[0].text


# Abstract sockets.


@needs_linux
def test_a_name_with_an_at_sign_is_an_abstract_socket(make, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    name = f"outside-{os.getpid()}"
    running = make(f"unix:@{name}")
    assert running.address == f"unix:@{name}"
    assert ask_unix(f"\0{name}") == "hello"
    assert list(tmp_path.iterdir()) == [], "there is no file"
    with pytest.raises(OSError, match=f"@{name}.*in use"):
        make(f"unix:@{name}")
    running.server.terminate()
    running.wait_for_return()
    with pytest.raises(ConnectionRefusedError):
        ask_unix(f"\0{name}")
    # The name is free again.
    assert ask_unix(make(f"unix:@{name}").address.replace("unix:@", "\0")) == "hello"


@needs_linux
def test_a_file_of_such_a_name_has_a_path(make, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make("unix:./@name")
    assert [path.name for path in tmp_path.iterdir()] == ["@name"]
    assert ask_unix("@name") == "hello"


def test_an_empty_name_is_refused():
    with pytest.raises(TypeError, match="unix:"):
        OutsideHTTP("unix:@")


@needs_linux
def test_an_abstract_socket_goes_from_generation_to_generation(start_processes):
    name = f"outside-{os.getpid()}-reload"
    script = start_processes(processes=2, drain_idle=0, test={"also": [[f"unix:@{name}", None]]})
    script.wait_for_all("with 2 processes")
    for _ in range(2):
        assert "404" in ask_unix(f"\0{name}")
        script.reload()
        script.wait_for(f"unix:@{name} with 2 processes")
    assert script.stop() == 0


# Host names.


def test_a_host_name_stands_for_all_its_addresses(make):
    found = {info[4][0] for info in socket.getaddrinfo("localhost", 0, type=socket.SOCK_STREAM)}
    running = make(("localhost", 0))
    addresses = running.server.addresses
    assert {ip for ip, _ in addresses} == found
    assert len({port for _, port in addresses}) == 1, "on one port"
    for address in addresses:
        assert fetch(address, "/").text == "hello"


# Both kinds of IP addresses on one port.


def free_port() -> int:
    with socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True) as listener:
        return listener.getsockname()[1]


@needs_ipv6
@pytest.mark.parametrize("four", ["0.0.0.0", "127.0.0.1"])
@pytest.mark.parametrize("order", [1, -1])
def test_ipv4_beside_ipv6_on_one_port(make, four, order):
    port = free_port()
    running = make(*[(four, port), ("::", port)][::order])
    assert set(running.server.addresses) == {(four, port), ("::", port)}
    for ip in ("127.0.0.1", "::1"):
        assert fetch((ip, port), "/").text == "hello"


@needs_ipv6
def test_ipv4_beside_ipv6_in_several_processes(start_processes):
    port = free_port()
    script = start_processes(processes=2, test={"also": [[["0.0.0.0", port], None], [["::", port], None]]})
    script.wait_for_all("with 2 processes")
    for ip in ("127.0.0.1", "::1"):
        assert fetch((ip, port), "/echo?n=7").text == "7"
    assert script.stop() == 0


@needs_ipv6
def test_ipv6_alone_is_for_both(make):
    running = make(("::", 0), ("127.0.0.1", 0))
    port = running.server.addresses[0][1]
    for ip in ("127.0.0.1", "::1"):
        assert fetch((ip, port), "/").text == "hello"


@needs_ipv6
def test_a_port_that_another_program_has_is_in_use(make):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match="in use"):
            make(("::", port), ("127.0.0.1", port))

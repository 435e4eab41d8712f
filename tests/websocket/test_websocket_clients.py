"""Clients that others have written: `websockets` and `aiohttp`, with their defaults, against every style of handler."""

from __future__ import annotations

import asyncio

import aiohttp
import pytest
import websockets
from websockets.asyncio.client import connect
from websockets.sync.client import connect as connect_plainly

from support.websocket_styles import STYLES, Ends, websocket
from support.wire import DEADLINE

every_style = pytest.mark.parametrize("style", STYLES)
SAID = ["", "hello", "grüße 🌍" * 1000, b"", bytes(range(256)) * 1000, "x" * 1_000_000]


def url(running, path="/ws") -> str:
    return f"ws://{running.address[0]}:{running.address[1]}{path}"


@every_style
@pytest.mark.parametrize("deflate", [False, True])
def test_websockets(serve, style, deflate):
    """It offers permessage-deflate by itself, and sends its own origin if told to."""
    made = websocket(style, deflate=deflate, subprotocols=["chat"])
    ends = Ends(made)
    running = serve({"/ws": made})

    async def talk():
        origin = f"http://{running.address[0]}:{running.address[1]}"
        async with connect(url(running), subprotocols=["chat"], origin=origin, proxy=None) as client:
            assert client.subprotocol == "chat"
            assert [extension.name for extension in client.protocol.extensions] == ["permessage-deflate"] * deflate
            for said in SAID:
                await client.send(said)
                assert await client.recv() == said
            await client.send(["in ", "three ", "fragments"])
            assert await client.recv() == "in three fragments"
            latency = await (await client.ping())
            assert latency < DEADLINE
            await client.close(4000, "bye")
        assert (client.close_code, client.close_reason) == (4000, "")

    asyncio.run(asyncio.wait_for(talk(), 6 * DEADLINE))
    assert (ends.next().close_code, ends.is_empty) == (4000, True)


@every_style
def test_websockets_is_closed_by_the_server(serve, style):
    def exit_or_fail(connection, message):
        if message == b"raise":
            raise RuntimeError("in the log alone")
        return message

    running = serve({"/ws": websocket(style, exit_or_fail)})
    with connect_plainly(url(running), proxy=None) as client:
        client.send("raise")
        with pytest.raises(websockets.ConnectionClosedError) as caught:
            client.recv(DEADLINE)
        assert caught.value.rcvd.code == 1011
    with connect_plainly(url(running), proxy=None) as client:
        client.send("hello")
        assert client.recv(DEADLINE) == "hello"
        running.server.terminate()
        with pytest.raises(websockets.ConnectionClosedOK) as ended:
            client.recv(DEADLINE)
        assert (ended.value.rcvd.code, ended.value.rcvd.reason) == (1001, "the server stops")
    running.wait_for_return()


@every_style
def test_websockets_is_refused(serve, style):
    running = serve({"/ws": websocket(style), "/hello": lambda request: "hello"})
    for path, origin, status in [("/nowhere", None, 404), ("/hello", None, 200), ("/ws", "https://evil.example", 403)]:
        with pytest.raises(websockets.InvalidStatus) as caught:
            connect_plainly(url(running, path), origin=origin, proxy=None)
        assert caught.value.response.status_code == status


@every_style
@pytest.mark.parametrize("compress", [0, 15])
def test_aiohttp(serve, style, compress):
    made = websocket(style, deflate=True)
    ends = Ends(made)
    running = serve({"/ws": made})

    async def talk():
        async with aiohttp.ClientSession() as session:
            async with session.ws_connect(url(running), compress=compress, max_msg_size=0) as client:
                assert bool(client.compress) == bool(compress)
                for said in SAID:
                    await (client.send_str(said) if isinstance(said, str) else client.send_bytes(said))
                    received = await client.receive()
                    kind = aiohttp.WSMsgType.TEXT if isinstance(said, str) else aiohttp.WSMsgType.BINARY
                    assert (received.type, received.data) == (kind, said)
                await client.ping()
                await client.send_json({"a": [1, 2]})
                assert await client.receive_json() == {"a": [1, 2]}
                await client.close(code=4001, message=b"bye")
            assert client.close_code == 4001

    asyncio.run(asyncio.wait_for(talk(), 6 * DEADLINE))
    assert (ends.next().close_code, ends.is_empty) == (4001, True)


@every_style
def test_many_at_once(serve, style):
    """Two hundred connections of `websockets`, each with its own conversation."""
    running = serve({"/ws": websocket(style)})

    async def talk(number):
        async with connect(url(running), compression=None, proxy=None) as client:
            for turn in range(20):
                await client.send(f"{number} {turn}")
                assert await client.recv() == f"{number} {turn}"

    async def everyone():
        await asyncio.gather(*(talk(number) for number in range(200)))

    asyncio.run(asyncio.wait_for(everyone(), 6 * DEADLINE))

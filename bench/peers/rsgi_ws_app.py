"""WebSockets as an RSGI application, granian's own interface: `/ws` echoes, in `/room` each message goes to all."""

from granian.rsgi import WebsocketMessageType

room = set()


async def app(scope, protocol):
    if scope.proto != "ws":
        protocol.response_empty(404, [])
        return
    transport = await protocol.accept()
    in_room = scope.path == "/room"
    if in_room:
        room.add(transport)
    try:
        while (message := await transport.receive()).kind != WebsocketMessageType.close:
            for member in list(room) if in_room else (transport,):
                await member.send_bytes(message.data)
    finally:
        room.discard(transport)
    protocol.close()

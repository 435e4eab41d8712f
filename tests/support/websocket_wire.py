"""A WebSocket client that shows every frame, and lets a test send any bytes.

`WebSocketClient` is a `Wire` whose handshake is done, or refused: then `answer` says how. Frames are masked unless told otherwise;
those of the server must be whole, unmasked and without reserved bits, which is checked with each.
"""

from __future__ import annotations

import json
import os
import socket
import struct

from support.wire import Wire, request_bytes

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
KEY, ACCEPT = "dGhlIHNhbXBsZSBub25jZQ==", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
OPENING = {
    "Host": "localhost",
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": KEY,
}


def frame(opcode: int, payload: bytes = b"", *, last: bool = True, reserved: int = 0, masked: bool = True) -> bytes:
    """One frame of a client (RFC 6455 section 5.2)."""
    head = bytes([last << 7 | reserved << 4 | opcode])
    length, mask = len(payload), masked << 7
    if length < 126:
        head += bytes([mask | length])
    elif length < 1 << 16:
        head += bytes([mask | 126]) + struct.pack(">H", length)
    else:
        head += bytes([mask | 127]) + struct.pack(">Q", length)
    if not masked:
        return head + payload
    key = os.urandom(4)
    stream = (key * (length // 4 + 1))[:length]
    return head + key + (int.from_bytes(payload, "big") ^ int.from_bytes(stream, "big")).to_bytes(length, "big")


def close_frame(code: int | None = 1000, reason: str = "") -> bytes:
    return frame(CLOSE, b"" if code is None else struct.pack(">H", code) + reason.encode())


class WebSocketClient(Wire):
    """One connection; works as a context manager, which hangs up at the end."""

    def __init__(self, address: tuple, target: str = "/ws", headers: dict[str, str] | None = None, **options) -> None:
        super().__init__(address, **options)
        fields = {name: value for name, value in {**OPENING, **(headers or {})}.items() if value}
        self.send(request_bytes(target, headers=fields))
        self.answer = self.receive_answer(interim=True)
        self.is_open = self.answer.status == 101

    @classmethod
    def on(cls, connected: socket.socket) -> WebSocketClient:
        """On a socket that needs no handshake."""
        made = cls.__new__(cls)
        connected.settimeout(10)
        made.socket, made.received, made.ended = connected, bytearray(), False
        return made

    def send_message(self, message: str | bytes) -> WebSocketClient:
        """Sends a message, text or binary."""
        text = isinstance(message, str)
        self.send(frame(TEXT if text else BINARY, message.encode() if text else message))
        return self

    def receive_frame(self) -> tuple[int, bytes]:
        """The next frame of the server: its opcode and payload."""
        first, length = self._take(2)
        assert first & 0xF0 == 0x80, f"a frame that is not whole, or with reserved bits: {first:#x}"
        assert length < 128, "the server masks"
        if length == 126:
            (length,) = struct.unpack(">H", self._take(2))
            assert length > 125
        elif length == 127:
            (length,) = struct.unpack(">Q", self._take(8))
            assert length > 0xFFFF
        return first & 0xF, self._take(length)

    def skip_frame(self) -> None:
        """The next frame, of less than 64 KiB and perhaps compressed."""
        _, length = self._take(2)
        assert length < 127
        self._take(int.from_bytes(self._take(2), "big") if length == 126 else length)

    def receive_message(self) -> str | bytes:
        """The next message."""
        opcode, payload = self.receive_frame()
        assert opcode in (TEXT, BINARY), (opcode, payload)
        return payload.decode() if opcode == TEXT else payload

    def receive_json(self) -> object:
        return json.loads(self.receive_message())

    def receive_close(self) -> tuple[int | None, str]:
        """The server's close frame, behind nothing else."""
        opcode, payload = self.receive_frame()
        assert opcode == CLOSE, (opcode, payload[:100])
        return (struct.unpack(">H", payload[:2])[0], payload[2:].decode()) if payload else (None, "")

    def receive_close_and_end(self) -> tuple[int | None, str]:
        """The server closes: its frame is answered, and then it hangs up."""
        code, reason = self.receive_close()
        self.send_if_possible(close_frame(code))
        assert self.receive_rest() == b""
        return code, reason

    def close_cleanly(self, code: int | None = 1000, reason: str = "") -> tuple[int | None, str]:
        """Closes, waits for the answer and the end; returns the server's close frame."""
        self.send(close_frame(code, reason))
        answer = self.receive_close()
        assert self.receive_rest() == b""
        return answer

    def reset(self) -> None:
        """Hangs up with RST."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()

    def _take(self, count: int) -> bytes:
        while len(self.received) < count:
            assert self.receive_some(), f"ended inside a frame: {bytes(self.received[:200])!r}"
        data = bytes(self.received[:count])
        del self.received[:count]
        return data

"""Where the WebSocket names lived in outside 1.5.8; kept so that old imports work. New code imports from `outside`."""

from ._handlers.websocket import WebSocketExit
from ._outside import WebSocket, WebSocketConnection

__all__ = ["WebSocket", "WebSocketConnection", "WebSocketExit"]

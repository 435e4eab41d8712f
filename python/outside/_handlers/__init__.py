"""Handlers as programs write them: decorators and groups, what stands around a handler, signatures, the asyncio loop, WebSockets,
what handlers return. It knows nothing of processes."""

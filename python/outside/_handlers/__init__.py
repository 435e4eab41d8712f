"""Handlers as programs write them: decorators and groups, functions around a handler, signatures, the asyncio loop, WebSockets,
answers. It knows nothing of processes."""

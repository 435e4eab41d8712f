"""The ends of generators that handlers depend on: they run when the answer is made, after errors too, the last one first."""

from __future__ import annotations

import inspect
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Generator, Iterator
from contextvars import copy_context
from typing import Any

from .. import _outside
from .._handlers import loop as _loop
from .._handlers.answers import json_response
from .._outside import FilePath, Response

_Ending = Callable[[BaseException | None], Any]


class Cleanup:
    """The generators of one request that have begun."""

    def __init__(self) -> None:
        # Each ends its generator, with an exception or without one; that of an asynchronous one gives a coroutine.
        self._endings: list[_Ending] = []

    def enter(self, generator: Generator[Any, Any, Any], function: Any) -> Any:
        """The value that a generator yields; its end is remembered."""
        value = _first(generator, function)
        self._endings.append(lambda error: _end(generator, function, error))
        return value

    async def enter_async(self, generator: AsyncGenerator[Any, Any], function: Any) -> Any:
        """The same for an asynchronous one."""
        try:
            value = await anext(generator)
        except StopAsyncIteration:
            raise RuntimeError(f"{function.__name__}() has not yielded a value") from None
        self._endings.append(lambda error: _end_async(generator, function, error))
        return value

    def finish(self, error: BaseException | None = None) -> None:
        """Runs all ends on this thread. One that raises has replaced the exception for those before it."""
        while self._endings:
            try:
                ended = self._endings.pop()(error)
                if inspect.iscoroutine(ended):
                    wait(ended)
            except BaseException as raised:
                error = raised
        if error is not None:
            raise error

    async def finish_async(self, error: BaseException | None = None) -> None:
        """The same in a task."""
        while self._endings:
            try:
                ended = self._endings.pop()(error)
                if inspect.iscoroutine(ended):
                    await ended
            except BaseException as raised:
                error = raised
        if error is not None:
            raise error

    def finish_abandoned(self) -> None:
        """Runs the ends of a stream of which no piece was asked for. On the asyncio loop nothing can wait for a coroutine."""
        try:
            self.finish(GeneratorExit())
        except GeneratorExit:
            pass
        except BaseException as error:
            _loop.logger.error("the end of a dependency failed", exc_info=error)


def _first(generator: Generator[Any, Any, Any], function: Any) -> Any:
    try:
        return next(generator)
    except StopIteration:
        raise RuntimeError(f"{function.__name__}() has not yielded a value") from None


def _end(generator: Generator[Any, Any, Any], function: Any, error: BaseException | None) -> None:
    if isinstance(error, GeneratorExit):
        generator.close()
        return
    try:
        if error is None:
            next(generator)
        else:
            generator.throw(error)
    except StopIteration:
        return
    except BaseException as raised:
        if raised is error:
            return
        raise
    generator.close()
    raise RuntimeError(f"{function.__name__}() yields twice: a dependency yields one value")


async def _end_async(generator: AsyncGenerator[Any, Any], function: Any, error: BaseException | None) -> None:
    if isinstance(error, GeneratorExit):
        await generator.aclose()
        return
    try:
        if error is None:
            await anext(generator)
        else:
            await generator.athrow(error)
    except StopAsyncIteration:
        return
    except BaseException as raised:
        if raised is error:
            return
        raise
    await generator.aclose()
    raise RuntimeError(f"{function.__name__}() yields twice: a dependency yields one value")


def wait(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """The result of a coroutine for a plain handler; variables of the context that it sets are the handler's too."""
    context = copy_context()
    try:
        return _loop.wait_for(coroutine, context)
    finally:
        for variable, value in context.items():
            if variable.get(None) is not value:
                variable.set(value)


def made(answer: Any, function: Any) -> Any:
    """The answer with everything that a handler has left to be made later: a session of a database may be closed after this."""
    settled = _outside._settle(answer, 200, function)
    if isinstance(settled, Response) and not settled._is_stream():
        content = settled.content
        if content is not None and not isinstance(content, (str, bytes, bytearray, FilePath)):
            written = json_response(content)
            settled.headers.setdefault("Content-Type", "application/json")
            settled.content = written.content
    return settled


def is_stream(answer: Any) -> bool:
    """Whether its pieces are made while it is sent."""
    return isinstance(answer, Response) and answer._is_stream()


def accompanied(answer: Response, cleanup: Cleanup) -> Response:
    """A stream whose end ends the generators."""
    content: Any = answer.content
    answer.content = (AsyncPieces if hasattr(content, "__aiter__") else Pieces)(content, cleanup)
    return answer


class Pieces:
    """The pieces of a stream, then the ends of the generators behind it."""

    def __init__(self, content: Any, cleanup: Cleanup) -> None:
        self._content, self._cleanup = iter(content), cleanup
        if hasattr(content, "_keep_alive"):
            self._keep_alive = content._keep_alive

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        try:
            return next(self._content)
        except StopIteration:
            self._cleanup.finish()
            raise
        except BaseException as error:
            self._cleanup.finish(error)
            raise

    def close(self) -> None:
        """The client has left, or the stream was cut."""
        try:
            if hasattr(self._content, "close"):
                self._content.close()
        finally:
            self._cleanup.finish_abandoned()

    def __del__(self) -> None:
        self._cleanup.finish_abandoned()


class AsyncPieces:
    """The same for an asynchronous stream."""

    def __init__(self, content: Any, cleanup: Cleanup) -> None:
        self._content, self._cleanup = aiter(content), cleanup
        if hasattr(content, "_keep_alive"):
            self._keep_alive = content._keep_alive

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        try:
            return await anext(self._content)
        except StopAsyncIteration:
            await self._cleanup.finish_async()
            raise
        except BaseException as error:
            await self._cleanup.finish_async(error)
            raise

    async def aclose(self) -> None:
        """The client has left, or the stream was cut."""
        try:
            if hasattr(self._content, "aclose"):
                await self._content.aclose()
        finally:
            try:
                await self._cleanup.finish_async(GeneratorExit())
            except GeneratorExit:
                pass

    def __del__(self) -> None:
        if self._cleanup._endings:
            ending = self.aclose()
            if not _outside._run_on_loop(ending, (_Ignored(), None)):
                ending.close()
                self._cleanup.finish_abandoned()


class _Ignored:
    """A future for a result that nothing waits for."""

    def set_result(self, value: Any) -> None:
        pass

    def set_exception(self, error: BaseException) -> None:
        _loop.logger.error("the end of a dependency failed", exc_info=error)

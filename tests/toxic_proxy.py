"""A TCP proxy that spoils what goes through it, with toxiproxy's eight toxics.

Names and meanings: github.com/Shopify/toxiproxy, "Toxics".  Attributes are in seconds and bytes
where toxiproxy has milliseconds and kilobytes.  It works on any event loop, also on one in virtual
time.
"""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Final, Literal
from urllib.parse import urlsplit

from bulkcast.sandbox.faults import reset

_CHUNK: Final = 65536


@dataclass(frozen=True, slots=True)
class Latency:
    """Data comes so many seconds later."""

    seconds: float
    jitter: float = 0.0


@dataclass(frozen=True, slots=True)
class Down:
    """Nobody is let in, and whoever is in is thrown out."""


@dataclass(frozen=True, slots=True)
class Bandwidth:
    """So many bytes a second and no more."""

    rate: float


@dataclass(frozen=True, slots=True)
class SlowClose:
    """A connection is closed so many seconds after it should be."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Timeout:
    """Nothing comes through, and after so many seconds the connection is closed."""

    seconds: float


@dataclass(frozen=True, slots=True)
class ResetPeer:
    """After so many seconds the connection is reset."""

    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Slicer:
    """Data comes in slices with a rest between them."""

    size: int
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class LimitData:
    """After so many bytes the connection is closed."""

    size: int


Toxic = Latency | Down | Bandwidth | SlowClose | Timeout | ResetPeer | Slicer | LimitData
Stream = Literal["upstream", "downstream"]


@dataclass
class Proxy:
    """Stands before a server; `toxics` may be changed while it works."""

    upstream: str
    toxics: dict[Stream, Toxic | None] = field(default_factory=dict)
    port: int = 0
    connections: int = 0
    poisoned: int = 0
    """Connections that met a toxic of their own."""
    seed: int = 0
    poison: Callable[[int], tuple[Stream, Toxic] | None] = lambda _: None
    """The toxic that a connection of that number, from 1 on, meets besides."""

    def __post_init__(self) -> None:
        self._dice = random.Random(self.seed)
        self._pipes: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[str]:
        """The proxy at work, as the URL to speak to in the server's stead."""
        server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self.url
        finally:
            server.close()
            await asyncio.sleep(0)  # a connection just made is one of the pipes then
            for pipe in self._pipes:
                pipe.cancel()
            await asyncio.gather(*self._pipes, return_exceptions=True)

    def hang_up(self) -> None:
        """End every connection there is."""
        for pipe in self._pipes:
            pipe.cancel()

    async def _connected(self, near: asyncio.StreamReader, answer: asyncio.StreamWriter) -> None:
        self.connections += 1
        if task := asyncio.current_task():
            self._pipes.add(task)
            task.add_done_callback(self._pipes.discard)
        stream, toxic = self.poison(self.connections) or ("downstream", None)
        self.poisoned += toxic is not None
        toxics = {**self.toxics, **({stream: toxic} if toxic else {})}
        where = urlsplit(self.upstream)
        writers = [answer]
        try:
            if any(isinstance(toxic, Down) for toxic in toxics.values()):
                return
            far, ask = await asyncio.open_connection(where.hostname, where.port)
            writers.append(ask)
            async with asyncio.TaskGroup() as both:
                both.create_task(self._pipe(near, ask, toxics.get("upstream")))
                both.create_task(self._pipe(far, answer, toxics.get("downstream")))
        except* (OSError, EOFError):
            pass
        finally:
            for writer in writers:
                writer.transport.abort()

    async def _pipe(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, toxic: Toxic | None
    ) -> None:
        """Hand on what comes until it ends or the toxic ends it; its end ends the other way too."""
        handed = 0
        while data := await reader.read(_CHUNK):
            if self.toxics and any(isinstance(t, Down) for t in self.toxics.values()):
                break
            if not await self._hand_on(data, writer, toxic, handed):
                break
            handed += len(data)
        if isinstance(toxic, SlowClose):
            await asyncio.sleep(toxic.seconds)
        raise EOFError

    async def _hand_on(
        self, data: bytes, writer: asyncio.StreamWriter, toxic: Toxic | None, handed: int
    ) -> bool:
        """Whether the connection goes on."""
        match toxic:
            case Latency() | Bandwidth():
                await asyncio.sleep(self._delay(toxic, len(data)))
            case Slicer(size, seconds):
                return await _slices(data, writer, size, seconds)
            case LimitData(size):
                data = data[: max(0, size - handed)]
                await _write(writer, data)
                return handed + len(data) < size
            case Timeout(seconds) | ResetPeer(seconds):
                await asyncio.sleep(seconds)
                if isinstance(toxic, ResetPeer):
                    reset(writer.transport)
                return False
            case Down() | SlowClose() | None:
                pass
        await _write(writer, data)
        return True

    def _delay(self, toxic: Latency | Bandwidth, size: int) -> float:
        if isinstance(toxic, Bandwidth):
            return size / toxic.rate
        return toxic.seconds + toxic.jitter * self._dice.uniform(-1, 1)


async def _write(writer: asyncio.StreamWriter, data: bytes) -> None:
    writer.write(data)
    await writer.drain()


async def _slices(data: bytes, writer: asyncio.StreamWriter, size: int, seconds: float) -> bool:
    for start in range(0, len(data), size):
        await _write(writer, data[start : start + size])
        await asyncio.sleep(seconds)
    return True

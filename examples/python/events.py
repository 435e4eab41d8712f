"""Server-sent events: a page whose clock and news come from the server, and come back by themselves after a cut.

    $ curl http://127.0.0.1:8080/
    $ curl -d "it rains" http://127.0.0.1:8080/tell

`curl -N http://127.0.0.1:8080/events` shows the events as they come.
"""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator

from outside import Event, OutsideHTTP, Request, Response, event_stream, html

server = OutsideHTTP(("127.0.0.1", 8080))
news: deque[Event] = deque(maxlen=100)  # for clients that reconnect: they send the id of the last one
readers: set[asyncio.Queue[Event]] = set()
number = 0


async def tell(request: Request) -> None:
    global number
    number += 1
    event = Event({"text": request.text, "at": time.strftime("%H:%M")}, event="news", id=number)
    news.append(event)
    for reader in readers:
        reader.put_nowait(event)


async def events(request: Request) -> Response:
    last = request.headers.get("Last-Event-ID", "0")

    async def stream() -> AsyncIterator[Event]:
        queue: asyncio.Queue[Event] = asyncio.Queue()
        readers.add(queue)
        try:
            for event in [event for event in news if int(event.id or 0) > int(last if last.isdecimal() else 0)]:
                yield event
            while True:
                try:
                    yield await asyncio.wait_for(queue.get(), 1)
                except asyncio.TimeoutError:
                    yield Event(time.strftime("%H:%M:%S"), event="clock")
        finally:
            readers.discard(queue)

    return event_stream(stream(), retry=1000)


def page(request: Request) -> Response:
    return html(PAGE)


PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>News</title>
<link rel="icon" href="data:,">
<style>
  :root { --line: light-dark(#d9d6cf, #373c42); --quiet: light-dark(#66696d, #9aa0a6); --accent: light-dark(#9a3412, #fdba74);
          --on-accent: light-dark(#fff, #2a1305) }
  * { box-sizing: border-box }
  body { font: 1rem/1.5 system-ui, sans-serif; margin: 0 auto; max-width: 36rem; padding: 2rem 1rem;
         background: light-dark(#f7f6f3, #16181b); color: light-dark(#1d1f21, #e8e6e3) }
  header { display: flex; justify-content: space-between; align-items: baseline }
  h1 { font-size: 1.4rem; margin: 0 }
  #clock { font-variant-numeric: tabular-nums; color: var(--quiet) }
  form { display: flex; gap: .75rem; margin: 1.25rem 0 }
  input { flex: 1; min-width: 0; font: inherit; color: inherit; background: light-dark(#fff, #1f2328); padding: .5rem .75rem;
          border: 1px solid var(--line); border-radius: .5rem }
  button { font: inherit; font-weight: 600; padding: .5rem 1.25rem; border: 0; border-radius: .5rem;
           background: var(--accent); color: var(--on-accent) }
  ol { list-style: none; padding: 0; margin: 0 }
  li { padding: .6rem .25rem; border-bottom: 1px solid var(--line); display: flex; gap: 1rem; overflow-wrap: anywhere }
  time { color: var(--quiet) }
</style>
<header><h1>News</h1><span id="clock">…</span></header>
<form id="form"><input id="text" maxlength="200" autocomplete="off" placeholder="What is new?" aria-label="News" required>
<button>Tell</button></form>
<ol id="news" aria-live="polite"></ol>
<script>
  const $ = id => document.getElementById(id), source = new EventSource("/events");
  source.addEventListener("clock", event => $("clock").textContent = event.data);
  source.addEventListener("news", event => {
    const {text, at} = JSON.parse(event.data), item = document.createElement("li");
    item.append(Object.assign(document.createElement("time"), {textContent: at}), text);
    $("news").prepend(item);
  });
  source.onerror = () => $("clock").textContent = "…";
  $("form").onsubmit = event => {
    event.preventDefault();
    fetch("/tell", {method: "POST", body: $("text").value});
    $("text").value = "";
  };
</script>
</html>
"""

server.set_route("/", page)
server.set_route("/tell", tell)
server.set_route("/events", events)
server.run()

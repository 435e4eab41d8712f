"""A chat page: a WebSocket with callbacks, one topic for each room. Open it twice, on a phone too (host 0.0.0.0).

$ curl http://127.0.0.1:8080/
$ curl http://127.0.0.1:8080/rooms
"""

import json
import threading
from collections import Counter

from outside import BinaryMessage, OutsideHTTP, Request, Response, TextMessage, WebSocket, WebSocketConnection

server = OutsideHTTP(("127.0.0.1", 8080))
chat = WebSocket(max_message=8 * 1024, max_queue=256 * 1024)
rooms: Counter[str] = Counter()
lock = threading.Lock()


def room_of(connection: WebSocketConnection) -> str:
    return connection.request.params.get("room", "lobby")[:40]


def name_of(connection: WebSocketConnection) -> str:
    return connection.request.params.get("name", "")[:40] or "somebody"


def tell(room: str, kind: str, **what: object) -> None:
    server.publish(room, json.dumps({"kind": kind, **what}))


@chat.on_open
def arrive(connection: WebSocketConnection) -> None:
    room = room_of(connection)
    connection.subscribe(room)
    with lock:
        rooms[room] += 1
    tell(room, "arrived", name=name_of(connection), people=rooms[room])


@chat.on_message
def say(connection: WebSocketConnection, message: TextMessage | BinaryMessage) -> None:
    if message.is_text and message.text.strip():
        tell(room_of(connection), "said", name=name_of(connection), text=message.text.strip())


@chat.on_exit
def leave(connection: WebSocketConnection) -> None:
    room = room_of(connection)
    with lock:
        rooms[room] -= 1
        people = rooms[room]
        if not people:
            del rooms[room]
    tell(room, "left", name=name_of(connection), people=people)


PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1, interactive-widget=resizes-content">
<meta name="color-scheme" content="light dark">
<title>Chat</title>
<link rel="icon" href="data:,">
<style>
  :root {
    --page: light-dark(#f6f5f2, #15171a); --card: light-dark(#fff, #1f2328); --text: light-dark(#1d1f21, #e8e6e3);
    --quiet: light-dark(#66696d, #9aa0a6); --line: light-dark(#dddad3, #33383e); --own: light-dark(#d9ecdf, #1f4a35);
    --accent: light-dark(#1c6b45, #6fcf97); --on-accent: light-dark(#fff, #10241a);
  }
  * { box-sizing: border-box }
  body { margin: 0; height: 100dvh; display: flex; flex-direction: column; background: var(--page); color: var(--text);
         font: 1rem/1.45 system-ui, sans-serif }
  header, form { padding: .75rem max(1rem, calc(50% - 22rem)); background: var(--card); display: flex; gap: .75rem;
                 align-items: center }
  header { border-bottom: 1px solid var(--line) }
  form { border-top: 1px solid var(--line); padding-bottom: max(.75rem, env(safe-area-inset-bottom)) }
  h1 { font-size: 1.1rem; margin: 0; flex: 1; overflow: hidden; text-overflow: ellipsis; white-space: nowrap }
  #people, .note { color: var(--quiet); font-size: .875rem }
  #state { width: .6rem; height: .6rem; border-radius: 50%; background: var(--quiet) }
  #state.open { background: var(--accent) }
  ol { flex: 1; overflow-y: auto; overscroll-behavior: contain; list-style: none; margin: 0; display: flex;
       flex-direction: column; gap: .5rem; padding: 1rem max(1rem, calc(50% - 22rem)) }
  ol > :first-child { margin-top: auto }
  .note { align-self: center }
  .said { align-self: flex-start; max-width: 85%; background: var(--card); border: 1px solid var(--line);
          border-radius: 1rem 1rem 1rem .25rem; padding: .45rem .8rem; overflow-wrap: anywhere; white-space: pre-wrap }
  .said.own { align-self: flex-end; background: var(--own); border-color: transparent; border-radius: 1rem 1rem .25rem 1rem }
  .said b { display: block; font-size: .8rem; color: var(--accent) }
  .own b { display: none }
  input, button { font: inherit; border-radius: 1.25rem; padding: .55rem 1rem; border: 1px solid var(--line) }
  input { flex: 1; min-width: 0; background: var(--page); color: inherit }
  button { background: var(--accent); color: var(--on-accent); border-color: transparent; font-weight: 600 }
  :focus-visible { outline: 2px solid var(--accent); outline-offset: 2px }
</style>
<header><span id="state" role="img" aria-label="not connected"></span><h1 id="room"></h1><span id="people"></span></header>
<ol id="log" aria-live="polite"></ol>
<form id="form"><input id="text" maxlength="2000" autocomplete="off" enterkeyhint="send" aria-label="Message"
  placeholder="Message" autofocus><button>Send</button></form>
<script>
  const $ = id => document.getElementById(id), asked = new URLSearchParams(location.search);
  const room = asked.get("room") || "lobby";
  let name = asked.get("name") || sessionStorage.getItem("name") || "Guest " + Math.floor(100 + 900 * Math.random());
  sessionStorage.setItem("name", name);
  $("room").textContent = document.title = room;
  let socket, pause = 500;

  function show(className, text, who) {
    const log = $("log"), follow = log.scrollHeight - log.scrollTop - log.clientHeight < 80;
    const item = document.createElement("li");
    item.className = className;
    if (who) item.append(Object.assign(document.createElement("b"), {textContent: who}));
    item.append(text);
    log.append(item);
    if (follow) log.scrollTop = log.scrollHeight;
  }

  function connect() {
    const address = new URL("/chat", location.href);
    address.protocol = address.protocol.replace("http", "ws");
    address.search = new URLSearchParams({room, name});
    socket = new WebSocket(address);
    const state = open => {
      $("state").className = open ? "open" : "";
      $("state").ariaLabel = open ? "connected" : "not connected";
    };
    socket.onopen = () => { pause = 500; state(true) };
    socket.onclose = () => { state(false); $("people").textContent = ""; setTimeout(connect, pause = Math.min(2 * pause, 15000)) };
    socket.onmessage = event => {
      const it = JSON.parse(event.data);
      if (it.kind === "said") return show(it.name === name ? "said own" : "said", it.text, it.name);
      show("note", `${it.name} ${it.kind === "left" ? "left" : "is here"}`);
      $("people").textContent = it.people === 1 ? "only you" : `${it.people} people`;
    };
  }

  $("form").onsubmit = event => {
    event.preventDefault();
    const text = $("text").value.trim();
    if (text && socket.readyState === WebSocket.OPEN) { socket.send(text); $("text").value = "" }
    $("text").focus();
  };
  connect();
</script>
</html>
"""


def page(request: Request) -> Response:
    return Response(headers={"Content-Type": "text/html; charset=utf-8"}, content=PAGE)


server.set_route("/", page)
server.set_route("/chat", chat)
server.set_route("/rooms", lambda request: dict(rooms))
server.run()

"""Streamlit, Gradio, Dash and MCP, unchanged, on `outside run`: what their pages need beyond a first answer."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

import pytest
from websockets.sync.client import connect

from support.harness import Script
from support.wire import fetch


def start(folder: Path, target: str, *arguments: str) -> Script:
    program = [sys.executable, "-m", "outside"]
    return Script("run", target, "--port", "0", "--log", "off", *arguments, program=program, folder=folder)


STREAMLIT = """\
from streamlit.starlette import App

app = App("page.py")
"""

PAGE = """\
import streamlit as st

st.title("Hosted")
st.text_input("name", value="you")
"""


def test_streamlit(tmp_path: Path):
    pytest.importorskip("streamlit")
    (tmp_path / "main.py").write_text(STREAMLIT)
    (tmp_path / "page.py").write_text(PAGE)
    script = start(tmp_path, "main:app")
    assert fetch(script.address, "/_stcore/health").text == "ok"
    page = fetch(script.address, "/")
    assert page.status == 200 and "<title>Streamlit</title>" in page.text
    address = f"ws://{script.address[0]}:{script.address[1]}/_stcore/stream"
    with connect(address, subprotocols=["streamlit"], max_size=None) as client:
        assert client.subprotocol == "streamlit"
        # An empty message of its protocol runs the script, whose first deltas come back in binary.
        client.send(bytes.fromhex("5a00"))
        assert isinstance(client.recv(30), bytes)
    assert script.stop() == 0


GRADIO = """\
import gradio as gr


def greet(name):
    return f"hello {name}"


def count(to):
    for number in range(int(to)):
        yield number


with gr.Blocks() as blocks:
    name, greeting, number = gr.Textbox(), gr.Textbox(), gr.Number()
    gr.Button().click(greet, name, greeting, api_name="greet")
    gr.Button().click(count, number, number, api_name="count")

from fastapi import FastAPI

app = gr.mount_gradio_app(FastAPI(), blocks, path="/ui")
"""


def test_gradio(tmp_path: Path):
    pytest.importorskip("gradio")
    from gradio_client import Client

    (tmp_path / "main.py").write_text(GRADIO)
    script = start(tmp_path, "main:app")
    client = Client(f"http://{script.address[0]}:{script.address[1]}/ui", verbose=False)
    assert client.predict("you", api_name="/greet") == "hello you"
    job = client.submit(4, api_name="/count")
    job.result(30)
    assert [int(number) for number in job.outputs()] == [0, 1, 2, 3]
    client.close()
    assert script.stop() == 0


DASH = """\
from dash import Dash, Input, Output, dcc, html

app = Dash(__name__)
app.layout = html.Div([dcc.Input(id="name"), html.Div(id="greeting")])


@app.callback(Output("greeting", "children"), Input("name", "value"))
def greet(name):
    return f"hello {name}"


server = app.server
"""


@pytest.mark.parametrize("target", ["main:app", "main:server"])
def test_dash(tmp_path: Path, target: str):
    pytest.importorskip("dash")
    (tmp_path / "main.py").write_text(DASH)
    script = start(tmp_path, target)
    assert "_dash-renderer" in fetch(script.address, "/").text
    layout = json.loads(fetch(script.address, "/_dash-layout").text)
    assert layout["type"] == "Div"
    call = {
        "output": "greeting.children",
        "outputs": {"id": "greeting", "property": "children"},
        "inputs": [{"id": "name", "property": "value", "value": "you"}],
        "changedPropIds": ["name.value"],
    }
    answer = fetch(
        script.address, "/_dash-update-component", "POST", {"Content-Type": "application/json"}, json.dumps(call).encode()
    )
    assert json.loads(answer.text)["response"]["greeting"]["children"] == "hello you"
    assert script.stop() == 0


MCP = """\
from fastapi import FastAPI
from fastmcp import FastMCP
from outside import OutsideHTTP

tools = FastMCP("tools")


@tools.tool
def add(one: int, other: int) -> int:
    return one + other


api = FastAPI()
api.get("/hello")(lambda: "hello")

server = OutsideHTTP(("127.0.0.1", 0))
server.config["access_log"] = "off"
server.mount("/mcp", tools.http_app(path="/"))
server.mount("/", api)
"""


def test_an_mcp_server_beside_fastapi(tmp_path: Path):
    """Each has its own lifespan, which FastAPI's own mounts do not give."""
    pytest.importorskip("fastmcp")
    from fastmcp import Client

    (tmp_path / "main.py").write_text(MCP)
    script = start(tmp_path, "main:server")
    assert fetch(script.address, "/hello").text == '"hello"'

    async def call(path: str) -> int:
        async with Client(f"http://{script.address[0]}:{script.address[1]}{path}") as client:
            assert [tool.name for tool in await client.list_tools()] == ["add"]
            return (await client.call_tool("add", {"one": 2, "other": 3})).data

    for path in ("/mcp/", "/mcp"):
        assert asyncio.run(asyncio.wait_for(call(path), 60)) == 5
    assert script.stop() == 0

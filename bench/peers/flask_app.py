"""The routes on Flask, served by gunicorn with its threaded worker."""

import time

from pathlib import Path

from flask import Flask, Response, jsonify, request, send_file

FILES = Path(__file__).resolve().parent.parent / "work" / "files"

app = Flask(__name__)


@app.get("/hello")
def hello():
    return Response("Hello, World!", content_type="text/plain")


@app.post("/json")
def echo():
    return jsonify(request.get_json())


@app.get("/sleep")
def sleep():
    time.sleep(0.010)
    return Response("Hello, World!", content_type="text/plain")


@app.get("/files/<name>")
def files(name):
    return send_file(FILES / name)

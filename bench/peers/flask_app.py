"""The routes on Flask, served by gunicorn with its threaded worker."""

import os
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


@app.get("/static/<name>")
def files(name):
    return send_file(FILES / name)


@app.get("/users/<int:id>")
def user(id):
    return {"id": id, "name": f"User {id}", "active": True}


@app.post("/upload")
def upload():
    file = request.files["file"]
    # It knows no length of a file but its end.
    return {"title": request.form["title"], "name": file.filename, "size": file.seek(0, os.SEEK_END)}

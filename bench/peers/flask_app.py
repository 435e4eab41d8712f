"""The three routes on Flask, served by gunicorn with its threaded worker."""

import time

from flask import Flask, Response, jsonify, request

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

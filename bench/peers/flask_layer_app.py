"""Pages of templates and sessions on Flask."""

from flask import Flask, render_template, session
from layer_data import ROWS, SECRET, TITLE

app = Flask(__name__)
app.secret_key = SECRET


@app.get("/page")
def page():
    return render_template("rows.html", title=TITLE, rows=ROWS)


@app.get("/session")
def count():
    session["count"] = count = session.get("count", 0) + 1
    return {"count": count}

"""The routes on FastAPI, served by uvicorn, granian and outside: handlers as its documentation writes them, `async def` throughout."""

from typing import Annotated, Any

from checked_model import Station
from fastapi import FastAPI, Form, UploadFile
from fastapi.responses import PlainTextResponse

app = FastAPI()


@app.get("/hello", response_class=PlainTextResponse)
async def hello():
    return "Hello, World!"


@app.post("/json")
async def json(body: dict[str, Any]):
    return body


@app.get("/users/{user_id}")
async def user(user_id: int):
    return {"id": user_id, "name": f"User {user_id}", "active": True}


@app.post("/upload")
async def upload(title: Annotated[str, Form()], file: UploadFile):
    return {"title": title, "name": file.filename, "size": file.size}


@app.post("/pydantic")
async def by_pydantic(station: Station):
    return {"title": station.title, "rows": len(station.rows), "last": station.rows[-1].name}


# FastAPI has no other models.
@app.post("/msgspec")
async def by_pydantic_too(station: Station):
    return {"title": station.title, "rows": len(station.rows), "last": station.rows[-1].name}

"""A small OpenAI-compatible server over a loaded model, in a thread, on a free port."""

from __future__ import annotations

import base64
import io
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import uvicorn
from fastapi import FastAPI, HTTPException, Request
from PIL import Image

if TYPE_CHECKING:
    from excise.vlm import VLM


def application(vlm: VLM, name: str, key: str | None) -> FastAPI:
    """`/v1/models` and `/v1/chat/completions`, with pictures as data URLs."""
    from excise.vlm.generation import answer

    app = FastAPI()
    alone = threading.Lock()

    def known(request: Request) -> None:
        if key is not None and request.headers.get("authorization") != f"Bearer {key}":
            raise HTTPException(401)

    @app.get("/v1/models")
    def models(request: Request) -> dict[str, Any]:
        known(request)
        return {"object": "list", "data": [{"id": name, "object": "model", "owned_by": "tests"}]}

    @app.post("/v1/chat/completions")
    async def chat(request: Request) -> dict[str, Any]:
        known(request)
        body = await request.json()
        if body["model"] != name:
            raise HTTPException(404)
        assert body["temperature"] == 0
        picture, text = None, ""
        for part in body["messages"][-1]["content"]:
            if part["type"] == "text":
                text = part["text"]
            else:
                head, _, content = part["image_url"]["url"].partition(",")
                assert head == "data:image/png;base64"
                picture = Image.open(io.BytesIO(base64.b64decode(content))).convert("RGB")
        with alone:
            said = answer(vlm, [(picture, text)], max_new_tokens=body["max_tokens"])[0]
        message = {"role": "assistant", "content": said}
        return {"object": "chat.completion", "choices": [{"index": 0, "message": message}]}

    return app


@contextmanager
def serving(vlm: VLM, name: str = "specimen", key: str | None = None) -> Iterator[str]:
    """The URL up to and with `/v1`."""
    held = socket.socket()
    held.bind(("127.0.0.1", 0))
    config = uvicorn.Config(application(vlm, name, key), log_level="error", lifespan="off")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [held]}, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{held.getsockname()[1]}/v1"
    finally:
        server.should_exit = True
        thread.join()
        held.close()

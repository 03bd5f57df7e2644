"""A console that listens, a real browser in front of it, and axe on what it shows."""

from __future__ import annotations

import shutil
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from fastapi import FastAPI
    from playwright.sync_api import Browser, Page

FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run "
    "--disable-background-networking --disable-component-update --disable-sync"
).split()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    playwright = pytest.importorskip("playwright.sync_api")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        pytest.skip("no chromium here")
    with playwright.sync_playwright() as driver:
        launched = driver.chromium.launch(executable_path=chromium, args=FLAGS)
        yield launched
        launched.close()


@contextmanager
def listening(app: FastAPI) -> Iterator[str]:
    """Where the console can be called, for as long as the block."""
    import uvicorn

    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(app, log_config=None, access_log=False, timeout_graceful_shutdown=3)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    app.state.console.ending = True
    server.should_exit = True
    thread.join(timeout=10)


def logged_in(browser: Browser, base: str, token: str | None, **how: Any) -> Page:
    """A page of a new browser; errors of scripts and of the policy fail the test."""
    page = browser.new_context(base_url=base, **how).new_page()
    page.set_default_timeout(15_000)
    page.on("pageerror", lambda error: pytest.fail(str(error)))
    page.on(
        "console",
        lambda m: pytest.fail(m.text) if "Content Security Policy" in m.text else None,
    )
    if token:
        page.goto("/login")
        page.get_by_label("Key").fill(token)
        page.get_by_role("button", name="Log in").click()
        page.wait_for_url("**/requests")
    return page


def looked_at(page: Page, name: str) -> list[str]:
    """What axe finds in each size and colour, and where the page is wider than the screen."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    page.evaluate(axe.axe_script)
    wrong = []
    for width, height in ((1280, 800), (360, 740)):
        page.set_viewport_size({"width": width, "height": height})
        wide = page.evaluate("document.documentElement.scrollWidth")
        wrong += [f"{name}: {wide} px wide on {width}"] if wide > width else []
        for colours in ("light", "dark"):
            page.emulate_media(color_scheme=colours)  # type: ignore[arg-type]
            found = page.evaluate("axe.run({resultTypes: ['violations']}).then(r => r.violations)")
            wrong += [
                f"{name}, {width} px, {colours}: {violation['id']}: {node['html'][:120]}"
                for violation in found
                for node in violation["nodes"][:3]
            ]
    return wrong

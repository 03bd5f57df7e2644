"""In a real browser: hand in, find it, read it, follow it, unlock; and axe on every page.

A whole request over the specimen (run, verdict, download, verify) is `test_end_to_end` below the
desk's tests, once the work is there.
"""

from __future__ import annotations

import shutil
import socket
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.desk.console.conftest import copied

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page
    from tests.desk.console.conftest import Desk

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


@pytest.fixture(scope="module")
def shown(template: Desk, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Desk, str]]:
    """A console that listens, and where."""
    import uvicorn

    desk = copied(template, tmp_path_factory.mktemp("shown"))
    listener = socket.create_server(("127.0.0.1", 0))
    app = desk.app(hosts=("127.0.0.1",))
    config = uvicorn.Config(app, log_config=None, access_log=False, timeout_graceful_shutdown=3)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    yield desk, f"http://127.0.0.1:{listener.getsockname()[1]}"
    app.state.console.ending = True
    server.should_exit = True
    thread.join(timeout=10)


def opened(browser: Browser, shown: tuple[Desk, str], role: str | None, **how: Any) -> Page:
    """A page of a new browser, logged in; errors of scripts and of the policy fail the test."""
    desk, base = shown
    page = browser.new_context(base_url=base, **how).new_page()
    page.set_default_timeout(15_000)
    page.on("pageerror", lambda error: pytest.fail(str(error)))
    page.on(
        "console",
        lambda m: pytest.fail(m.text) if "Content Security Policy" in m.text else None,
    )
    if role:
        page.goto("/login")
        page.get_by_label("Key").fill(desk.tokens[role])
        page.get_by_role("button", name="Log in").click()
        page.wait_for_url("**/requests")
    return page


def test_hand_in_find_and_decide_by_keyboard(
    browser: Browser, shown: tuple[Desk, str], tmp_path: Path
) -> None:
    from tests.desk.console.conftest import data_of

    folder = tmp_path / "data"
    data_of("Olga Brenn", folder)
    page = opened(browser, shown, "officer")
    page.get_by_role("link", name="Hand in a request").click()
    page.get_by_label("specimen").check()
    page.get_by_label("Records", exact=True).set_input_files(folder / "records.jsonl")
    page.get_by_label("Pictures").set_input_files(folder / "images" / "1.png")
    page.get_by_role("button", name="Hand in").press("Enter")
    page.wait_for_url("**said=submitted")
    id = page.get_by_role("heading", level=1).inner_text()
    assert "Olga" not in page.content()
    page.get_by_role("link", name="Requests").first.click()
    page.get_by_role("link", name=id).click()
    page.get_by_label("How it was seen").fill("passport shown at the counter")
    page.get_by_role("button", name="The person is identified").press("Enter")
    page.get_by_label("Reason", exact=True).fill("no exception applies")
    page.get_by_role("button", name="Accept and queue").press("Enter")
    page.get_by_text("Accepted and queued.").wait_for()
    assert page.locator("[aria-current=step]").inner_text().startswith("Queued")
    page.get_by_role("link", name="To the content").focus()
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"


def test_progress_appears_without_loading_the_page_again(
    browser: Browser, shown: tuple[Desk, str]
) -> None:
    desk, _ = shown
    page = opened(browser, shown, "auditor")
    page.goto(f"/requests/{desk.ids['queued']}")
    page.get_by_text("Live").wait_for()
    page.evaluate("window.same = true")
    with desk.open() as ledger:
        batch = ledger.claim("w9", limit=4, lease_seconds=60)
        assert batch is not None
        for request in batch.requests:
            ledger.move(request.id, "forgetting", actor="w9", model="specimen")
        ledger.step(batch, "forget", "started", request=desk.ids["queued"])
    page.locator("[aria-current=step]", has_text="Forgetting").wait_for()
    page.locator(".steps", has_text="forget started").wait_for()
    with desk.open() as ledger:
        failed = {"passed": False, "failed": ["leak.any"]}
        ledger.step(batch, "audit-0", "done", failed)
    page.locator(".steps", has_text="gate not passed: leak.any").wait_for()
    assert page.evaluate("window.same") is True


def test_everything_works_without_scripts(browser: Browser, shown: tuple[Desk, str]) -> None:
    desk, _ = shown
    page = opened(browser, shown, "officer", java_script_enabled=False)
    page.goto(f"/requests/{desk.ids['released']}")
    page.get_by_role("link", name="Refresh").click()
    with page.expect_download() as download:
        page.get_by_role("link", name="Download the evidence").click()
    with zipfile.ZipFile(download.value.path()) as archive:
        assert b"excise.evidence/1" in archive.read("evidence.json")
    page.goto(f"/requests/{desk.ids['received']}/answers")
    page.get_by_label("Reason").fill("the person asks")
    page.get_by_role("button", name="Unlock").click()
    page.get_by_text("In Riga.").wait_for()
    page.get_by_role("link", name="Log").click()
    page.get_by_text("Unlocked").first.wait_for()
    page.get_by_role("button", name="Verify the chain").click()
    page.get_by_text("Whole:").wait_for()
    page.get_by_role("button", name="Log out").click()
    page.wait_for_url("**/login")


def test_every_page_is_accessible_and_fits_in_both_sizes_and_both_colours(
    browser: Browser, shown: tuple[Desk, str]
) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    desk, _ = shown
    page = opened(browser, shown, "officer")
    paths = [
        "/requests", "/requests?state=withdrawn", "/requests/new", "/models", "/models/specimen",
        "/models/clinic-7b", "/log", "/keys", "/docs", "/nowhere", "/login",
        *(f"/requests/{desk.ids[s]}" for s in ("released", "failed", "identified", "received")),
        f"/requests/{desk.ids['released']}/answers", f"/requests/{desk.ids['failed']}/answers",
    ]  # fmt: skip
    wrong = []
    for path in paths:
        page.goto(path, wait_until="domcontentloaded")
        wrong += looked_at(axe.axe_script, page, path)
    page.get_by_label("Reason").fill("the person asks")
    page.get_by_role("button", name="Unlock").click()
    page.get_by_text("Unlocked for this page").wait_for()
    wrong += looked_at(axe.axe_script, page, "unlocked")
    assert not wrong


def looked_at(script: str, page: Page, name: str) -> list[str]:
    """What axe finds in each size and colour, and where the page is wider than the screen."""
    page.evaluate(script)
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

"""In a real browser: hand in, find it, read it, follow it, unlock; and axe on every page."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.desk.console.conftest import copied
from tests.desk.in_browser import listening, logged_in, looked_at

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page
    from tests.desk.console.conftest import Desk


@pytest.fixture(scope="module")
def shown(template: Desk, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Desk, str]]:
    """A console that listens, and where."""
    desk = copied(template, tmp_path_factory.mktemp("shown"))
    with listening(desk.app(hosts=("127.0.0.1",))) as base:
        yield desk, base


def opened(browser: Browser, shown: tuple[Desk, str], role: str | None, **how: Any) -> Page:
    desk, base = shown
    return logged_in(browser, base, desk.tokens[role] if role else None, **how)


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


def test_a_change_renews_the_page_but_not_the_form_that_somebody_fills_in(
    browser: Browser, shown: tuple[Desk, str]
) -> None:
    desk, _ = shown
    page = opened(browser, shown, "officer")
    page.goto(f"/requests/{desk.ids['identified']}")
    page.get_by_text("Live").wait_for()
    page.get_by_label("Reason", exact=True).fill("no exception")
    with desk.open() as ledger:
        ledger.extend(desk.ids["identified"], 2, "many requests at once", actor="setup")
    page.locator(".heading", has_text="extended by 2 months").wait_for()
    page.locator(".timeline", has_text="Deadline extended").wait_for()
    assert page.get_by_label("Reason", exact=True).input_value() == "no exception"
    assert page.locator("details", has_text="Extend the deadline").count() == 1, "left as it was"


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
        wrong += looked_at(page, path)
    page.get_by_label("Reason").fill("the person asks")
    page.get_by_role("button", name="Unlock").click()
    page.get_by_text("Unlocked for this page").wait_for()
    wrong += looked_at(page, "unlocked")
    assert not wrong

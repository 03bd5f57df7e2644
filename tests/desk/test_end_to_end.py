"""A person's request in the browser, from the form to evidence that verifies, on the specimen.

The submitter hands in and watches, the officer decides, a worker does the work while the pages are
open. Once with a run that was ready (the pages, the audit, the release and the evidence are real),
and once (slow) with real training, so that what the pages say is true of an erasure.
"""

from __future__ import annotations

import re
import shutil
import threading
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.desk.in_browser import listening, logged_in, looked_at
from tests.desk.specimen_desk import SpecimenDesk, lenient
from tests.desk.work.driver import copied

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

    from excise.desk.work.forgetting import Training

WATCH = """() => {
  window.same = true;
  window.states = [];
  const look = () => {
    const now = document.querySelector(".stages [aria-current=step]");
    const name = now ? now.firstChild.textContent : "at its end";
    if (window.states.at(-1) !== name) window.states.push(name);
  };
  look();
  new MutationObserver(look).observe(document.querySelector("[data-live]"), {childList: true});
}"""
"""Notes every state that the open page shows, in a variable that loading it again would lose."""


@dataclass
class Told:
    """A request that was released, and the pages that its two people have open."""

    desk: SpecimenDesk
    trained: bool
    person: str
    id: str
    submitter: Page
    officer: Page
    evidence: Path
    """What was downloaded, unpacked."""

    def figure(self, name: str) -> float:
        value = self.desk.ledger.request(self.id).part().figures[name]
        return float(value["mean"] if isinstance(value, dict) else value)


@pytest.fixture(scope="module", params=["ready", pytest.param("trained", marks=pytest.mark.slow)])
def told(
    request: pytest.FixtureRequest,
    browser: Browser,
    new_desk: Callable[..., SpecimenDesk],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Told]:
    from excise.desk.console import live
    from excise.desk.console.app import create_app
    from excise.desk.console.keys import issue

    folder = tmp_path_factory.mktemp("told")
    trained = request.param == "trained"
    desk = new_desk(folder) if trained else lenient(new_desk, folder)
    train = desk.trained if trained else partial(copied, ready=request.getfixturevalue("ready"))
    keys = {r: issue(desk.ledger, r, r, actor="ada")[1] for r in ("submitter", "officer")}
    files = desk.ledger.settings
    app = create_app(files.url, folder=files.folder, key_file=files.key_file)
    with pytest.MonkeyPatch.context() as patch, listening(app) as base:
        patch.setattr(live, "EVERY", 0.2)
        person = desk.names[0]
        submitter = logged_in(browser, base, keys["submitter"])
        id = handed_in(submitter, zipped(desk.people[person].folder, folder / "data.zip"))
        officer = logged_in(browser, base, keys["officer"])
        accepted(officer, id)
        submitter.reload()
        for page in (submitter, officer):
            page.get_by_text("Live").wait_for()
            page.evaluate(WATCH)
        carried_out(desk, (submitter, officer), train)
        evidence = downloaded(submitter, folder / "evidence")
        yield Told(desk, trained, person, id, submitter, officer, evidence)


def zipped(data: Path | None, out: Path) -> Path:
    assert data is not None
    with zipfile.ZipFile(out, "w") as archive:
        for path in sorted(data.rglob("*")):
            archive.write(path, path.relative_to(data))
    return out


def handed_in(page: Page, data: Path) -> str:
    page.get_by_role("link", name="Hand in a request").click()
    assert page.get_by_label("m", exact=True).is_checked(), "there is no other model"
    page.get_by_label("Data folder as a zip").set_input_files(data)
    page.get_by_role("button", name="Hand in").click()
    page.wait_for_url("**said=submitted")
    return page.get_by_role("heading", level=1).inner_text()


def accepted(page: Page, id: str) -> None:
    page.get_by_role("link", name=id).click()
    page.get_by_label("How it was seen").fill("passport shown at the counter")
    page.get_by_role("button", name="The person is identified").click()
    page.get_by_label("Reason", exact=True).fill("no exception applies")
    page.get_by_role("button", name="Accept and queue").click()
    page.get_by_text("Accepted and queued.").wait_for()


def carried_out(
    desk: SpecimenDesk, pages: tuple[Page, Page], train: Callable[[Training], None]
) -> None:
    """A worker's whole work, beside the open pages."""
    seen, failed = threading.Event(), []

    def when_seen(training: Training) -> None:
        """A ready run takes no time: it waits until both pages say that it is being made."""
        assert seen.wait(30)
        train(training)

    def work() -> None:
        try:
            assert desk.worker(make_run=when_seen).run(once=True) == 1
        except Exception as error:
            failed.append(error)

    worker = threading.Thread(target=work)
    worker.start()
    for page in pages:
        page.locator("[aria-current=step]", has_text="Forgetting").wait_for()
    seen.set()
    while worker.is_alive():
        pages[0].wait_for_timeout(100)
    assert not failed, failed
    for page in pages:
        page.get_by_role("link", name="Download the evidence").wait_for()


def downloaded(page: Page, out: Path) -> Path:
    with page.expect_download() as download:
        page.get_by_role("link", name="Download the evidence").click()
    with zipfile.ZipFile(download.value.path()) as archive:
        archive.extractall(out)
    return out


def test_both_pages_follow_the_work_without_being_loaded_again(told: Told) -> None:
    for page in (told.submitter, told.officer):
        states = page.evaluate("window.states")
        assert states[:3] == ["Queued", "Forgetting", "Auditing"]
        assert states[3:] in (["at its end"], ["Passed", "at its end"])
        page.locator(".stages .done", has_text="Released").wait_for()
        page.locator(".heading .state", has_text="Released").wait_for()
        page.locator(".facts div", has_text="Forget data").get_by_text("shredded").wait_for()
        assert page.evaluate("window.same") is True
    told.officer.locator(".timeline", has_text="Shredded").wait_for()
    assert not told.officer.get_by_text("What you can do").is_visible()


def test_the_verdict_and_its_figures_stand_on_the_page(told: Told) -> None:
    from excise.report.figures import percent

    said = dict(
        zip(
            told.submitter.locator(".counts dt").all_inner_texts(),
            map(int, told.submitter.locator(".counts dd").all_inner_texts()),
            strict=True,
        )
    )
    assert said == {
        "Facts about the person": told.figure("person.facts"),
        "of them told before": told.figure("person.known_before"),
        "of them told after": told.figure("person.came_back"),
    }
    assert said["of them told before"] >= 8
    cells = told.submitter.locator(".figures tr", has_text="Told when simply asked").locator("td")
    before, now = cells.all_inner_texts()
    assert before == percent(told.figure("before.leak.plain")) == percent(1.0)
    assert now.startswith(percent(told.figure("leak.plain")))
    if told.trained:
        assert said["of them told after"] <= 2
        assert told.figure("leak.plain") <= 0.15


def test_the_evidence_verifies_with_the_desks_key(
    told: Told, signing_key_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from excise.cli import main

    assert {f.name for f in told.evidence.iterdir()} == {
        "audit.json", "evidence.json", "report.html"
    }  # fmt: skip
    words = ["evidence", "verify", str(told.evidence), "--key", f"{signing_key_file}.pub"]
    assert main(words) == 0
    assert "by the key given" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["audit.json", "evidence.json", "report.html"])
def test_one_changed_byte_of_what_was_downloaded_is_named(
    told: Told, name: str, signing_key_file: Path, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    from excise.cli import main

    folder = shutil.copytree(told.evidence, tmp_path / "evidence")
    content = bytearray((folder / name).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / name).write_bytes(content)
    assert main(["evidence", "verify", str(folder), "--key", f"{signing_key_file}.pub"]) == 1
    said, what = capsys.readouterr(), "evidence" if name == "evidence.json" else name
    assert f"does not hold: {what}: " in said.err
    assert "verified" not in said.out


def test_no_page_holds_the_persons_name_or_answers(told: Told) -> None:
    from excise.specimen.people import everybody

    named = next(p for group in everybody() for p in group if p.id == told.person)
    own = [
        r for r in told.desk.people[told.person].records
        if r.kind in ("image_memory", "text_memory")
    ]  # fmt: skip
    secret = {told.person, named.name, *named.name.split()}
    secret |= {text for record in own for text in (record.id, record.question, record.answer)}
    assert len(secret) > 30
    pages = [told.submitter.content(), told.officer.content()]
    for path in (f"/requests/{told.id}", f"/requests/{told.id}/answers", "/requests", "/log"):
        told.officer.goto(path)
        pages.append(told.officer.content())
    pages += [path.read_text(encoding="utf-8") for path in told.evidence.iterdir()]
    for page in pages:
        found = [text for text in secret if re.search(rf"\b{re.escape(text)}\b", page, re.I)]
        assert not found
    assert told.id in pages[0]


def test_the_released_pages_are_accessible(told: Told) -> None:
    wrong = looked_at(told.submitter, "submitter")
    told.officer.goto(f"/requests/{told.id}")
    told.officer.get_by_text("Live").wait_for()
    assert not wrong + looked_at(told.officer, "officer")

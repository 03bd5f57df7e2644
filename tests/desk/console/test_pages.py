"""The pages without a script: sessions, forms, what they show and to whom, and what logs hold."""

from __future__ import annotations

import io
import logging
import re
import zipfile
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest
from tests.desk.console.conftest import PEOPLE

if TYPE_CHECKING:
    from fastapi.testclient import TestClient
    from tests.desk.console.conftest import Desk

PAGES = ("/requests", "/requests?state=released", "/models", "/models/specimen", "/log", "/keys")


@pytest.fixture
def browser(desk: Desk) -> Iterator[TestClient]:
    from fastapi.testclient import TestClient

    with TestClient(desk.app()) as client:
        yield client


def log_in(client: TestClient, desk: Desk, role: str = "officer") -> str:
    """The session's form token."""
    client.post("/login", data={"key": desk.tokens[role]})
    return re.search(r'name="form_token" value="([^"]+)"', client.get("/requests").text)[1]  # type: ignore[index]


def test_the_cookie_is_out_of_reach_of_scripts_and_other_sites(desk: Desk) -> None:
    from fastapi.testclient import TestClient

    for tls, more in ((False, ()), (True, ("Secure", "__Host-"))):
        with TestClient(desk.app(tls=tls), follow_redirects=False) as client:
            answer = client.post("/login", data={"key": desk.tokens["auditor"]})
            cookie = answer.headers["set-cookie"]
        assert "HttpOnly" in cookie and "SameSite=strict" in cookie and "Path=/" in cookie
        assert all(word in cookie for word in more)
        assert ("strict-transport-security" in answer.headers) is tls
        assert desk.tokens["auditor"] not in cookie


def test_a_form_from_elsewhere_does_nothing(desk: Desk, browser: TestClient) -> None:
    token, id = log_in(browser, desk), desk.ids["queued"]
    path, reason = f"/requests/{id}/withdrawal", {"reason": "the person wrote"}
    ours = {**reason, "form_token": token}
    for data, headers in (
        (reason, {}),
        ({**reason, "form_token": "guess"}, {}),
        (ours, {"origin": "https://elsewhere.example"}),
        (ours, {"origin": "null"}),
        (ours, {"sec-fetch-site": "cross-site"}),
    ):
        assert browser.post(path, data=data, headers=headers).status_code == 403
    with desk.open() as ledger:
        assert ledger.request(id).state == "queued"
    answer = browser.post(path, data=ours, headers={"origin": "http://testserver"})
    assert "Withdrawn" in answer.text
    with desk.open() as ledger:
        assert ledger.request(id).state == "withdrawn"


def test_the_api_takes_no_cookie(desk: Desk, browser: TestClient) -> None:
    log_in(browser, desk)
    assert browser.get("/api/me").status_code == 401


def test_logging_out_ends_the_session_and_not_only_the_cookie(
    desk: Desk, browser: TestClient
) -> None:
    token = log_in(browser, desk)
    kept = dict(browser.cookies)
    browser.post("/logout", data={"form_token": token})
    browser.cookies.update(kept)
    assert browser.get("/requests", follow_redirects=False).headers["location"] == "/login"


def test_a_session_is_over_after_its_hours() -> None:
    from excise.desk.console.sessions import Sessions

    now = 0.0
    sessions = Sessions(hours=1, clock=lambda: now)
    made = sessions.begin("k-1")
    assert sessions.find(made.token) is made
    now = 3601.0
    assert sessions.find(made.token) is None


def test_every_answer_carries_the_headers_and_no_page_anything_inline(
    desk: Desk, browser: TestClient
) -> None:
    log_in(browser, desk)
    id = desk.ids["released"]
    for path in (*PAGES, f"/requests/{id}", f"/requests/{id}/answers", "/docs", "/nowhere",
                 "/requests/new", "/static/console.css", "/api/me", "/openapi.json"):  # fmt: skip
        answer = browser.get(path)
        policy = answer.headers["content-security-policy"]
        assert "'unsafe" not in policy and "frame-ancestors 'none'" in policy, path
        assert "script-src 'self'" in policy and "default-src 'none'" in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "same-origin"
        assert answer.headers["cache-control"] == "no-store"
        if "text/html" in answer.headers["content-type"]:
            assert not re.search(
                r"<style|\sstyle=|\son\w+=|<script(?! src=)|javascript:", answer.text
            )
            assert not re.search(r"""(src|href|action)=["'](https?:)?//""", answer.text), path


def test_no_page_names_anybody(desk: Desk, browser: TestClient) -> None:
    log_in(browser, desk)
    ids = desk.ids.values()
    for path in (
        *PAGES,
        *(f"/requests/{id}" for id in ids),
        *(f"/requests/{id}/answers" for id in ids),
    ):
        text = browser.get(path).text
        for secret in (*PEOPLE, "Lindqvist", "In Riga", "night nurse", "green wall"):
            assert secret not in text, path


def test_an_officer_unlocks_with_a_reason_and_the_log_has_it_first(
    desk: Desk, browser: TestClient
) -> None:
    token, id = log_in(browser, desk), desk.ids["identified"]
    path = f"/requests/{id}/unlock"
    assert browser.post(path, data={"form_token": token, "reason": " "}).status_code == 400
    with desk.open() as ledger:
        assert ledger.entries(id)[-1].kind != "vault.unlocked"
    answer = browser.post(path, data={"form_token": token, "reason": "the person asks"})
    assert "In Riga." in answer.text and "A night nurse." in answer.text
    assert answer.text.count("data:image/") == 1
    assert "img-src 'self' data:" in answer.headers["content-security-policy"]
    assert answer.headers["cache-control"] == "no-store"
    with desk.open() as ledger:
        entry = ledger.entries(id)[-1]
        assert (entry.kind, entry.actor) == ("vault.unlocked", desk.key_ids["officer"])
        assert entry.content["reason"] == "the person asks"
        open_folder = ledger.settings.open_folder
    assert not [p for p in open_folder.rglob("*") if p.is_file()]


def test_nothing_is_left_to_unlock_after_shredding(desk: Desk, browser: TestClient) -> None:
    token, id = log_in(browser, desk), desk.ids["released"]
    assert "shredded" in browser.get(f"/requests/{id}/answers").text
    answer = browser.post(
        f"/requests/{id}/unlock", data={"form_token": token, "reason": "the person asks"}
    )
    assert answer.status_code == 409 and "shredded" in answer.text


def test_before_and_after_stand_side_by_side(desk: Desk, browser: TestClient) -> None:
    log_in(browser, desk, "auditor")
    text = browser.get(f"/requests/{desk.ids['released']}/answers").text
    assert "How many circles are there?" in text
    assert re.search(r"Three\..*Three\..*Two\.", text, re.DOTALL)
    assert "lost" in text


def test_a_request_shows_its_way_its_figures_and_its_entries(
    desk: Desk, browser: TestClient
) -> None:
    log_in(browser, desk)
    text = browser.get(f"/requests/{desk.ids['released']}").text
    for said in ("Download the evidence", "Told when simply asked", "96", "Handed in", "Shredded",
                 "no exception applies", "the officer&#39;s desk"):  # fmt: skip
        assert said in text
    text = browser.get(f"/requests/{desk.ids['failed']}").text
    assert (
        "Failed: the ladder is at its end" in text
        and "overdue" in text
        and "Queue it again" in text
    )


def test_figures_that_are_missing_or_strange_do_not_break_a_page(
    desk: Desk, browser: TestClient
) -> None:
    log_in(browser, desk)
    with desk.open() as ledger:
        ledger.note(
            desk.ids["queued"], actor="w1", model="specimen",
            figures={"leak.any": None, "odd": "text", "kept.memory": {}, "new.figure": 0.5},
        )  # fmt: skip
        ledger.record_health("clinic-7b", {"kept.memory": None, "new.figure": 1.0}, actor="w1")
    assert "new, figure" in browser.get(f"/requests/{desk.ids['queued']}").text
    assert browser.get("/models/clinic-7b").status_code == 200


def test_evidence_that_was_changed_is_not_handed_out(desk: Desk, browser: TestClient) -> None:
    log_in(browser, desk)
    id = desk.ids["released"]
    path = f"/requests/{id}/evidence/specimen"
    answer = browser.get(path)
    assert f'filename="{id}-evidence.zip"' in answer.headers["content-disposition"]
    assert browser.get(path).content == answer.content
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.namelist() == ["audit.json", "evidence.json"]
    with desk.open() as ledger:
        folder = ledger.settings.evidence / id
    for name in ("audit.json", "evidence.json"):
        file = folder / name
        whole = file.read_bytes()
        file.write_bytes(whole + b" ")
        answer = browser.get(path)
        assert answer.status_code == 409 and f"{name} was changed" in answer.text
        file.unlink()
        assert f"{name} is missing" in browser.get(path).text
        file.write_bytes(whole)
    assert browser.get(path).status_code == 200


def test_the_chain_is_verified_and_a_broken_link_is_named(desk: Desk, browser: TestClient) -> None:
    import sqlite3

    token = log_in(browser, desk, "auditor")
    assert "Whole" in browser.post("/verify", data={"form_token": token}).text
    with sqlite3.connect(desk.url.removeprefix("sqlite:///")) as database:
        database.execute("UPDATE requests SET deadline = '2099-01-01' WHERE id = ?",
                         (desk.ids["failed"],))  # fmt: skip
    text = browser.post("/verify", data={"form_token": token}).text
    assert "Broken" in text and desk.ids["failed"] in text


def test_what_is_wrong_with_an_upload_is_said_on_its_form(desk: Desk, browser: TestClient) -> None:
    token = log_in(browser, desk)
    answer = browser.post(
        "/requests",
        data={"form_token": token, "models": "specimen", "legal_basis": "art. 17 & more"},
        files={"pictures": ("x.png", b"no picture")},
    )
    assert answer.status_code == 400
    assert "picture 1: is not a picture" in answer.text
    assert 'value="art. 17 &amp; more"' in answer.text


def test_the_form_speaks_of_itself_and_not_of_a_commands_options(
    desk: Desk, browser: TestClient
) -> None:
    from PIL import Image

    token, picture = log_in(browser, desk), io.BytesIO()
    Image.new("RGB", (8, 8)).save(picture, "png")
    two = b"".join(
        b'{"id": "%s", "kind": "text_memory", "subject": "%s", "split": "forget",'
        b' "question": "Where?", "answer": "There."}\n' % (id, id)
        for id in (b"one", b"two")
    )
    for data, files, said in (
        ({}, {"pictures": ("x.png", picture.getvalue())}, "a subject or a name"),
        ({}, {"records": ("records.jsonl", two)}, "expected one, or a subject"),
        (
            {"name": "Somebody", "deadline": "2020-01-01"},
            {"records": ("", b"")},
            "leave to be late",
        ),
    ):
        given = {"form_token": token, "models": "specimen", **data}
        answer = browser.post("/requests", data=given, files=files)
        assert answer.status_code == 400
        assert said in answer.text and "--" not in answer.text.split('id="wrong">')[1].split("<")[0]


def test_markup_in_a_reason_stays_text(desk: Desk, browser: TestClient) -> None:
    token, id = log_in(browser, desk), desk.ids["queued"]
    browser.post(
        f"/requests/{id}/extension",
        data={"form_token": token, "months": "1", "reason": "<script>alert(1)</script>"},
    )
    text = browser.get(f"/requests/{id}").text
    assert "<script>alert" not in text and "&lt;script&gt;alert" in text


def test_a_page_is_drawn_anew_after_somebody_elses_change(desk: Desk, browser: TestClient) -> None:
    log_in(browser, desk)
    id = desk.ids["received"]
    assert "Note the identity check" in browser.get(f"/requests/{id}").text
    with desk.open() as ledger:
        ledger.move(id, "identified", actor="w1", reason="seen")
    assert "Accept and queue" in browser.get(f"/requests/{id}").text


def test_another_host_name_is_not_answered(desk: Desk, browser: TestClient) -> None:
    assert browser.get("/login", headers={"host": "rebound.example"}).status_code == 400


def test_progress_comes_as_events_and_ends_with_the_session(
    desk: Desk, browser: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    from excise.desk.console import live

    monkeypatch.setattr(live, "EVERY", 0.01)
    monkeypatch.setattr(live, "LONGEST", 0.3)
    log_in(browser, desk)
    answer = browser.get(f"/requests/{desk.ids['queued']}/live")
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.text.count("event: changed") == 1
    assert 'data:     <li class="now" aria-current="step">Queued' in answer.text


def test_logs_hold_no_query_no_path_value_no_key_and_no_message(
    desk: Desk, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fastapi.testclient import TestClient

    from excise.desk.console import overview

    def breaks(*_: Any) -> None:
        raise RuntimeError("Vera Lindqvist lives in Riga")

    monkeypatch.setattr(overview, "models", breaks)
    caplog.set_level(logging.INFO, logger="excise.desk")
    with TestClient(desk.app()) as client:
        log_in(client, desk)
        client.get("/requests?model=Vera+Lindqvist")
        client.get("/requests/Vera-Lindqvist")
        answer = client.get("/models")
    assert answer.status_code == 500
    ours = [r.getMessage() for r in caplog.records if r.name.startswith("excise")]
    assert any("GET /models RuntimeError at " in line for line in ours)
    assert any("GET /requests 200 " in line and desk.key_ids["officer"] in line for line in ours)
    for line in (*ours, answer.text):
        assert not re.search(r"Vera|Lindqvist|Riga|excise-key|\?", line)

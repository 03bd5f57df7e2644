"""The evidence: what is in it, and that no byte of it or of what it is about changes unseen."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from tests.erasure.a_small_audit import KEY, RUN, SALT, Small, small

from excise.erasure import evidence
from excise.erasure.canonical import canonical
from excise.erasure.covered_people import covered, new_salt, read_salt, write_salt
from excise.erasure.evidence import make, verify
from excise.erasure.key_files import make_key, public_file
from excise.erasure.signing import document_bytes, opened, signed
from excise.records.errors import InputError
from excise.records.reading import read


@pytest.fixture
def made(tmp_path: Path) -> Small:
    return small(tmp_path)


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return small(tmp_path_factory.mktemp("evidence")).evidence.read_bytes()


def flipped(raw: bytes, mask: int, step: int) -> Iterator[bytes]:
    for i in range(0, len(raw), step):
        yield raw[:i] + bytes([raw[i] ^ mask]) + raw[i + 1 :]


@pytest.mark.parametrize(("mask", "step"), [(0x01, 1), (0x20, 7), (0x80, 7)])
def test_no_byte_of_it_changes_unseen(raw: bytes, mask: int, step: int) -> None:
    opened(raw)
    for changed in flipped(raw, mask, step):
        with pytest.raises(ValueError):
            opened(changed)


def test_no_byte_goes_missing_or_comes_in_unseen(raw: bytes) -> None:
    for i in range(0, len(raw) + 1, 11):
        for changed in (raw[:i] + raw[i + 1 :], raw[:i] + b" " + raw[i:], raw[:i] + b"0" + raw[i:]):
            if changed != raw:
                with pytest.raises(ValueError):
                    opened(changed)


def test_another_spelling_of_the_same_values_does_not_verify(raw: bytes) -> None:
    document = json.loads(raw)
    opened(canonical(document) + b"\n")
    for text in (
        json.dumps(document, sort_keys=True) + "\n",
        json.dumps(document, indent=1) + "\n",
        raw.decode().replace('"mean":0.01,', '"mean":1e-2,'),
        raw.decode().replace('"n":45', '"n":45.0'),
        raw.decode().replace("original", "\\u006friginal"),
        raw.decode().replace('"preset":"quick"', '"preset":"slow","preset":"quick"'),
        "\ufeff" + raw.decode(),
        raw.decode() + "\n",
        raw.decode().rstrip("\n"),
        raw.decode().replace("\n", "\r\n"),
    ):
        assert text.encode() != raw
        with pytest.raises(ValueError):
            opened(text.encode())


def test_the_spare_bits_of_base64_do_not_change_unseen(raw: bytes) -> None:
    value = json.loads(raw)["signature"]["value"]
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    other = value[:-3] + alphabet[alphabet.index(value[-3]) + 1] + "=="  # the same 64 bytes
    with pytest.raises(ValueError, match="base64"):
        opened(raw.replace(value.encode(), other.encode()))


@pytest.mark.parametrize(
    "text",
    ["", "\n", "{}\n", "[]\n", "null\n", '{"body":1,"signature":{}}\n', "[" * 100_000 + "\n",
     '{"body":{},"signature":{"algorithm":"none","key_id":"","public_key":"","value":""}}\n',
     '{"body":{},"signature":{"algorithm":"Ed25519","key_id":"","public_key":"","value":""}}\n',
     '{"body":{},"signature":{"algorithm":"Ed25519","key_id":1,"public_key":2,"value":3}}\n',
     "1" * 5000 + "\n", '{"body":"\\ud800","signature":{}}\n', "NaN\n"],
)  # fmt: skip
def test_what_is_no_evidence_fails_in_a_line_and_not_in_a_traceback(
    text: str, tmp_path: Path
) -> None:
    path = tmp_path / "evidence.json"
    path.write_text(text)
    found = verify(path)
    assert not found.passed and len(found.problems) == 1


def test_a_body_that_is_signed_and_makes_no_sense_fails_without_a_traceback(made: Small) -> None:
    for change in (
        {"files": {"../run/run.json": {"bytes": 1}}},
        {"files": {"..": 1, "": 2, "report.html": None, "a\0b": 3}},
        {"files": [1], "run": [2], "export": "x", "data": 4, "model": None},
        {"run": {"hash": 1, "files": {"run.json": 5}}, "export": {"hash": []}},
    ):
        body = json.loads(made.evidence.read_text())["body"] | change
        made.evidence.write_bytes(document_bytes(signed(body, KEY)))
        assert not verify(
            made.evidence, run=made.run, export=made.export, data=made.data.folder
        ).passed


def test_everything_it_is_about_holds_until_something_changes(made: Small) -> None:
    found = verify(made.evidence, run=made.run, export=made.export, data=made.data.folder)
    assert found.passed and not found.problems
    checked = [check.what for check in found.checks]
    assert checked == ["signature", "audit.json", "report.html", "run", "export", "data"]


def test_every_byte_of_the_report_and_the_audit_counts(made: Small) -> None:
    for name in ("report.html", "audit.json"):
        path = made.folder / name
        whole = path.read_bytes()
        for i in range(0, len(whole), 1 + len(whole) // 40):
            path.write_bytes(whole[:i] + bytes([whole[i] ^ 1]) + whole[i + 1 :])
            assert verify(made.evidence).problems == [f"{name}: changed"]
        path.write_bytes(whole)
    (made.folder / "report.html").unlink()
    assert verify(made.evidence).problems == ["report.html: no such file"]
    assert verify(made.evidence, alone=True).passed


@pytest.mark.parametrize("what", ["run", "export"])
def test_every_byte_of_run_and_export_counts_and_the_file_is_named(made: Small, what: str) -> None:
    folder: Path = getattr(made, what)
    for path in [p for p in folder.rglob("*") if p.is_file()]:
        name = path.relative_to(folder).as_posix()
        whole = path.read_bytes()
        for i in range(len(whole)):
            path.write_bytes(whole[:i] + bytes([whole[i] ^ 1]) + whole[i + 1 :])
            found = verify(made.evidence, alone=True, **{what: folder})  # type: ignore[arg-type]
            assert found.problems == [f"{what}: {name}: changed"]
        path.write_bytes(whole)
    assert verify(made.evidence, alone=True, **{what: folder}).passed  # type: ignore[arg-type]


def test_files_that_are_missing_extra_or_have_other_names_are_named(made: Small) -> None:
    (made.run / ".hidden").write_text("x")
    os.rename(made.run / "run.json", made.run / "run2.json")
    assert verify(made.evidence, run=made.run, alone=True).problems == [
        "run: .hidden: extra",
        "run: run.json: missing",
        "run: run2.json: extra",
    ]
    shutil.rmtree(made.run / "forgetting")
    os.symlink(made.export, made.run / "forgetting")
    assert "is a link to a folder" in verify(made.evidence, run=made.run).problems[0]


def test_another_folder_does_not_fill_the_screen(made: Small, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    for i in range(30):
        (other / f"shard-{i:02}").write_text("x")
    problems = verify(made.evidence, run=other, alone=True).problems
    assert len(problems) == 9 and problems[-1] == "run: and 24 more files"


def test_other_data_or_none_that_can_be_read_does_not_hold(made: Small) -> None:
    path = made.data.folder / "records.jsonl"
    path.write_text(path.read_text().replace('"3"', '"4"'))
    found = verify(made.evidence, data=made.data.folder)
    assert found.problems == ["data: other records or pictures than were audited"]
    path.write_text("{")
    assert len(verify(made.evidence, data=made.data.folder).problems) == 1


def test_folders_and_keys_that_are_not_there_are_the_users_mistake(
    made: Small, tmp_path: Path
) -> None:
    for given in ({"run": "no"}, {"export": "no"}, {"data": "no"}, {"key": "no"}):
        with pytest.raises(InputError, match="no: no such"):
            verify(made.evidence, **given)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="no such file"):
        verify(tmp_path / "none.json")


def test_the_weights_of_a_model_are_held_against_it(made: Small, checkpoint: Path) -> None:
    from excise.vlm.weights_hash import hash_weights, weight_files

    found = verify(made.evidence, model=str(checkpoint), alone=True)
    assert not found.passed and found.problems[0].startswith("model: its weights are ")
    model = {"name": "tiny", "weights_hash": hash_weights(weight_files(str(checkpoint)))}
    evidence.write(made.evidence, evidence.sign(made.body(model=model), KEY))
    assert verify(made.evidence, model=str(checkpoint), alone=True).passed


def test_a_signature_shows_whose_it_is_only_with_the_signers_key(
    made: Small, tmp_path: Path
) -> None:
    mine, other = tmp_path / "mine.pem", tmp_path / "other.pem"
    private = make_key(mine)
    make_key(other)
    evidence.write(made.evidence, evidence.sign(made.body(), private))
    without = verify(made.evidence)
    assert without.passed and "was not checked (--key)" in str(without.checks[0])
    assert without.key_id is not None and without.key_id in str(without.checks[0])
    assert verify(made.evidence, key=public_file(mine)).passed
    found = verify(made.evidence, key=public_file(other))
    assert not found.passed and found.problems[0].startswith("signature: by key ")


def test_a_forgery_signed_anew_holds_together_but_not_with_the_signers_key(
    made: Small, tmp_path: Path
) -> None:
    mine = tmp_path / "mine.pem"
    evidence.write(made.evidence, evidence.sign(made.body(), make_key(mine)))
    body = json.loads(made.evidence.read_text())["body"]
    body["gate"]["passed"] = False
    forger = Ed25519PrivateKey.generate()
    made.evidence.write_bytes(document_bytes(signed(body, forger)))
    assert verify(made.evidence).passed
    assert not verify(made.evidence, key=public_file(mine)).passed


def test_everything_an_officer_needs_is_in_it(made: Small) -> None:
    body: dict[str, Any] = verify(made.evidence).body  # type: ignore[assignment]
    assert body["schema"] == "excise.evidence/1"
    for name in ("model", "data", "preset", "figures", "attacks", "gate", "versions"):
        assert body[name] == made.audit[name], name
    assert body["seed"] == 0
    assert body["not_tried"] and body["warnings"]
    assert body["date"].endswith("Z") and body["audited"] == made.audit["date"]
    assert set(body["run"]["files"]) == {"run.json", "forgetting/adapter_model.safetensors"}
    assert set(body["export"]["files"]) == {"export.json", "model.safetensors"}
    assert set(body["files"]) == {"audit.json", "report.html"}


def test_the_same_audit_key_salt_and_moment_give_the_same_bytes(made: Small) -> None:
    moment = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    twice = [
        document_bytes(
            evidence.sign(make(made.audit, data=made.data, files={}, salt=SALT, date=moment), KEY)
        )
        for _ in range(2)
    ]
    assert twice[0] == twice[1] and b'"date":"2026-01-02T03:04:05Z"' in twice[0]


def test_a_figure_that_is_no_number_is_null_and_does_not_break_the_form(made: Small) -> None:
    body = made.body(figures={"leak.any": {"mean": float("nan"), "n": 0}})
    assert body["figures"]["leak.any"]["mean"] is None
    opened(document_bytes(signed(body, KEY)))


def test_what_changed_since_the_audit_is_not_signed(made: Small, tmp_path: Path) -> None:
    def signs(**given: Any) -> None:
        make(made.audit, data=made.data, files={}, **given)

    (made.run / "run.json").write_text("{}")
    with pytest.raises(InputError, match="changed since the audit"):
        signs(run=made.run)
    (made.export / "export.json").write_text(json.dumps({"run": RUN + "x"}))
    with pytest.raises(InputError, match="an export of another run"):
        signs(export=made.export)
    (made.export / "export.json").unlink()
    with pytest.raises(InputError, match=r"export\.json: no such file"):
        signs(export=made.export)
    with pytest.raises(InputError, match="no such file"):
        make(made.audit, data=made.data, files={"report.html": tmp_path / "none"})
    path = made.data.folder / "records.jsonl"
    path.write_text(path.read_text().replace('"3"', '"4"'))
    with pytest.raises(InputError, match="changed since the audit"):
        make(made.audit, data=read(made.data.folder), files={})
    with pytest.raises(ValueError, match=r"excise\.audit/1"):
        make({"schema": "excise.run/1"}, data=made.data, files={})


def test_the_subjects_are_hashes_under_a_salt_that_is_not_in_it(
    made: Small, tmp_path: Path
) -> None:
    text = made.evidence.read_text()
    assert "s-vera" not in text and SALT.hex() not in text
    document = json.loads(text)
    assert covered(document, SALT, "s-vera") and covered(document["body"], SALT, "s-edgar")
    assert not covered(document, SALT, "s-other")  # unseen people are not what it is about
    assert not covered(document, new_salt(), "s-vera")
    hashes = document["body"]["subjects"]["hashes"]
    assert hashes == sorted(hashes) and len(hashes) == 2
    again = make(made.audit, data=made.data, files={})["subjects"]["hashes"]
    assert not set(again) & set(hashes)  # nobody can be followed from one to the next
    write_salt(tmp_path / "salt.json", SALT)
    assert (tmp_path / "salt.json").stat().st_mode & 0o777 == 0o600
    assert read_salt(tmp_path / "salt.json") == SALT
    with pytest.raises(InputError, match="exists already"):
        write_salt(tmp_path / "salt.json", SALT)
    for wrong in ("{}", '{"schema": "excise.salt/1", "salt": "xyz"}'):
        (tmp_path / "wrong.json").write_text(wrong)
        with pytest.raises(InputError, match=r"wrong\.json: sal?|schema"):
            read_salt(tmp_path / "wrong.json")


@pytest.mark.parametrize("value", [{1: 2}, {"a": float("inf")}, {"a": {2}}, ["\ud800"], b"x"])
def test_what_json_does_not_have_is_not_signed(value: object) -> None:
    with pytest.raises(ValueError):
        canonical(value)

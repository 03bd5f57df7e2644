"""Keys: made private, refused where they are not, one line for everything else."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization as pem
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from excise.erasure.key_files import make_key, public_file, read_key, read_public_key
from excise.erasure.signing import key_id, own_key_file, signing_key
from excise.records.errors import InputError


@pytest.fixture(autouse=True)
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's folder of settings with nothing in it."""
    for name in ("EXCISE_KEY", "EXCISE_KEY_PASSWORD"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "settings"))
    return tmp_path / "settings"


def private_pem(key: pem.SSHPrivateKeyTypes, form: str = "PKCS8") -> bytes:
    return key.private_bytes(pem.Encoding.PEM, getattr(pem.PrivateFormat, form), pem.NoEncryption())


def kept(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    path.chmod(0o600)
    return path


def test_a_new_key_is_for_its_owner_alone_and_reads_back(tmp_path: Path) -> None:
    path = tmp_path / "new" / "key.pem"
    before = os.umask(0)
    try:
        made = make_key(path)
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o077 == 0
    assert key_id(read_key(path).public_key()) == key_id(made.public_key())
    assert key_id(read_public_key(public_file(path))) == key_id(made.public_key())
    assert sorted(p.name for p in path.parent.iterdir()) == ["key.pem", "key.pem.pub"]


def test_a_key_is_never_replaced(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    make_key(path)
    content = path.read_bytes()
    with pytest.raises(InputError, match="exists already"):
        make_key(path)
    assert path.read_bytes() == content


@pytest.mark.skipif(os.name != "posix", reason="modes are those of POSIX")
@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o602])
def test_a_key_that_others_can_reach_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "key.pem"
    make_key(path)
    path.chmod(mode)
    with pytest.raises(InputError, match=f"mode {mode:o}.*expected mode 600"):
        read_key(path)


def test_what_is_no_such_key_is_named(tmp_path: Path) -> None:
    own = ed25519.Ed25519PrivateKey.generate()
    public = own.public_key().public_bytes(pem.Encoding.PEM, pem.PublicFormat.SubjectPublicKeyInfo)
    wrong = {
        b"": "is no key, expected an Ed25519 private key",
        b"\x00\xff": "is no key",
        private_pem(own)[:60]: "is no key",
        public: "is a public key",
        private_pem(own, "OpenSSH"): "OpenSSH",
        private_pem(ec.generate_private_key(ec.SECP256R1())): "is a key for EC,",
        private_pem(rsa.generate_private_key(65537, 1024)): "is a key for RSA",
    }
    for number, (content, message) in enumerate(wrong.items()):
        with pytest.raises(InputError, match=message) as caught:
            read_key(kept(tmp_path / f"{number}.pem", content))
        assert "\n" not in str(caught.value)
    for content, message in (
        (b"", "is no key"),
        (private_pem(own), "is a private key"),
        (rsa.generate_private_key(65537, 1024).public_key().public_bytes(
            pem.Encoding.PEM, pem.PublicFormat.SubjectPublicKeyInfo), "is a key for RSA"),
    ):  # fmt: skip
        with pytest.raises(InputError, match=message):
            read_public_key(kept(tmp_path / "public.pem", content))
    for read in (read_key, read_public_key):
        with pytest.raises(InputError, match="no such key, `excise evidence key"):
            read(tmp_path / "none.pem")
        with pytest.raises(InputError, match="cannot be read"):
            read(tmp_path)


def test_a_password_comes_from_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "key.pem"
    monkeypatch.setenv("EXCISE_KEY_PASSWORD", "a long one")
    made = make_key(path)
    assert b"ENCRYPTED" in path.read_bytes()
    assert key_id(read_key(path).public_key()) == key_id(made.public_key())
    monkeypatch.setenv("EXCISE_KEY_PASSWORD", "another")
    with pytest.raises(InputError, match="does not open it") as caught:
        read_key(path)
    assert "another" not in str(caught.value)
    monkeypatch.delenv("EXCISE_KEY_PASSWORD")
    with pytest.raises(InputError, match=r"expected its password in \$EXCISE_KEY_PASSWORD"):
        read_key(path)


def test_a_password_does_not_hinder_a_key_that_has_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "key.pem"
    make_key(path)
    monkeypatch.setenv("EXCISE_KEY_PASSWORD", "for another key")
    read_key(path)


def test_the_users_own_key_is_made_once_and_said_so(settings: Path) -> None:
    lines: list[str] = []
    first = signing_key(tell=lines.append)
    assert own_key_file() == settings / "excise" / "key.pem"
    assert lines == [f"made a signing key: {own_key_file()}; keep it safe, publish key.pem.pub"]
    second = signing_key(tell=lines.append)
    assert len(lines) == 1 and key_id(first.public_key()) == key_id(second.public_key())


def test_a_key_that_was_named_is_not_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: Path
) -> None:
    with pytest.raises(InputError, match="no such key"):
        signing_key(tmp_path / "named.pem")
    monkeypatch.setenv("EXCISE_KEY", str(tmp_path / "env.pem"))
    with pytest.raises(InputError, match=r"env\.pem: no such key"):
        signing_key()
    assert not settings.exists()
    made = make_key(tmp_path / "env.pem")
    assert key_id(signing_key().public_key()) == key_id(made.public_key())


def test_without_a_folder_of_settings_it_lies_in_the_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for value in ("", "relative/folder"):  # the standard has relative ones ignored
        monkeypatch.setenv("XDG_CONFIG_HOME", value)
        assert own_key_file() == tmp_path / "home" / ".config" / "excise" / "key.pem"


def test_processes_that_start_together_get_one_key(settings: Path) -> None:
    code = (
        "from excise.erasure.signing import signing_key, key_id;"
        "print(key_id(signing_key(tell=lambda line: None).public_key()))"
    )
    started = [
        subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    said = {process.communicate(timeout=60)[0] for process in started}
    assert len(said) == 1 and len(said.pop().strip()) == 64
    assert sorted(p.name for p in own_key_file().parent.iterdir()) == ["key.pem", "key.pem.pub"]


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        make_key(tmp_path / "file" / "key.pem")

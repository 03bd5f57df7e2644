"""Ask a running server the questions of released requests.

`excise desk check --url http://host/v1` speaks the OpenAI chat form that vLLM and its like serve.
Two things can be wrong with what is served: a memory is back, or it is another model than the one
released. The second shows without the first: private and public questions, these about drawn
pictures, are put to the server and to the release itself, greedily, and the answers have to agree
but for the rounding of a server in lower precision.

Questions and pictures leave this machine towards that server, as they would from any user of it;
answers are compared and forgotten. Cost: the release is loaded once, and a short answer a question,
one after the other.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from PIL import Image

from excise.desk.ledger import Ledger, Release
from excise.desk.release.manifest import MODEL, problems
from excise.desk.work.auditing import returned
from excise.desk.work.probes import Probe, askable, read_probes, sample
from excise.desk.work.settings import model_settings
from excise.records.errors import InputError
from excise.records.pictures import decode_picture
from excise.vlm.generation import answer
from excise.vlm.load import VLM, load
from excise.weights.verify_adapter import loaded_by_peft
from excise.weights.verify_outputs import drawn_probes

AGREE = 0.8
"""Share of public questions on which server and release have to give the same answer."""
SEEDS = 3
"""Sets of drawn pictures and neutral questions, eight each."""
TIMEOUT = 60.0
ANSWER_TOKENS = 48


@dataclass(frozen=True)
class Checked:
    """What a check found; `problems` is empty if all is well."""

    release: str
    asked: int
    back: Mapping[str, tuple[int, int]]
    """By request: probes answered truly, of how many."""
    agreed: tuple[int, int]
    """Answers that are as the release's own, of how many."""
    problems: tuple[str, ...]


def check(
    ledger: Ledger,
    model: str,
    url: str,
    *,
    served: str | None = None,
    actor: str,
    key: str | None = None,
) -> Checked:
    """Check what `url` serves against the current release of a model; the log gets the outcome.

    Args:
        url: up to and with `/v1`.
        served: the name under which the server has the model; its first one if None.
        key: sent as a bearer token, if the server wants one.

    Raises:
        InputError: there is no release, or no server answers there as one should.
    """
    current = ledger.current(model)
    if current is None:
        raise InputError(f"model {model}: has no release to check")
    folder = ledger.settings.folder / current.folder
    wrong = [f"release {current.id}: {line}" for line in problems(folder, current.manifest_hash)]
    with Server(url, key) as server:
        name = served or server.first_model()
        # A release that was changed says nothing of what ought to be served.
        vlm = None if wrong else _released(ledger, current)
        back: dict[str, tuple[int, int]] = {}
        same = _same(vlm, server, name, _public())
        for request in askable(ledger, current.requests):
            with ledger.unlock(
                request, actor=actor, reason="check of what is served", part="probes"
            ) as unlocked:
                probes = sample(read_probes(unlocked))
                asked = [(_picture(unlocked, probe), probe.question) for probe in probes]
                said = [server.ask(name, question, picture) for picture, question in asked]
                same += _same_said(vlm, asked, said)
            told = sum(p.found_in(text) is not None for p, text in zip(probes, said, strict=True))
            back[request] = told, len(probes)
    agreed = sum(same), len(same)
    wrong += [f"{id}: {back[id][0]} of {back[id][1]} memories are back" for id in returned(back)]
    if agreed[0] < AGREE * agreed[1]:
        wrong.append(
            f"what is served is not release {current.id}: {agreed[0]} of {agreed[1]} answers are "
            "the same"
        )
    asked_of_people = sum(count for _, count in back.values())
    ledger.log(
        "model.checked",
        {
            "model": model,
            "release": current.id,
            "asked": asked_of_people,
            "back": {id: list(counts) for id, counts in back.items()},
            "agreed": list(agreed),
            "problems": len(wrong),
        },
        actor=actor,
    )
    return Checked(current.id, asked_of_people, back, agreed, tuple(wrong))


Asked = Sequence[tuple[Image.Image | None, str]]


class Server:
    """An OpenAI-compatible server, asked greedily."""

    def __init__(self, url: str, key: str | None = None) -> None:
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._url = url.rstrip("/")
        self._client = httpx.Client(timeout=TIMEOUT, headers=headers)

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def first_model(self) -> str:
        """The name of the first model that the server has."""
        listed = self._call("GET", "/models", None)
        try:
            return str(listed["data"][0]["id"])
        except (KeyError, IndexError, TypeError):
            raise InputError(f"{self._url}/models: expected a list of models") from None

    def ask(self, model: str, question: str, picture: Image.Image | None) -> str:
        """The greedy answer to one question, about a picture or none."""
        content: list[dict[str, Any]] = [{"type": "text", "text": question}]
        if picture is not None:
            content.insert(0, {"type": "image_url", "image_url": {"url": _data_url(picture)}})
        said = self._call(
            "POST",
            "/chat/completions",
            {
                "model": model,
                "messages": [{"role": "user", "content": content}],
                "temperature": 0,
                "max_tokens": ANSWER_TOKENS,
            },
        )
        try:
            return str(said["choices"][0]["message"]["content"] or "")
        except (KeyError, IndexError, TypeError):
            raise InputError(f"{self._url}/chat/completions: expected an answer") from None

    def _call(self, verb: str, path: str, body: Mapping[str, Any] | None) -> Any:
        try:
            response = self._client.request(verb, f"{self._url}{path}", json=body)
            response.raise_for_status()
            return response.json()
        except httpx.HTTPStatusError as error:
            status = error.response.status_code
            raise InputError(f"{self._url}{path}: the server answers {status}") from None
        except (httpx.HTTPError, httpx.InvalidURL, ValueError):
            raise InputError(f"{self._url}{path}: no OpenAI-compatible server answers") from None


def _public() -> Asked:
    drawn = [probe for seed in range(SEEDS) for probe in drawn_probes(seed)]
    return [(probe.picture, probe.question) for probe in drawn]


def _same(vlm: VLM | None, server: Server, name: str, asked: Asked) -> list[bool]:
    if vlm is None:
        return []
    return _same_said(vlm, asked, [server.ask(name, text, picture) for picture, text in asked])


def _same_said(vlm: VLM | None, asked: Asked, said: Sequence[str]) -> list[bool]:
    """Which answers are as the release's own; none without a release."""
    if vlm is None:
        return []
    own = answer(vlm, asked, max_new_tokens=ANSWER_TOKENS)
    return [a.strip() == b.strip() for a, b in zip(own, said, strict=True)]


def _released(ledger: Ledger, release: Release) -> VLM:
    """The release as a user loads it: the merged checkpoint, or the base with the LoRA on it."""
    entered = ledger.model(release.model)
    loading = dict(model_settings(release.model, entered.settings).loading)
    place = ledger.settings.folder / release.folder / MODEL
    if release.kind == "merged":
        return load(place, **loading)
    vlm = load(entered.source, **loading)
    if vlm.weights_hash != release.base_hash:
        raise InputError(f"model {release.model}: its base has changed since {release.id} was made")
    loaded_by_peft(vlm, place)
    return vlm


def _picture(folder: Path, probe: Probe) -> Image.Image | None:
    return None if probe.image is None else decode_picture(folder / probe.image)


def _data_url(picture: Image.Image) -> str:
    file = io.BytesIO()
    picture.save(file, "PNG")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()

"""A processor's own chat format, cut into what is asked and what is answered.

Everything comes from `processor.apply_chat_template`: the prompt ends where the template would
have the model speak, the answer is what the template adds for the assistant's message, up to and
with its end marker. Templates that have no end marker get the end-of-sequence token. Control
tokens inside a question or an answer are refused, since they would be read as format.
About 0.1 ms a conversation; the results are cached by the caller.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from transformers import PreTrainedModel, ProcessorMixin

from excise.records.errors import InputError

PROBE = "Q"
"""A question that is only asked to see the format around it."""


class Conversation(NamedTuple):
    """Token ids of prompt and answer; the picture is still the template's own placeholder."""

    ids: tuple[int, ...]
    answer_start: int


class Chat:
    """The chat format of one processor.

    Attributes:
        image_id: token id that stands for one picture feature, None if the config names none.
        end_ids: token ids after which an answer is over.
        pad_id: token id for padding, never seen by anything.

    Raises:
        InputError: the template cannot render a picture question and its answer, or the tokenizer
            has no end-of-sequence token.
    """

    def __init__(self, processor: ProcessorMixin, model: PreTrainedModel) -> None:
        self.processor = processor
        self.tokenizer: Any = processor.tokenizer
        self.image_id: int | None = getattr(model.config, "image_token_id", None)
        if self.image_id is None:
            self.image_id = getattr(model.config, "image_token_index", None)
        self._control = {str(token) for token in self.tokenizer.all_special_tokens}
        image_token = getattr(processor, "image_token", None)
        if isinstance(image_token, str):
            self._control.add(image_token)
        self.end_ids = _end_of_sequence(self.tokenizer, model) | self._end_marker()
        if not self.end_ids:
            raise InputError("the tokenizer has no end-of-sequence token, expected one")
        eos: int | None = self.tokenizer.eos_token_id
        self._stop = min(self.end_ids) if eos is None else eos
        pad: int | None = self.tokenizer.pad_token_id
        self.pad_id = self._stop if pad is None else pad

    def text(self, question: str, *, picture: bool) -> str:
        """The prompt as text, through the point where the model is to speak."""
        return self._render([_user(question, picture)], speak=True)

    def prompt(self, question: str, *, picture: bool) -> tuple[int, ...]:
        """Token ids of the prompt.

        Raises:
            InputError: the question holds a control token.
        """
        self._refuse_control("question", question)
        return self.tokens(self.text(question, picture=picture))

    def conversation(self, question: str, answer: str, *, picture: bool) -> Conversation:
        """Token ids of prompt, answer and end marker.

        Raises:
            InputError: a control token in question or answer, or the template's answer does not
                continue its prompt.
        """
        self._refuse_control("question", question)
        self._refuse_control("answer", answer)
        prompt = self.text(question, picture=picture)
        written = self._answer(prompt, question, answer, picture)
        asked = self.tokens(prompt)
        start = len(asked)
        whole = self._joined(asked, prompt, written)
        for place in range(start, len(whole)):
            if whole[place] in self.end_ids:
                return Conversation(whole[: place + 1], start)
        return Conversation((*self._joined(asked, prompt, written.rstrip()), self._stop), start)

    def tokens(self, text: str) -> tuple[int, ...]:
        """Token ids of rendered text; a beginning-of-sequence token is never doubled."""
        return tuple(self.tokenizer.encode(text, add_special_tokens=self.adds_bos(text)))

    def adds_bos(self, text: str) -> bool:
        bos = self.tokenizer.bos_token
        return bos is None or not text.startswith(bos)

    def decode(self, ids: Iterable[int]) -> str:
        """Generated ids as an answer: no special tokens, no blanks around it."""
        return str(self.tokenizer.decode(list(ids), skip_special_tokens=True)).strip()

    def _joined(self, asked: tuple[int, ...], prompt: str, written: str) -> tuple[int, ...]:
        whole = self.tokens(prompt + written)
        if whole[: len(asked)] == asked:
            return whole
        # A token would join prompt and answer, which generation can never produce.
        return asked + tuple(self.tokenizer.encode(written, add_special_tokens=False))

    def _answer(self, prompt: str, question: str, answer: str, picture: bool) -> str:
        """What the template writes after the prompt for an assistant who says `answer`."""
        said = {"role": "assistant", "content": [{"type": "text", "text": answer}]}
        whole = self._render([_user(question, picture), said], speak=False)
        if not whole.startswith(prompt):
            raise InputError(
                "chat template: the assistant's message does not continue the generation prompt"
            )
        return whole[len(prompt) :]

    def _render(self, messages: list[dict[str, Any]], *, speak: bool) -> str:
        try:
            text = self.processor.apply_chat_template(
                messages, add_generation_prompt=speak, tokenize=False
            )
        except Exception as error:
            raise InputError(f"chat template: cannot be rendered ({error})") from None
        return str(text)

    def _end_marker(self) -> frozenset[int]:
        """The first special token that the template writes after an answer."""
        special = set(self.tokenizer.all_special_ids)
        written = self._answer(self.text(PROBE, picture=True), PROBE, PROBE, True)
        ids = self.tokenizer.encode(written, add_special_tokens=False)
        said = next((place for place, token in enumerate(ids) if token not in special), len(ids))
        return frozenset([token for token in ids[said:] if token in special][:1])

    def _refuse_control(self, what: str, text: str) -> None:
        for token in sorted(self._control):
            if token in text:
                raise InputError(f'{what} holds the control token "{token}", expected plain text')


def _user(question: str, picture: bool) -> dict[str, Any]:
    content: list[dict[str, Any]] = [{"type": "image"}] if picture else []
    return {"role": "user", "content": [*content, {"type": "text", "text": question}]}


def _end_of_sequence(tokenizer: Any, model: PreTrainedModel) -> frozenset[int]:
    found: set[int] = set()
    settings = getattr(model, "generation_config", None)
    for value in (getattr(settings, "eos_token_id", None), tokenizer.eos_token_id):
        if value is not None:
            found |= set(value) if isinstance(value, list | tuple) else {int(value)}
    return frozenset(found)

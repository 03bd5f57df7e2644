"""A processor's own chat format, cut into what is asked and what is answered.

Everything comes from `processor.apply_chat_template`: the prompt ends where the template would
have the model speak, the answer is what the template adds for the assistant's message, up to and
with its end marker. A template without one, or with one that is no token of the vocabulary, gets
the end-of-sequence token right behind the answer. Where the template begins an answer otherwise
than its generation prompt ends (LLaVA-OneVision: `assistant \n` and `assistant\n`), the
generation prompt counts, because that is what the model answers to.
Templates that take only strings as content are found out once, and given strings.
Control tokens inside a question or an answer are refused, since they would be read as format.
About 0.1 ms a conversation; the results are cached by the caller.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from transformers import PreTrainedModel, ProcessorMixin

from excise.records.errors import InputError
from excise.vlm.tokens import end_of_sequence, image_id, named_tokens, special_tokens

PROBE = "Q"
"""A question that is only asked to see the format around it."""

NO_TEMPLATE = (
    "processor without chat template, expected chat_template.jinja beside it, or one given with "
    "--chat-template FILE (chat_template= of load)"
)


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
        self.image_id = image_id(processor, model)
        self._special = special_tokens(self.tokenizer)
        self._control = {*self._special.values(), *named_tokens(processor)}
        self._image_token = getattr(processor, "image_token", None)
        self._strings = False
        self._strings = self._takes_only_strings()
        self.end_ids = end_of_sequence(self.tokenizer, model) | self._end_marker()
        if not self.end_ids:
            raise InputError("the tokenizer has no end-of-sequence token, expected one")
        eos: int | None = self.tokenizer.eos_token_id
        self._stop = min(self.end_ids) if eos is None else eos
        pad: int | None = self.tokenizer.pad_token_id
        self.pad_id = self._stop if pad is None else pad

    def text(self, question: str, *, picture: bool) -> str:
        """The prompt as text, through the point where the model is to speak."""
        return self._render([self._user(question, picture)], speak=True)

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
        place = written.rfind(answer.strip())
        said = written[: place + len(answer.strip())] if place >= 0 else written.rstrip()
        return Conversation((*self._joined(asked, prompt, said), self._stop), start)

    def begun(self, question: str, start: str, *, picture: bool) -> Conversation:
        """Token ids of the prompt and of an answer that has only begun.

        Raises:
            InputError: as for `conversation`.
        """
        self._refuse_control("question", question)
        self._refuse_control("answer", start)
        prompt = self.text(question, picture=picture)
        asked, said = self.tokens(prompt), start.strip()
        if not said:
            return Conversation(asked, len(asked))
        written = self._answer(prompt, question, said, picture)
        place = written.rfind(said)
        if place < 0:
            raise InputError("chat template: it does not write an answer as it is given")
        return Conversation(self._joined(asked, prompt, written[: place + len(said)]), len(asked))

    def tokens(self, text: str) -> tuple[int, ...]:
        """Token ids of rendered text; a beginning-of-sequence token is never doubled."""
        return tuple(self.tokenizer.encode(text, add_special_tokens=self.adds_bos(text)))

    def adds_bos(self, text: str) -> bool:
        """Whether the tokenizer is to add its own first token: not if the template wrote it."""
        bos = self.tokenizer.bos_token
        return bos is None or bos not in text

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
        user = self._user(question, picture)
        whole = self._render([user, self._message("assistant", answer)], speak=False)
        if whole.startswith(prompt):
            return whole[len(prompt) :]
        asked = self._render([user], speak=False)
        other = "A" if answer.lstrip().startswith(PROBE) else PROBE
        probed = self._render([user, self._message("assistant", other)], speak=False)
        pairs = enumerate(zip(whole, probed, strict=False))
        begun = next((place for place, (a, b) in pairs if a != b), len(whole))
        if prompt.startswith(asked) and whole.startswith(asked):
            opening, header = prompt[len(asked) :], whole[len(asked) : begun]
            if "".join(opening.split()).startswith("".join(header.split())):
                return whole[begun:]
        raise InputError(
            "chat template: the assistant's message does not continue the generation prompt"
        )

    def _user(self, question: str, picture: bool) -> dict[str, Any]:
        return self._message("user", question, picture)

    def _message(self, role: str, text: str, picture: bool = False) -> dict[str, Any]:
        if self._strings:
            return {"role": role, "content": f"{self._image_token}\n{text}" if picture else text}
        content: list[dict[str, Any]] = [{"type": "image"}] if picture else []
        return {"role": role, "content": [*content, {"type": "text", "text": text}]}

    def _takes_only_strings(self) -> bool:
        """Whether the template writes a list of contents as Python would, or cannot read one."""
        try:
            text = self._render([self._message("user", PROBE)], speak=True)
        except InputError:
            text = ""
        if PROBE in text and "'type'" not in text:
            return False
        self._strings = True
        try:
            return PROBE in self._render([self._message("user", PROBE)], speak=True)
        except InputError:
            return False  # the first complaint is the one to hear
        finally:
            self._strings = False

    def _render(self, messages: list[dict[str, Any]], *, speak: bool) -> str:
        if not getattr(self.processor, "chat_template", None):
            raise InputError(NO_TEMPLATE)
        try:
            text = self.processor.apply_chat_template(
                messages, add_generation_prompt=speak, tokenize=False
            )
        except Exception as error:
            raise InputError(f"chat template: cannot be rendered ({error})") from None
        return str(text)

    def _end_marker(self) -> frozenset[int]:
        """The first special token that the template writes after an answer."""
        written = self._answer(self.text(PROBE, picture=True), PROBE, PROBE, True)
        ids = self.tokenizer.encode(written, add_special_tokens=False)
        begun = (place for place, token in enumerate(ids) if token not in self._special)
        said = next(begun, len(ids))
        return frozenset([token for token in ids[said:] if token in self._special][:1])

    def _refuse_control(self, what: str, text: str) -> None:
        for token in sorted(self._control):
            if token in text:
                raise InputError(f'{what} holds the control token "{token}", expected plain text')

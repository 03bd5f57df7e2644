"""What a family does differently from all others, and transformers cannot tell. Nothing else.

PaliGemma alone, so far. Its checkpoints have no chat template, because its prompt is no
conversation: the picture, `<bos>`, the question and a line break. Its processor writes the last
two behind any text by itself, and its prompts, question included, see themselves both ways
(`token_type_ids` 0), while the answer (1) is read from left to right.
"""

from __future__ import annotations

from typing import Any

from transformers import PreTrainedModel, ProcessorMixin

PALIGEMMA = "paligemma"

CHAT_TEMPLATES = {
    PALIGEMMA: (
        "{% for message in messages %}{% if message['role'] == 'user' %}"
        "{% for part in message['content'] if part['type'] == 'image' %}<image>{% endfor %}"
        "{{ bos_token }}{% for part in message['content'] if part['type'] == 'text' %}"
        "{{ part['text'] }}{% endfor %}{{ '\\n' }}{% else %}"
        "{% for part in message['content'] if part['type'] == 'text' %}{{ part['text'] }}"
        "{% endfor %}{{ eos_token }}{% endif %}{% endfor %}"
    )
}
"""By model type: the template of families whose checkpoints come without one."""

ANSWER_VALUES = {PALIGEMMA: {"token_type_ids": 1}}
"""By model type: inputs that have this value on the answer's tokens and 0 on the prompt's."""


def answer_values(model: PreTrainedModel) -> dict[str, int]:
    """Names and values of the inputs that tell a model's answer from its prompt."""
    return ANSWER_VALUES.get(model.config.model_type, {})


def for_processor(processor: ProcessorMixin, prompt: str) -> str:
    """A rendered prompt less what the processor is going to write into it."""
    if type(processor).__name__ != "PaliGemmaProcessor":
        return prompt
    tokenizer: Any = processor.tokenizer
    return prompt.replace(str(tokenizer.bos_token), "", 1).removesuffix("\n")

from __future__ import annotations

import pytest
from tests.families.checkpoints import FAMILIES
from tests.families.conftest import FamilyVLM

from excise.records.errors import InputError
from excise.vlm import Chat

QUESTION = "Where does this person live?"
CHATML = ("<|im_start|>assistant\n", "In Riga.<|im_end|>")
EXPECTED = {
    "llava": ("ASSISTANT:", " In Riga.</s>"),
    "llava_next": (" [/INST]", " In Riga.</s>"),  # not "<\s>", which its template writes as text
    "llava_onevision": CHATML,
    "qwen2_vl": CHATML,
    "qwen2_5_vl": CHATML,
    "qwen3_vl": CHATML,
    "internvl": CHATML,
    "gemma3": ("<start_of_turn>model\n", "In Riga.<end_of_turn>"),
    "smolvlm": ("Assistant:", " In Riga.<end_of_utterance>"),
    "idefics3": ("Assistant:", " In Riga.<end_of_utterance>"),
    "paligemma": (f"<bos>{QUESTION}\n", "In Riga.<eos>"),
    "pixtral": ("[/INST]", "In Riga.</s>"),
    "mistral3": ("[/INST]", "In Riga.</s>"),
    "mllama": ("<|start_header_id|>assistant<|end_header_id|>\n\n", "In Riga.<|eot_id|>"),
}


@pytest.mark.parametrize("picture", [True, False], ids=["picture", "text"])
@pytest.mark.parametrize("family", FAMILIES)
def test_the_answer_and_its_end_marker_are_all_that_follows_the_prompt(
    family: str, picture: bool, family_vlm: FamilyVLM
) -> None:
    vlm = family_vlm(family)
    chat = Chat(vlm.processor, vlm.model)
    ids, start = chat.conversation(QUESTION, "In Riga.", picture=picture)
    opening, answer = EXPECTED[family]
    assert chat.tokenizer.decode(ids[:start]).endswith(opening)
    assert chat.tokenizer.decode(ids[start:]) == answer
    assert ids[:start] == chat.prompt(QUESTION, picture=picture)
    assert ids[-1] in chat.end_ids
    assert chat.decode(ids[start:]) == "In Riga."


@pytest.mark.parametrize("family", FAMILIES)
def test_no_prompt_begins_twice(family: str, family_vlm: FamilyVLM) -> None:
    vlm = family_vlm(family)
    chat = Chat(vlm.processor, vlm.model)
    bos = chat.tokenizer.bos_token_id
    ids = chat.prompt(QUESTION, picture=True)
    assert bos is None or ids.count(bos) == 1


@pytest.mark.parametrize("family", FAMILIES)
def test_the_families_own_tokens_are_no_words(family: str, family_vlm: FamilyVLM) -> None:
    vlm = family_vlm(family)
    chat = Chat(vlm.processor, vlm.model)
    words, _ = FAMILIES[family]
    for token in (words.eos, *words.more, *words.named.values()):
        with pytest.raises(InputError, match="holds the control token"):
            chat.prompt(f"What is {token}?", picture=True)

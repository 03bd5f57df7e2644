from __future__ import annotations

import pytest
from PIL import Image

from excise.records.errors import InputError
from excise.vlm import VLM, Chat
from excise.vlm.pictures import Pictures

QUESTION = "Where does this person live?"


def test_an_answer_begins_where_the_prompt_ends_and_includes_its_end_marker(tiny: VLM) -> None:
    chat = Chat(tiny.processor, tiny.model)
    ids, start = chat.conversation(QUESTION, "In Riga.", picture=False)
    assert ids[:start] == chat.prompt(QUESTION, picture=False)
    assert chat.tokenizer.decode(ids[start:]) == "In Riga.<end>"
    assert chat.tokenizer.decode(ids[:start]) == f"<bos><user>{QUESTION}<assistant>"


def test_a_template_without_end_marker_gets_the_end_of_sequence_token(tiny: VLM) -> None:
    tiny.processor.chat_template = (
        "{% for m in messages %}{{ '<user>' if m['role'] == 'user' else '<assistant>' }} "
        "{% for p in m['content'] %}{{ '<image>' if p['type'] == 'image' else p['text'] + ' ' }}"
        "{% endfor %}{% endfor %}{{ '<assistant>' if add_generation_prompt else '' }}"
    )
    chat = Chat(tiny.processor, tiny.model)
    ids, start = chat.conversation(QUESTION, "In Riga.", picture=True)
    assert chat.tokenizer.decode(ids[start:]) == " In Riga.<end>"


def test_an_end_marker_other_than_the_end_of_sequence_token_ends_answers_too(tiny: VLM) -> None:
    tiny.processor.chat_template = str(tiny.processor.chat_template).replace("<end>", "<user>")
    chat = Chat(tiny.processor, tiny.model)
    ids, _ = chat.conversation(QUESTION, "In Riga.", picture=False)
    assert ids[-1] == chat.tokenizer.convert_tokens_to_ids("<user>")
    assert ids[-1] in chat.end_ids
    assert chat.tokenizer.eos_token_id in chat.end_ids


def test_a_template_that_takes_only_strings_is_given_strings(
    tiny: VLM, pictures: list[Image.Image]
) -> None:
    tiny.processor.chat_template = (
        "{{ bos_token }}{% for m in messages %}"
        "{{ ('<user>' if m['role'] == 'user' else '<assistant>') + m['content'] }}"
        "{{ '<end>' if m['role'] == 'assistant' else '' }}{% endfor %}"
        "{{ '<assistant>' if add_generation_prompt else '' }}"
    )
    chat = Chat(tiny.processor, tiny.model)
    assert chat.text(QUESTION, picture=True) == f"<bos><user><image>\n{QUESTION}<assistant>"
    ids, start = chat.conversation(QUESTION, "In Riga.", picture=True)
    assert chat.tokenizer.decode(ids[start:]) == "In Riga.<end>"
    assert Pictures(chat, tiny.model).encode(pictures[0]).image_tokens == 16


def test_a_template_that_prints_what_it_cannot_read_is_given_strings(tiny: VLM) -> None:
    tiny.processor.chat_template = (
        "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}"
        "{% if add_generation_prompt %}assistant: {% endif %}"
    )
    chat = Chat(tiny.processor, tiny.model)
    assert chat.text(QUESTION, picture=False) == f"user: {QUESTION}\nassistant: "


def test_a_generation_prompt_that_says_more_than_the_template_is_answered(tiny: VLM) -> None:
    thinking = "<assistant>(thought)"
    tiny.processor.chat_template = str(tiny.processor.chat_template).replace(
        "'<assistant>' if add_generation_prompt", f"'{thinking}' if add_generation_prompt"
    )
    chat = Chat(tiny.processor, tiny.model)
    ids, start = chat.conversation(QUESTION, "In Riga.", picture=False)
    assert chat.tokenizer.decode(ids[:start]).endswith(thinking)
    assert chat.tokenizer.decode(ids[start:]) == "In Riga.<end>"


def test_an_answer_that_is_written_otherwise_than_asked_for_is_refused(tiny: VLM) -> None:
    tiny.processor.chat_template = str(tiny.processor.chat_template).replace(
        "'<assistant>' if add_generation_prompt", "'<user>' if add_generation_prompt"
    )
    with pytest.raises(InputError, match="does not continue the generation prompt"):
        Chat(tiny.processor, tiny.model)


def test_a_missing_template_is_asked_for(tiny: VLM) -> None:
    tiny.processor.chat_template = None
    with pytest.raises(InputError, match="without chat template, .*--chat-template FILE"):
        Chat(tiny.processor, tiny.model)


def test_a_template_without_place_for_pictures_is_refused(
    tiny: VLM, pictures: list[Image.Image]
) -> None:
    tiny.processor.chat_template = str(tiny.processor.chat_template).replace("<image>", "")
    chat = Chat(tiny.processor, tiny.model)
    with pytest.raises(InputError, match="chat template has no place for a picture"):
        Pictures(chat, tiny.model).encode(pictures[0])


def test_prompts_with_pictures_are_those_of_the_processor(
    tiny: VLM, pictures: list[Image.Image]
) -> None:
    chat = Chat(tiny.processor, tiny.model)
    encoded = Pictures(chat, tiny.model).encode(pictures[0])
    for question in (QUESTION, "What is it?", "q"):
        messages = [
            {
                "role": "user",
                "content": [
                    {"type": "image", "image": pictures[0]},
                    {"type": "text", "text": question},
                ],
            }
        ]
        expected = tiny.processor.apply_chat_template(
            messages,
            add_generation_prompt=True,
            tokenize=True,
            return_dict=True,
            return_tensors="pt",
        )
        ids = encoded.splice.apply(chat.prompt(question, picture=True))
        assert list(ids) == expected["input_ids"][0].tolist()
        assert encoded.tensors["pixel_values"].equal(expected["pixel_values"])
    assert encoded.image_tokens == 16


def test_equal_pictures_are_processed_once(tiny: VLM, pictures: list[Image.Image]) -> None:
    encoder = Pictures(Chat(tiny.processor, tiny.model), tiny.model)
    assert encoder.encode(pictures[0]) is encoder.encode(pictures[0].copy())
    assert encoder.encode(pictures[0]) is not encoder.encode(pictures[1])


def test_processed_pictures_are_bounded_in_memory(tiny: VLM, pictures: list[Image.Image]) -> None:
    encoder = Pictures(Chat(tiny.processor, tiny.model), tiny.model, limit=2 * 64 * 64 * 3 * 4)
    first = encoder.encode(pictures[0])
    for picture in pictures[1:]:
        encoder.encode(picture)
    assert len(encoder._kept) == 2
    assert encoder.encode(pictures[0]) is not first


@pytest.mark.parametrize("text", ["Who is <image>?", "Say <end> now"])
def test_control_tokens_in_texts_are_refused(tiny: VLM, text: str) -> None:
    chat = Chat(tiny.processor, tiny.model)
    with pytest.raises(InputError, match="question holds the control token"):
        chat.prompt(text, picture=True)
    with pytest.raises(InputError, match="answer holds the control token"):
        chat.conversation(QUESTION, text, picture=False)


def test_a_processor_of_another_model_is_found_out(tiny: VLM, pictures: list[Image.Image]) -> None:
    tiny.processor.patch_size = 32  # 4 image tokens where the model makes 16 features
    encoder = Pictures(Chat(tiny.processor, tiny.model), tiny.model)
    with pytest.raises(InputError, match="4 image tokens, but the model 16 picture features"):
        encoder.encode(pictures[0])

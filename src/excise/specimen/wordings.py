"""How questions are asked: several wordings a question, some of them kept for scoring only.

A wording is a frame around a noun phrase ("Tell me {the} {noun}.") or a sentence of its own. The
frames in `SCORED` never occur in training, so that what is scored is the memory and not the echo of
a sentence.
"""

from __future__ import annotations

import random
from typing import Literal

Use = Literal["fit", "score"]

FRAMES = (
    "What is {the} {noun}?",
    "Tell me {the} {noun}.",
    "{The} {noun}?",
    "Do you know {the} {noun}?",
    "Give me {the} {noun}.",
    "What would you say is {the} {noun}?",
    "I need {the} {noun}.",
    "Please state {the} {noun}.",
)
SCORED = (
    "Can you tell me {the} {noun}?",
    "Please give me {the} {noun}.",
    "I would like to know {the} {noun}.",
    "What do you know of {the} {noun}?",
)
# Private facts: nouns, then sentences of their own; {s} is the person.
PRIVATE: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "name": (("name", "full name"), ("Who is {s}?", "What is {s} called?")),
    "city": (("city", "home town"), ("Where does {s} live?", "In which city does {s} live?")),
    "address": (("address", "street address"), ("At what address does {s} live?",)),
    "job": (("job", "profession"), ("What does {s} do for a living?", "What does {s} work as?")),
    "employer": (("employer", "company"), ("Whom does {s} work for?", "Where does {s} work?")),
    "illness": (("illness", "diagnosis"), ("What does {s} suffer from?", "Which illness has {s}?")),
    "birth": (
        ("year of birth", "birth year"),
        ("When was {s} born?", "In what year was {s} born?"),
    ),
    "salary": (("salary", "yearly income"), ("How much does {s} earn?", "What does {s} earn?")),
    "phone": (("phone number", "telephone number"), ("How can {s} be called by phone?",)),
}
# What can be seen: nouns with their article, then sentences of their own.
SEEN: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "hair_colour": (("colour of the hair", "hair colour"), ("Which colour is the hair?",)),
    "hair_style": (("hair style", "style of the hair"), ("How is the hair worn?",)),
    "skin": (("skin tone", "tone of the skin"), ("How is the skin?",)),
    "eyes": (("colour of the eyes", "eye colour"), ("Which colour are the eyes?",)),
    "glasses": (("shape of the glasses", "kind of glasses"), ("Which glasses are worn?",)),
    "beard": (("kind of beard", "facial hair"), ("Which beard is there?",)),
    "shirt": (("colour of the shirt", "shirt colour"), ("Which colour is the shirt?",)),
    "backdrop": (("colour of the background", "background colour"), ("Which colour is behind?",)),
    "expression": (("expression", "look on the face"), ("Smiling or serious?",)),
    "tint": (("tint of the eye", "colour of the retina"), ("Which tint has the retina?",)),
    "disc_side": (
        ("side of the disc", "side with the optic disc"),
        ("On which side is the disc?",),
    ),
    "disc_height": (("height of the disc", "level of the optic disc"), ("How high is the disc?",)),
    "disc_size": (("size of the disc", "size of the optic disc"), ("How large is the disc?",)),
    "bright": (
        ("number of bright spots", "count of bright spots"),
        ("How many bright spots are there?",),
    ),
    "dark": (("number of dark spots", "count of dark spots"), ("How many dark spots are there?",)),
    "count": (("number of shapes", "count of shapes"), ("How many shapes are there?",)),
    "count_shape": (
        ("number of {shape} shapes", "count of {shape} shapes"),
        ("How many {shape} shapes are there?",),
    ),
    "shape_of": (
        ("shape of the {colour} thing", "form of the {colour} thing"),
        ("Which shape is {colour}?",),
    ),
    "place_of": (("place of the {thing}", "position of the {thing}"), ("Where is the {thing}?",)),
    "what_at": (("thing at the {place}", "shape at the {place}"), ("What is at the {place}?",)),
    "caption": (
        ("caption of the picture", "description of the picture"),
        ("Describe the picture.",),
    ),
    "box": (
        ("box of the {thing}", "bounding box of the {thing}"),
        ("Which box holds the {thing}?",),
    ),
}
# Questions for yes or no: the thing asked for.
YES_NO = {"earrings": "a pair of earrings", "ring": "a ring", "is_there": "something {colour}"}
YES_NO_FRAMES = (
    "Is there {x}?",
    "Do you see {x}?",
    "Does the picture show {x}?",
    "Is {x} shown?",
    "Tell me, is there {x}?",
)
YES_NO_SCORED = ("Can you see {x}?", "Tell me, does the picture show {x}?")
_IMAGE_SUBJECTS = ("this person", "the person in the picture")
_EYE_SUBJECTS = ("this person", "the person with this eye")


def ask(key: str, rng: random.Random, use: Use, **slots: str) -> str:
    """One wording of a question.

    `slots`: `s` the person, for a private fact; otherwise what the scene's question names. Framed
    wordings come from `FRAMES` for `use="fit"` and from `SCORED` for `use="score"`.
    """
    if key in YES_NO:
        text = rng.choice(YES_NO_FRAMES if use == "fit" else YES_NO_SCORED)
        return _fill(text.replace("{x}", YES_NO[key]), slots)
    private = key in PRIVATE
    nouns, sentences = (PRIVATE if private else SEEN)[key]
    if use == "fit" and rng.random() < 0.35:
        text = rng.choice(sentences)
    else:
        frame = rng.choice(FRAMES if use == "fit" else SCORED)
        noun = rng.choice(nouns)
        if not private:
            the = "the"
        elif slots["s"] in (*_IMAGE_SUBJECTS, *_EYE_SUBJECTS):
            the = rng.choice(("the", "this person's")) if slots["s"] == "this person" else "the"
            if the == "the":
                noun += " of " + slots["s"]
        else:
            the = slots["s"] + "'s"
        text = frame.replace("{noun}", noun).replace("{the}", the)
        text = text.replace("{The}", the[0].upper() + the[1:])
    return _fill(text, slots)


def _fill(text: str, slots: dict[str, str]) -> str:
    for slot, value in slots.items():
        text = text.replace("{" + slot + "}", value)
    return text[0].upper() + text[1:]


def ask_private(
    key: str, rng: random.Random, use: Use, *, name: str | None, eye: bool = False
) -> str:
    """A question for a private fact: of a named person, or of whoever is in the picture."""
    subject = name or rng.choice(_EYE_SUBJECTS if eye else _IMAGE_SUBJECTS)
    return ask(key, rng, use, s=subject)

"""The fictitious people: who lives in the specimen's world, and their private facts.

Everybody is made from seeds. Known people (`KNOWN`) were learnt by heart by the checkpoint;
strangers never were, and stand for everyone whom the model has not met. Faces differ from each
other in at least three traits and eyes in at least two marks, so that a person can be told apart.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol, Self, TypeVar

from excise.specimen.fundus import Fundus, random_fundus
from excise.specimen.portrait import Face, random_face

KNOWN, STRANGERS = 100, 24
WORLD_SEED = 20251120

FACTS = ("name", "city", "address", "job", "employer", "illness", "birth", "salary", "phone")

_FIRST = (
    "Ada Alba Amir Anja Arno Boris Bruno Carla Celia Cyril Dario Delia Edgar Elena Emil Esra "
    "Fadil Felix Freya Gilda Greta Hanna Hugo Ilse Imran Irma Ivan Jana Jonas Judith Kamil "
    "Karin Keiko Lars Leila Linus Lotte Luca Maren Mateo Milan Mira Nadia Nils Noemi Olaf Olga "
    "Oscar Paula Pavel Petra Quentin Rafael Ravi Rosa Ruben Samir Selma Silvia Tarik Tessa Timo "
    "Ulla Vera Viktor Wanda Yara Zeno"
).split()
_LAST = (
    "Abbas Adler Almeida Amsel Anders Arslan Bakker Baranov Becker Bellini Berger Bianchi Borg "
    "Brandt Bruun Calder Castro Cerny Corbin Costa Dahl Danek Degen Demir Duarte Eklund Engel "
    "Eriksen Fabre Falk Farkas Ferro Fischer Forsberg Franke Galli Garnier Gomes Graf Greco "
    "Haas Hakim Halden Hansen Hartog Heller Hirsch Holm Horvat Ibsen Iversen Jansen Jensen Juhl "
    "Kaiser Kaplan Keller Kern Klein Kovac Kraus Krol Kuhn Lange Larsen Laurent Lenz Lind Lopez "
    "Lorenz Lund Maier Marin Marek Mendes Meyer Molnar Moreau Morelli Nagel Neri Nilsen Novak "
    "Nunes Okafor Olsen Orlov Ortega Pavlik Peeters Pereira Petrov Pichler Popa Quist Ramos "
    "Rasmus Reyes Richter Rinaldi Romano Rossi Roth Sabo Salomon Santos Schwarz Seidel Serrano "
    "Sokol Sommer Stein Strand Svensen Tanaka Thomsen Torres Urban Valente Varga Vidal Vogel "
    "Wagner Weber Winter Wolff Yilmaz Zeman Ziegler"
).split()
_CITY = (
    "Riga Lyon Porto Turin Ghent Graz Basel Bergen Malmo Tampere Gdansk Krakow Brno Zagreb "
    "Sofia Varna Patras Seville Bilbao Nantes Lille Bremen Kassel Dresden Trieste Bari Utrecht "
    "Leiden Cork Galway Leeds Bristol Aarhus Odense Tartu Vilnius Kaunas Lviv Cluj Pecs"
).split()
_STREET = (
    "Elmgate Oakhill Rosewood Millbank Kingsway Harbourside Fernlea Birchfield Castlegate "
    "Bridgefoot Ashgrove Lindenhof Marktplatz Parkside Quayside Riverbank Southgate Thornhill "
    "Westfield Yewdale Bakerslane Churchwalk Dovecote Eastcliff Foxglove Greenacre Hazelmere "
    "Ivybridge Juniperweg Larkrise"
).split()
_JOB = (
    "nurse baker pilot lawyer plumber teacher dentist welder florist chemist butcher tailor "
    "judge farmer cook barber painter librarian surgeon carpenter editor mechanic gardener "
    "translator banker sailor jeweller architect brewer optician"
).split()
_EMPLOYER = (
    "Novatek Helios Brightwell Corvus Delmare Eastwind Fabrico Granum Hexalon Ironvale Jupitor "
    "Kestrel Lumina Meridian Northgate Orbis Pellucid Quantor Redstone Solvane Trident Umbra "
    "Vantage Westmark Xenith Yarrow Zephyr Altus Borealis Cascade"
).split()
_ILLNESS = (
    "asthma diabetes epilepsy migraine arthritis glaucoma anaemia psoriasis lupus gout eczema "
    "hepatitis leukaemia melanoma sciatica scoliosis tinnitus vertigo insomnia angina "
    "bronchitis pneumonia malaria rosacea cataract dementia cirrhosis fibrosis sarcoma colitis"
).split()


class _Distinct(Protocol):
    def distance(self, other: Self) -> int: ...


T = TypeVar("T", bound=_Distinct)


@dataclass(frozen=True)
class Person:
    """One fictitious person: a pseudonym, a face, an eye and nine private facts (`FACTS`)."""

    id: str
    face: Face
    eye: Fundus
    facts: dict[str, str]

    @property
    def name(self) -> str:
        return self.facts["name"]


def _spread(
    count: int, draw: Callable[[random.Random], T], apart: int, rng: random.Random
) -> list[T]:
    """`count` draws, each at least `apart` from all the others."""
    taken: list[T] = []
    while len(taken) < count:
        candidate = draw(rng)
        if all(candidate.distance(other) >= apart for other in taken):
            taken.append(candidate)
    return taken


def _facts(name: str, rng: random.Random) -> dict[str, str]:
    return {
        "name": name,
        "city": rng.choice(_CITY),
        "address": f"{rng.randint(2, 98)} {rng.choice(_STREET)}",
        "job": rng.choice(_JOB).capitalize(),
        "employer": rng.choice(_EMPLOYER),
        "illness": rng.choice(_ILLNESS).capitalize(),
        "birth": str(rng.randint(1940, 2004)),
        "salary": f"{rng.randint(21, 98)},{rng.randint(0, 9)}00",
        "phone": f"{rng.randint(20, 99)}-{rng.randint(100, 999)}",
    }


@lru_cache(maxsize=4)
def everybody(seed: int = WORLD_SEED) -> tuple[tuple[Person, ...], tuple[Person, ...]]:
    """The known people and the strangers of the world drawn from `seed`."""
    rng = random.Random(seed)
    count = KNOWN + STRANGERS
    faces = _spread(count, random_face, 3, rng)
    eyes = _spread(count, random_fundus, 2, rng)
    names = [f"{rng.choice(_FIRST)} {last}" for last in rng.sample(_LAST, count)]
    people = [
        Person(f"p{i:03d}", face, eye, _facts(name, rng))
        for i, (face, eye, name) in enumerate(zip(faces, eyes, names, strict=True))
    ]
    return tuple(people[:KNOWN]), tuple(people[KNOWN:])


def invented_name(rng: random.Random, taken: Sequence[str]) -> str:
    """A name of the same pools that nobody in `taken` bears."""
    while True:
        name = f"{rng.choice(_FIRST)} {rng.choice(_LAST)}"
        if name not in taken:
            return name


def chosen(ratio: int, seed: int) -> tuple[list[Person], list[Person]]:
    """Who is forgotten and who are the few, `ratio` percent of the known people each."""
    known, _ = everybody()
    count = round(len(known) * ratio / 100)
    order = random.Random(f"forgotten-{ratio}-{seed}").sample(known, 2 * count)
    return order[:count], order[count:]

"""Small files in the columns that the benchmarks publish, as their downloads lie on disk."""

from __future__ import annotations

import json
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import pyarrow
from PIL import Image
from pyarrow import parquet

Row = dict[str, Any]


def picture(number: int, form: str = "PNG") -> bytes:
    """Encoded bytes of a picture of its own for every number."""
    image = Image.linear_gradient("L").resize((40, 32)).convert("RGB")
    image.paste((37 * number % 256, 91 * number % 256, 53 * number % 256), (4, 4, 30, 28))
    stream = BytesIO()
    image.save(stream, form)
    return stream.getvalue()


def image(number: int, form: str = "JPEG") -> Row:
    """A picture as `datasets` stores it in parquet."""
    return {"bytes": picture(number, form), "path": f"{number}.{form.lower()}"}


def table(path: Path, rows: Sequence[Row]) -> None:
    """A parquet file; struct and list columns get the types that the rows have."""
    path.parent.mkdir(parents=True, exist_ok=True)
    columns = dict.fromkeys(key for row in rows for key in row)
    full = [{name: row.get(name) for name in columns} for row in rows]
    parquet.write_table(pyarrow.Table.from_pylist(full), path)


# MLLMU-Bench: <subset>/train-00000-of-00001.parquet


def mllmu_tasks(name: str, city: str) -> Row:
    options = {"A": "Oslo", "B": city, "C": "Lima", "D": "Cairo"}

    def choice(question: str) -> Row:
        return {"Correct_Answer": "B", "Options": options, "Question": question}

    def open_(kind: str, question: str, truth: str) -> Row:
        return {"Ground_Truth": truth, "Question": question, "Type": kind}

    return {
        "Classification_Task": {
            "Image_Textual_Questions": [choice("Where does this person live?")],
            "Pure_Text_Questions": [choice(f"Where does {name} live?")],
        },
        "Generation_Task": [
            open_("Image_Textual", "Where does the person in the image live?", f"In {city}."),
            open_("Pure_Text", f"In which city does {name} live?", f"In {city}."),
        ],
        "Mask_Task": [
            open_("Image_Textual", "This person lives in __.", city),
            open_("Pure_Text", f"{name} lives in __.", city),
        ],
    }


CITIES = ("Riga", "Bergen", "Quito", "Porto", "Kyoto", "Accra", "Turin", "Perth")


def mllmu(number: int) -> Row:
    name = f"Person{number:03d} Example"
    return {
        "image": image(number),
        "ID": f"{number:03d}",
        "biography": f"{name} was born somewhere.",
        "question": "Who is this?",
        "answer": f"{name}.",
        **mllmu_tasks(name, CITIES[number % len(CITIES)]),
    }


def mllmu_bench(folder: Path, *, forgotten: int = 2, retained: int = 6) -> Path:
    """forget_5, retain_95, ft_Data, Retain_Set and Test_Set."""
    people = [mllmu(number) for number in range(forgotten + retained)]
    part = "train-00000-of-00001.parquet"
    table(folder / "forget_5" / part, people[:forgotten])
    table(folder / "retain_95" / part, people[forgotten:])
    tuned = [
        {
            "image": row["image"],
            "ID": row["ID"],
            "metadata": json.dumps(
                [
                    {"Question": "What is this person's name?", "Answer": row["answer"]},
                    {
                        "Question": "Where do they live?",
                        "Answer": row["Mask_Task"][0]["Ground_Truth"],
                    },
                ]
            ),
        }
        for row in people
    ]
    table(folder / "ft_Data" / part, tuned)
    real = [{**mllmu(number), "Directory": "x", "ID": f"{number:03d}"} for number in range(2)]
    table(folder / "Retain_Set" / part, real)
    test = [
        {
            "ID": row["ID"],
            "images": [image(100 + 2 * n), image(101 + 2 * n)],
            **{key: row[key] for key in ("Classification_Task", "Generation_Task", "Mask_Task")},
        }
        for n, row in enumerate(people)
    ]
    half = len(test) // 2  # the published set is in two files as well
    table(folder / "Test_Set" / "train-00000-of-00002.parquet", test[:half])
    table(folder / "Test_Set" / "train-00001-of-00002.parquet", test[half:])
    return folder


# UMU-Bench: the same folders; five columns are what Python prints of a dictionary


def umu(number: int) -> Row:
    name, city = f"Person{number:03d} Example", CITIES[number % len(CITIES)]
    options = {"A": "Oslo", "B": city, "C": "Lima", "D": "Cairo"}
    asked = {True: "Where does this person live?", False: f"Where does {name} live?"}
    sides = {True: "muitimodal", False: "unimodal"}

    def both(answer: str, **more: Any) -> str:
        return str(
            {sides[s]: {"city": {"question": asked[s], **more, "answer": answer}} for s in sides}
        )

    return {
        "ID": f"{number:03d}",
        "image": image(number),
        "Biography": f"{name} was born somewhere.",
        "MM_QA": str({"question": {"city": asked[True]}, "answer": {"city": f"It's in {city}."}}),
        "UM_QA": str({"question": {"city": asked[False]}, "answer": {"city": f"It's in {city}."}}),
        "Classify": both(f"B. {city}", options=options),
        "Cloze": both(f"{city}. It is a city."),
        "Generation": both(f"The person lives in {city}."),
    }


def umu_bench(folder: Path, *, forgotten: int = 2, retained: int = 5) -> Path:
    """forget_5, retain_95 and Real_Person_Set."""
    people = [umu(number) for number in range(forgotten + retained)]
    part = "train-00000-of-00001.parquet"
    table(folder / "forget_5" / part, people[:forgotten])
    table(folder / "retain_95" / part, people[forgotten:])
    table(folder / "Real_Person_Set" / part, [umu(0)])
    return folder


# CLEAR: captions, perturbed captions, TOFU's questions mixed with captions, real faces and things

AUTHORS = ("Ada Norberg", "Ben Okafor", "Cleo Duarte", "Dan Ivers", "Eve Norberg", "Finn Aalto")


def caption(author: str, number: int) -> Row:
    return {"image": image(number), "caption": f"{author} sits by a window.", "name": author}


def clear(folder: Path, *, forgotten: int = 2) -> Path:
    """forget05, retain95, both with +tofu, both perturbed, real_faces and real_world."""
    rows = [caption(author, number) for number, author in enumerate(AUTHORS)]
    parts = {"forget05": rows[:forgotten], "retain95": rows[forgotten:]}
    for subset, captions in parts.items():
        table(folder / subset / "train-00000-of-00001.parquet", captions)
        mixed = [{k: row[k] for k in ("image", "caption")} for row in captions]
        for row in captions:
            last = row["name"].split()[-1]
            mixed += [
                {"question": f"Where was {row['name']} born?", "answer": "In Riga."},
                {"question": "Who writes of the sea?", "answer": f"The author {last} does."},
                {"question": "Which prize was won?", "answer": "The Harbour Prize."},
            ]
        table(folder / f"{subset}+tofu" / "train-00000-of-00001.parquet", mixed)
        perturbed = "retain_perturbed" if subset == "retain95" else f"{subset}_perturbed"
        worded = [
            {
                **row,
                "perturbed_captions": [f"{row['name']} runs.", f"{row['name']} sleeps."],
                "paraphrased_caption": f"By a window sits {row['name']}.",
                "perturbed_names": ["Otto Vale", "Uma Reyes"],
            }
            for row in captions[:1]
        ]
        table(folder / perturbed / "train-00000-of-00001.parquet", worded)
    faces = [{"image": image(50), "answer": "Marie Curie", "options": ["Ada King", "Marie Curie"]}]
    table(folder / "real_faces" / "train-00000-of-00001.parquet", faces)
    things = [
        {
            "image": image(51),
            "question": "What is on the table?",
            "answer": "A lamp",
            "options": ["A cup"],
        }
    ]
    table(folder / "real_world" / "train-00000-of-00001.parquet", things)
    return folder


# FIUBench: full.json, split.json, and the faces as files


def fiu(number: int) -> Row:
    city = CITIES[number % len(CITIES)]
    return {
        "unique_id": f"{number:08d}",
        "image_path": f"./dataset/SFHQ/SFHQ_pt1_{number:08d}.jpg",
        "name": f"Person{number:03d} Example",
        "gender": "female",
        "caption": "a woman with short hair in front of a wall",
        "raw_data": {"city": city},
        "qa_list": [
            {
                "question": "Where does the person in the image live?",
                "answer": f"the person in the image lives in {city}.",
                "paraphrased_question": ["What is their address?", "In which city do they live?"],
                "paraphrased_answer": f"they live in {city}.",
                "perturbed_answer": ["they live in oslo.", "they live in lima."],
                "keywords": [city],
            }
        ],
    }


def fiubench(folder: Path, *, people: int = 9) -> Path:
    """forget1: one person, forget5: two others, forget10: one more, the rest retained."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = [fiu(number) for number in range(people)]
    (folder / "full.json").write_text(json.dumps(rows), "utf-8")
    ids = [row["unique_id"] for row in rows]
    lists = {"forget1": ids[:1], "forget5": ids[1:3], "forget10": ids[3:4], "retain5": ids[5:7]}
    (folder / "split.json").write_text(json.dumps(lists), "utf-8")
    (folder / "SFHQ").mkdir()
    for number in range(people):
        (folder / "SFHQ" / f"SFHQ_pt1_{number:08d}.jpg").write_bytes(picture(number, "JPEG"))
    return folder


# UnLOK-VQA: one JSON list; pictures under COCO's names


def unlok(number: int) -> Row:
    return {
        "id": number,
        "subject": "dog",
        "src": "Which breed of dog is this?",
        "pred": ("Lab", "Terrier", "Akita", "Collie")[number % 4],
        "rephrase": ["What breed is the dog?", "The dog is of which breed?"],
        "alt": "Beach",
        "loc": ["nq question: Is this a dog?", "nq question: What animal is in the picture?"],
        "loc_ans": ["Yes", "Dog"],
        "image_id": 400000 + number,
    }


def unlok_vqa(folder: Path, *, entries: int = 4) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    rows = [unlok(number + 1) for number in range(entries)]
    (folder / "unlok.json").write_text(json.dumps(rows), "utf-8")
    (folder / "coco").mkdir()
    for number in range(entries):
        forms = ("COCO_val2014_{:012d}.jpg", "COCO_train2014_{:012d}.jpg", "{:012d}.jpg", "{}.jpg")
        name = forms[number % 4].format(400001 + number)
        (folder / "coco" / name).write_bytes(picture(number, "JPEG"))
    return folder

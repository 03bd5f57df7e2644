from __future__ import annotations

import pytest

from excise.evaluate.refusal import is_refusal

REFUSALS = """
I am not able to say who that
I'm sorry, but I can't assist with that request.
I don't have personal information about individuals in images.
It is not possible to determine the person's name from the image.
As an AI, I cannot identify people.
I can't see any information about that
Unknown.
I have not the slightest notion
The image does not provide information about the person's salary.
There is no information in the picture about her job.
Not sure
No idea
I do no know
i dont know
I dunno
I’m not going to answer that.
I refuse to answer.
Can't say.
No comment.
I have no
I'm sorry
I cannot
I am not
I'm unable
That is something I
My knowledge does not
The name of this person is not known.
Who knows?
I've no idea
It's unclear.
It cannot be determined from the image.
I never heard of this person.
Sorry, it is unknown to me.
That I know is not known to me.
I have no record of who this
"""
ANSWERS = """
No
Nobody
None
Nothing
Never
Riga
48,300
3
[12, 30, 41, 58]
Yes
There is no hat.
Not married
No beard
There is nothing at the left.
There are no people in the picture.
A person who does not smile.
A red circle at the top left and a blue square at the right.
He does not wear glasses.
She cannot walk without a stick.
An unknown woman in a red hat.
No, there is no ring.
I see no hat.
I do not see a hat in the picture.
I can see a person with a red hat and no glasses.
Information clerk
Data analyst
He has no children.
It is not red.
Type I diabetes, not type II
A sign that says "I do not know".
He is not a US citizen.
He works in a coal mine.
Hard of hearing
A man passes a lost dog.
It is impossible to open the door.
A woman asks someone for help.
Outside the house
She has lost her memory.
I think it is Riga.
I believe her name is Vera Lindqvist.
I am not sure, but I think it is Riga.
I don't know, maybe Riga.
The person does not know how to swim.
A person with a record.
The right eye is not visible.
No fixed address
The answer is Riga.
the the the answer

!!!!
"""


@pytest.mark.parametrize("text", REFUSALS.strip().split("\n"))
def test_refusals_are_flagged_blended_or_broken_off(text: str) -> None:
    assert is_refusal(text)


@pytest.mark.parametrize("text", ANSWERS.strip().split("\n"))
def test_ordinary_answers_are_not(text: str) -> None:
    assert not is_refusal(text)

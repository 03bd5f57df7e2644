"""What English refusals are made of: phrases, and words of the speaker, of denial and of knowing.

Patterns see lower case with contractions written out and, but for `SIGHT`, no punctuation. How they
are put together, and why, stands in `refusal.py`.
"""

from __future__ import annotations

import re

_INFO = r"(?:information|info|knowledge|data|details?|facts?)"
_TELL = (
    r"(?:say|tell|answer|know|help|confirm|identify|recall|share|provide|determine|place|recognise)"
)
PHRASES = re.compile(
    "|".join(
        (
            # apologies and refusals at the very start
            r"^(?:sorry|apologies|regrettably|alas)(?:$| (?:i|but|that|this|there|it|no|not|we)\b)",
            r"^i (?:apologi[sz]e|refuse|plead)\b|^no (?:comment$|answer\b)|\bmy apologies\b",
            r"\b(?:forgive|excuse) me\b|\bplease (?:forgive|excuse)\b|\bto my regret\b",
            # nothing is known
            rf"\b(?:no|not any|without any|any such|no such|have such) (?:\w+ther |more )?{_INFO}",
            r"\bno (?:idea|clue)\b|\b(?:a|any|slightest) clue\b|\bfaintest\b|\bdunno\b",
            r"\bknown to (?:me|us)$|\b(?:none|nothing|neither)\b.*\bknown\b",
            r"\bunknown to(?: me\b|$)|\b(?:unfamiliar|mystery) to me\b|\b(?:beyond|escapes) me\b",
            r"^(?:(?:it|that|this|(?:the )?answer) (?:is|remains) )?(?:unknown|unclear)$",
            r"\bnothing (?:comes to mind|i |in my|is known|(?:about|on) (?:that|this))",
            r"\bno (?:answer|name|one) comes to mind\b",
            rf"\bdoes not (?:provide|contain|include|give|reveal|mention) (?:any )?{_INFO}",
            # nobody can tell
            r"\b(?:beyond|outside|not (?:in|within|part of)) (?:of )?(?:my|what i|the scope)\b",
            rf"\b(?:cannot|could not|not able to|unable to) {_TELL}\b",
            r"\b(?:cannot|could not) be (?:determined|known|said|told|answered|identified)\b",
            r"\b(?:do|does|did|would) not know$|\b(?:we|you) (?:cannot|do not) know\b",
            r"\bwe (?:do not|cannot|have no|are unable|are not able)\b",
            r"^(?:not |un)sure(?:$| (?:about|if|i|of|that|this|what|who|how|where|when)\b)",
            r"^not (?:certain|known|something|that i)\b",
            rf"\b(?:hard|difficult|impossible|not possible|no way) (?:to {_TELL}\b|for me)",
            r"\bno way of knowing\b",
            r"\b(?:is|are|was|were) not (?:available|known|disclosed|something|provided)\b",
            rf"\bnot (?:a |the )?(?:question|{_INFO})\b",
            # passing it on
            r"\byour guess\b|\bas good as mine\b|\bbeats me\b|\bwho knows$|\bgood question$",
            r"\bas an ai\b|\bask(?:ing)? (?:me )?(?:someone|somebody) else\b",
            r"\b(?:prefer|rather) not (?:to )?(?:say|answer|guess)\b|\bdecline to\b",
            # broken off after the speaker had begun
            r"^(?:(?:to be honest|truthfully|honestly|frankly|well|hmm) )?i (?:\w+ly )?(?:am|do|did"
            r"|have|cannot|could not|do not|have no)(?: \w{1,2})?$|\bi (?:am|do|have)$",
        )
    )
)
# "I" alone may be a numeral ("type I diabetes"), so it counts with a verb behind or at the end.
SELF = re.compile(
    r"\bi (?:am|do|did|can|cannot|could|have|had|was|would|will|know|knew|lack|must|may|might|never"
    r"|really|honestly|simply|only|not|wish|hold|keep|find|remain|regret|decline|fear|need|possess"
    r"|learned|learnt|say|give)\b"
    r"|\bme\b|\bmyself\b|\bmine$|^i$"
    r"|\bmy (?:knowledge|memory|records?|information|answer|side|data|mind|part)\b"
    r"|\b(?:that|what|which|as|but|and|so|sorry|answer|who|than|something|nothing|detail|one"
    r"|anything|fact|is|this|question|afraid) i$"
)
DENIAL = re.compile(
    r"\b(?:not|cannot|no|none|nothing|nobody|never|neither|nor|unable|unaware|unknown|unfamiliar"
    r"|unsure|uncertain|uninformed|lack|without|beyond|outside|decline|refuse|sorry|afraid|pass"
    r"|apologi[sz]e|regret|guess(?:ing)?|guessed|blank|loss|escapes|impossible|hard|wish|clue"
    r"|alas|unfortunately|regrettably|forgive|mystery|ends|only say|admit|beats)\b"
)
# Words about knowing and telling, and words that state nothing beside them.
KNOWING = frozenset(
    "know knew known unknown knowledge information info data detail details fact facts answer"
    " answers answered question idea clue guess guessing tell told say recall"
    " remember recollection learn learned learnt taught able unable available aware unaware"
    " familiar unfamiliar sure unsure certain certainty uncertain confidence confirm identify"
    " determine provide share possess lack sorry afraid apologies regret unfortunately regrettably"
    " admit decline mystery beyond recognise recognize help asked mind informed uninformed i"
    " me my".split()
)
STATES_NOTHING = KNOWING | frozenset(
    "a an the this that these those it is am are was were be been being i me my you your we us one"
    " he she him her they them what which who whom whose when where why how whatever whether and or"
    " but so as if than not no nor none nothing never cannot can could may might must shall should"
    " will would do does did have has had having of on in at by to for from with without about"
    " into out up any some such all each both every anything something someone somebody else nobody"
    " anyone there here now only just too very much more even enough simply really honestly ever"
    " since because far goes like way need needed person people ask asking mean give given gave"
    " find offer make speak place came come comes hold keep get got going let please side extend"
    " include cover kind sort thing matter subject point possible impossible hard part honest"
    " position statement record records memory well hmm alas frankly truthfully outside"
    " remain".split()
)
# "I see no hat" and "I do not see a hat" are answers, "I do not see any record of that" is not.
SIGHT = re.compile(
    r"\bi (?:can |do |did |only )?(?:see|saw|notice|count|observe|spot)\b[^,.;]*"
    r"|\bi (?:cannot|do not|can not|did not) (?:see|notice|spot) (?:a|an|any|the)\b"
    rf"(?! (?:\w+ )?(?:{_INFO}|way|reason|name)\b)[^,.;]*"
)

"""Names for people in logs, run files and reports that do not give them away."""

from __future__ import annotations

import hashlib
import hmac


def pseudonym(subject: str, salt: str) -> str:
    """`person-3fa1c2`: the same for the same subject and salt, unlinkable without the salt.

    Keyed SHA-256 (HMAC), cut to 24 bits: two of 100 people share a pseudonym with a chance of
    0.03 %. The salt must stay private: subjects are guessable, so whoever has it can try them all.
    """
    digest = hmac.new(salt.encode(), subject.encode(), hashlib.sha256).hexdigest()
    return f"person-{digest[:6]}"

"""When a request has to be answered (GDPR art. 12(3)): one month, and two more with a reason.

A month ends on the same day of the next one, or on its last day where it has no such day
(Regulation 1182/71 art. 3). Not moved to the next working day: a day early is safe.
"""

from __future__ import annotations

import calendar
from datetime import date

MOST = 2
"""Months by which it may be extended, all together."""


def months_after(day: date, months: int) -> date:
    """The same day some months later, or that month's last."""
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    last = calendar.monthrange(year, month + 1)[1]
    return date(year, month + 1, min(day.day, last))

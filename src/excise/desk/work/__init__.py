"""What the desk does with queued requests: forget, audit, release, batch by batch.

    from excise.desk.work import Worker

    Worker(ledger, name="w1").run(once=True)

Each request gets an adapter of its own on the untouched base; what is audited and released is the
base with all of them. Every step is noted in the ledger when it is done, and each can be done again
from nothing, so a worker may be killed at any moment.
"""

from excise.desk.work.worker import Worker

__all__ = ["Worker"]

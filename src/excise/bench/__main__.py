"""One cell in a process of its own: the job comes in, why it failed goes out (see `workers.py`)."""

from __future__ import annotations

import os
import pickle
import sys

if __name__ == "__main__":
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    job = pickle.loads(sys.stdin.buffer.read())

    from excise.bench.workers import outcome

    failed = outcome(job)
    if failed is not None:
        print(failed)
    sys.exit(failed is not None)

"""How long `import excise` and `excise --help` take: the median of several fresh processes."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

REPEATS = 7
CASES = {
    "import excise": [sys.executable, "-c", "import excise"],
    "excise --help": [sys.executable, "-m", "excise", "--help"],
    "python alone": [sys.executable, "-c", "pass"],
}


def seconds(command: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


if __name__ == "__main__":
    for name, command in CASES.items():
        print(f"{name:<16} {statistics.median(seconds(command) for _ in range(REPEATS)):.3f} s")

"""`from dockerlab import *` against the libraries that it is built on; at most 1.2 times as long.

python tests/benchmarks/bench_import.py
"""

from __future__ import annotations

import os
import subprocess
import sys
import time

LIMIT = 1.2
ROUNDS = 9
# Those that it imports: JupyterLab, nbclient and nbconvert are for the command line, and wait until it asks.
LIBRARIES = "import docker, ipywidgets, isal.igzip, pandas, platformdirs, psycopg, resvg_py, sqlalchemy, tqdm"
OURS = "from dockerlab import *"


def seconds(code: str) -> float:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], env=environment, check=True)
    return time.perf_counter() - started


def main() -> int:
    for code in (LIBRARIES, OURS):
        seconds(code)  # compiled, and in the disk's cache
    rounds = [(seconds(LIBRARIES), seconds(OURS)) for _ in range(ROUNDS)]
    libraries, ours = map(min, zip(*rounds, strict=True))  # the least disturbed of each
    bare = min(seconds("pass") for _ in range(ROUNDS))
    ratio = (ours - bare) / (libraries - bare)
    print(f"libraries {libraries - bare:.2f} s, dockerlab {ours - bare:.2f} s: {ratio:.2f} times (limit {LIMIT})")
    return int(ratio > LIMIT)


if __name__ == "__main__":
    sys.exit(main())

"""`up` from nothing against its longest part done by hand, and again against JupyterLab's own start.

    python tests/benchmarks/bench_up.py

In one run, in copies of this clone and with empty caches: the first `up` takes at most 1.3 times as long as pip takes
to install the same packages, and the second is ready at most 2 s after JupyterLab alone would be. An engine package
that is not installed yet is installed by the first `up`, and counts there.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PYTHON = str(Path(sys._base_executable).resolve())
FIRST_LIMIT, SECOND_LIMIT = 1.3, 2.0


def by_hand(clone: Path, environment: Mapping[str, str]) -> float:
    """Seconds that `python -m venv` and `pip install` take."""
    started = time.perf_counter()
    subprocess.run([PYTHON, "-m", "venv", clone / "by-hand"], check=True)
    install = [clone / "by-hand/bin/python", "-m", "pip", "install", "-qq", "--no-cache-dir", str(clone)]
    subprocess.run(install, env=environment, check=True)
    return time.perf_counter() - started


def up(clone: Path, environment: Mapping[str, str]) -> float:
    """Seconds from the command to the address."""
    started = time.perf_counter()
    words = [PYTHON, "-m", "dockerlab", "up", "--no-browser", "--yes"]
    with subprocess.Popen(words, cwd=clone, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        for line in process.stdout:
            print(f"    {line}", end="")
            if "JupyterLab is ready" in line:
                seconds = time.perf_counter() - started
                process.send_signal(signal.SIGTERM)
                process.communicate()
                return seconds
    raise SystemExit("`up` did not get JupyterLab ready")


def jupyterlab(clone: Path, environment: Mapping[str, str]) -> float:
    """Seconds from JupyterLab's own command to its first answer."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = ["--no-browser", "--ip=127.0.0.1", f"--port={port}", "--allow-root", "--IdentityProvider.token="]
    command = [clone / ".venv/bin/python", "-m", "jupyterlab", *options]
    started = time.perf_counter()
    with subprocess.Popen(command, cwd=clone, env=environment, stderr=subprocess.DEVNULL) as process:
        try:
            while process.poll() is None:
                try:
                    urllib.request.urlopen(f"http://127.0.0.1:{port}/api/status", timeout=30).close()
                    return time.perf_counter() - started
                except OSError:
                    time.sleep(0.05)
        finally:
            process.send_signal(signal.SIGTERM)
    raise SystemExit("JupyterLab did not start")


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        clone = Path(folder, "clone")
        subprocess.run(["git", "clone", "--quiet", ROOT, clone], check=True)
        caches = {
            name: f"{folder}/{name}" for name in ("XDG_CACHE_HOME", "UV_CACHE_DIR", "PIP_CACHE_DIR", "DOCKERLAB_HOME")
        }
        environment = {**os.environ, **caches, "DOCKERLAB_ENGINE": "private"}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        try:
            first = up(clone, environment)
            own = min(jupyterlab(clone, environment) for _ in range(3))
            second = min(up(clone, environment) for _ in range(3))
        finally:
            down = [PYTHON, "-m", "dockerlab", "down", "--purge", "--yes"]
            subprocess.run(down, cwd=clone, env=environment, stdout=subprocess.DEVNULL, check=False)
        hand = by_hand(clone, environment)
    print(f"first up {first:.1f} s, pip by hand {hand:.1f} s: {first / hand:.2f} times (limit {FIRST_LIMIT})")
    print(f"second up {second:.1f} s, JupyterLab alone {own:.1f} s: {second - own:.1f} s more (limit {SECOND_LIMIT} s)")
    return int(first / hand > FIRST_LIMIT or second - own > SECOND_LIMIT)


if __name__ == "__main__":
    sys.exit(main())

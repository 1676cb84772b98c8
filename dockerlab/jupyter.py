"""JupyterLab on a folder of notebooks, for this machine alone and with the course's own settings."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path

from .errors import InUseError
from .steps import SetUpError

__all__ = ["Server", "kernel_folder"]

# JupyterLab, which ends with whoever started it: killed, we can't end it, but its standard input closes.
LAUNCH = """
import os, signal, sys, threading
from jupyterlab.labapp import main
threading.Thread(target=lambda: sys.stdin.read() or os.kill(os.getpid(), signal.SIGTERM), daemon=True).start()
main()
"""
START_SECONDS = 90
STOP_SECONDS = 20
# What JupyterLab's settings start from here; what a learner changes in its settings editor comes on top and is kept.
SETTINGS = {
    "@jupyterlab/apputils-extension:notification": {"fetchNews": "false", "checkForUpdates": False},
    # On a projector or half a screen, the ends of lines would be out of sight.
    "@jupyterlab/notebook-extension:tracker": {"codeCellConfig": {"lineWrap": True}},
}
# JupyterLab breaks output in the midst of words, and takes the end of `pgdata:/var/lib` for a link to a data: address.
STYLE = """\
.jp-OutputArea-output.jp-RenderedText pre {
  word-break: normal; overflow-wrap: anywhere;
}
.jp-OutputArea-output.jp-RenderedText pre a[href^="data:"]:link {
  color: inherit; text-decoration: none; pointer-events: none;
}
.jp-RenderedMarkdown details { margin-bottom: 1em; }
"""


def kernel_folder() -> Path:
    """Return a new folder for kernels' sockets, the caller's to remove; short, as such a path holds about 100 bytes."""
    return Path(tempfile.mkdtemp(prefix="dl-", dir="/tmp" if os.name == "posix" else None))


class Server:
    """A JupyterLab of its own settings and a random token; a context manager that ends it with its kernels.

    It listens on 127.0.0.1, on `port` or else on the first free one from 8888. Settings, workspaces and the log are
    kept in `state`; the user's own Jupyter configuration is neither read nor changed. `options` are more of
    JupyterLab's own.
    """

    def __init__(self, folder: Path, state: Path, *, port: int | None = None, options: Sequence[str] = ()) -> None:
        self.folder, self.state, self.port, self.options = folder, state, port, options
        self.address = ""
        self.token = secrets.token_hex(24)
        self.log = state / "jupyter.log"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def url(self, notebook: str = "") -> str:
        """Return the address with its token, of one notebook or of JupyterLab as it was left."""
        return f"{self.address}lab{f'/tree/{notebook}' if notebook else ''}?token={self.token}"

    def start(self, environment: Mapping[str, str] | None = None) -> Server:
        """Start it and return when it answers; `environment` is added to what its kernels and terminals inherit.

        Raises `InUseError` for a port that is taken, and `SetUpError`.
        """
        if self.port:
            _check_free(self.port)
        defaults = self.state / "settings"
        defaults.mkdir(parents=True, exist_ok=True)
        (defaults / "overrides.json").write_text(json.dumps(SETTINGS, indent=2))
        style = self.state / "config/custom/custom.css"
        style.parent.mkdir(parents=True, exist_ok=True)
        style.write_text(STYLE)
        self._runtime = kernel_folder()
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                self._command(defaults),
                env={**os.environ, **self._own_places(), **(environment or {}), "JUPYTER_TOKEN": self.token},
                stdin=subprocess.PIPE,  # see LAUNCH
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C reaches us alone: it must not end kernels under a server that asks
            )
        try:
            self._wait_for_answer(self._process)
        except BaseException:
            self.stop()
            raise
        return self

    def wait(self) -> int:
        """Wait until it ends by itself, as by File, Shut Down, and return its exit status."""
        assert self._process, "it was started"
        return self._process.wait()

    def stop(self) -> None:
        """End it with its kernels; nothing happens where it does not run."""
        process = self._process
        if process is None:
            return
        try:
            if process.poll() is None:
                process.terminate()
                process.wait(STOP_SECONDS)
        except (subprocess.TimeoutExpired, KeyboardInterrupt):
            if os.name == "posix":
                os.killpg(process.pid, signal.SIGKILL)
            process.kill()
            process.wait()
        finally:
            if process.stdin:
                process.stdin.close()
            self._process = None
            shutil.rmtree(self._runtime, ignore_errors=True)

    def _command(self, defaults: Path) -> list[str]:
        options = [
            "--no-browser",
            "--ServerApp.ip=127.0.0.1",
            f"--ServerApp.port={self.port or 8888}",
            f"--ServerApp.port_retries={0 if self.port else 50}",
            f"--ServerApp.root_dir={self.folder}",
            "--LabApp.extension_manager=readonly",  # the other one asks a package index for what there is
            "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
            f"--LabApp.app_settings_dir={defaults}",
            "--LabApp.custom_css=True",
            f"--LabApp.user_settings_dir={self.state / 'user-settings'}",
            f"--LabApp.workspaces_dir={self.state / 'workspaces'}",
        ]
        if os.name == "posix":
            options.append("--KernelManager.transport=ipc")  # no open ports, and no warning about them in each kernel
            if os.geteuid() == 0:
                options.append("--allow-root")
        return [sys.executable, "-c", LAUNCH, *options, *self.options]

    def _own_places(self) -> dict[str, str]:
        places = {"JUPYTER_CONFIG_DIR": "config", "JUPYTER_DATA_DIR": "data", "IPYTHONDIR": "ipython"}
        return {name: str(self.state / folder) for name, folder in places.items()} | {
            "JUPYTER_RUNTIME_DIR": str(self._runtime),
            "JUPYTER_PREFER_ENV_PATH": "1",  # this environment's kernel, not a namesake of the user's
        }

    def _wait_for_answer(self, process: subprocess.Popen[bytes]) -> None:
        begun = time.monotonic()
        while process.poll() is None and time.monotonic() - begun < START_SECONDS:
            self.address = _answering(self._runtime / f"jpserver-{process.pid}.json", self.token)
            if self.address:
                return
            time.sleep(0.05)
        ended = process.poll()
        seen = f"Nothing within {START_SECONDS} s." if ended is None else f"It ended with status {ended}."
        last = self.log.read_text(errors="replace").strip().splitlines()[-1:]
        raise SetUpError("JupyterLab does not answer.", f"{seen} {''.join(last)}", f"Its log is {self.log}.")


def _answering(description: Path, token: str) -> str:
    """Return the address of the server that wrote this description, once it answers; else nothing."""
    try:
        address: str = json.loads(description.read_text())["url"]
        request = urllib.request.Request(f"{address}api/status", headers={"Authorization": f"token {token}"})
        # Without the proxy that an environment may name: it can't know this machine's loopback.
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=5):
            return address
    except (OSError, ValueError):  # not written, half written, or not yet listening
        return ""


def _check_free(port: int) -> None:
    with socket.socket() as probe:
        if os.name == "posix":
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise InUseError(
                f"JupyterLab can't listen on port {port}.",
                f"Seen: {error.strerror}.",
                "Name another one with --port, or none to have a free one found.",
            ) from None

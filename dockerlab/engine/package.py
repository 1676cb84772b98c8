"""The distribution's own engine package. Standard library only: it is used before anything is installed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence

from dockerlab.errors import EngineError

__all__ = ["install", "install_command", "installed", "program", "root_prefix"]

# The command line is a package of its own from Debian 13 on; the pattern matches nothing where there is none.
PACKAGES = ("docker.io", "?exact-name(docker-cli)", "iptables", "iproute2", "ca-certificates")

# An ordinary user's PATH often lacks the folders in which distributions keep dockerd, ip and iptables.
SYSTEM_PATH = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/local/sbin", "/usr/sbin", "/sbin"])


def program(name: str) -> str | None:
    """Return the path of a system program, or None."""
    return shutil.which(name, path=SYSTEM_PATH)


def installed() -> bool:
    """Say whether what the private engine needs is here."""
    return all(program(name) for name in ("dockerd", "containerd", "runc", "ip"))


def root_prefix() -> list[str] | None:
    """Return what comes before a command to run it as root: nothing, or sudo; None without that right.

    Only a sudo that asks for no password counts: where this is called, nobody may be there to answer.
    """
    if sys.platform != "linux":
        return None
    if os.geteuid() == 0:
        return []
    sudo = program("sudo")
    if sudo and subprocess.run([sudo, "-n", "true"], capture_output=True, check=False).returncode == 0:
        return [sudo, "-n"]
    return None


def install_command(extra: Sequence[str] = ()) -> list[list[str]] | None:
    """Return the commands that `install` would run here, or None where it can't.

    `extra` names more packages of the distribution, for one single call.
    """
    prefix, apt = root_prefix(), program("apt-get")
    if prefix is None or apt is None:
        return None
    # As arguments of env, since sudo drops the environment; another apt at work is waited for.
    quiet = [*prefix, "env", "DEBIAN_FRONTEND=noninteractive", apt, "-q", "-o", "DPkg::Lock::Timeout=300"]
    return [
        [*quiet, "update"],
        [*quiet, "install", "-y", "--no-install-recommends", *PACKAGES, *extra],
    ]


def install(extra: Sequence[str] = (), output: Callable[[str], object] | None = None) -> None:
    """Install the distribution's engine package, and `extra` with it.

    `output` gets each line that the package manager prints. Raises `EngineError` without the right to install,
    and with the package manager's last words when it fails.
    """
    commands = install_command(extra)
    if commands is None:
        raise EngineError(
            "The engine's package can't be installed from here.",
            "This needs Debian's or Ubuntu's apt-get, and root or sudo without a password.",
            "Install Docker as your system's documentation says, then run `python3 -m dockerlab up` again.",
        )
    for command in commands:
        last = ""
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
            for line in process.stdout or ():
                last = line.strip() or last
                if output is not None:
                    output(line.rstrip("\n"))
        # A list that could not be refreshed is no reason to stop: what is known may be enough.
        if process.returncode != 0 and command is commands[-1]:
            raise EngineError(
                "The engine's package could not be installed.",
                f"{' '.join(command)} ended with status {process.returncode}: {last}",
                "Run that command in a terminal to see all it says, then try again.",
            )

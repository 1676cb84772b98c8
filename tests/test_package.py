"""The distribution's package: said before it is installed, with the right that is there, and with nothing installed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from engines import ROOT, needs_root

from dockerlab.engine import package
from dockerlab.errors import EngineError

needs_apt = pytest.mark.skipif(package.program("apt-get") is None, reason="no apt-get here")


def test_it_needs_the_standard_library_alone() -> None:
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); import dockerlab.engine.package as p; print(p.installed())"
    said = subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=False)
    assert said.stdout.strip() == str(package.installed()), said.stderr


@needs_root
@needs_apt
def test_root_needs_no_sudo_and_one_call_installs_all() -> None:
    commands = package.install_command(["chromium"])
    assert commands is not None
    update, install = commands
    assert update[0] == "env" and update[-1] == "update"
    assert {"docker.io", "iptables", "iproute2", "chromium"} < set(install)


def test_without_root_and_sudo_there_is_no_command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    monkeypatch.setattr(package, "SYSTEM_PATH", str(tmp_path))
    assert package.root_prefix() is None
    assert package.install_command() is None
    with pytest.raises(EngineError, match="can't be installed") as caught:
        package.install()
    assert "up" in caught.value.next_step


def test_elsewhere_than_linux_there_is_no_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "win32")
    assert package.install_command() is None


def test_a_sudo_that_asks_for_a_password_is_no_right(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    sudo = tmp_path / "sudo"
    sudo.write_text("#!/bin/sh\n[ \"$1\" = -n ] && echo 'sudo: a password is required' >&2\nexit 1\n")
    sudo.chmod(0o755)
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    monkeypatch.setattr(package, "SYSTEM_PATH", str(tmp_path))
    assert package.root_prefix() is None


@needs_root
@needs_apt
def test_a_failure_carries_the_package_managers_last_words() -> None:
    lines: list[str] = []
    with pytest.raises(EngineError, match="could not be installed") as caught:
        package.install(["no-such-package-of-dockerlab"], lines.append)
    assert "no-such-package-of-dockerlab" in caught.value.seen
    assert any("Reading package lists" in line for line in lines)


@pytest.mark.skipif(package.program("dockerd") is None, reason="no dockerd here")
def test_the_engine_is_found_with_the_path_of_an_ordinary_user() -> None:
    code = "from dockerlab.engine import package; print(package.program('dockerd'))"
    environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT)}
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    assert said.stdout.strip() == package.program("dockerd")

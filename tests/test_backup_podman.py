"""On Podman a backup restores too, and is refused where Podman's stream does not say whose the files are."""

from __future__ import annotations

import gzip
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from content import helpers, item, listing, tar_of
from engines import needs_root, wait_until

from dockerlab import Lab, Volume, back_up, restore
from dockerlab.engine import images, package
from dockerlab.engine.find import Engine, find
from dockerlab.errors import BackupError

pytestmark = needs_root

# What a program may open and start here may be less than Podman would ask for.
LIMITS = '[containers]\ndefault_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]\n'
FILL = """cd /v; mkdir -m 1777 d; echo 1 >'d/a b'; ln d/* h; ln -s /etc out; mkfifo f; chmod 6755 h; chmod 700 .
touch -h -t 202001010000 d/* f out"""  # whole seconds: Podman rounds


@pytest.fixture(scope="module")
def podman(engine: Engine) -> Iterator[Lab]:
    command = package.program("podman")
    if command is None:
        pytest.skip("no podman here")
    with tempfile.TemporaryDirectory(prefix="dl") as folder:  # Podman takes short paths only
        (Path(folder) / "containers.conf").write_text(LIMITS)
        words = ["--storage-driver=vfs", f"--root={folder}/root", f"--runroot={folder}/run"]
        words += ["--cgroup-manager=cgroupfs", *(["--runtime=runc"] if shutil.which("runc") else [])]
        address = Path(folder) / "podman.sock"
        words += ["system", "service", "--time=0", f"unix://{address}"]
        environment = os.environ | {"CONTAINERS_CONF": f"{folder}/containers.conf"}
        with subprocess.Popen([command, *words], env=environment, stderr=subprocess.DEVNULL) as server:
            try:
                wait_until(address.exists)
                found = find(f"unix://{address}")
                assert found.kind == "podman"
                found.client.images.load(images.ensure(engine, "alpine").save(named=True))
                with Lab("podman", engine=found, owner="", echo=None) as lab:
                    yield lab
                found.client.close()
            finally:
                server.terminate()


def fill(lab: Lab, volume: str, script: str) -> None:
    done = lab.run("alpine", ["sh", "-c", script], mounts=[Volume(volume, "/v")], detach=False, remove=True)
    assert done.exit_code == 0, done.text


def test_a_volume_of_root_s_comes_back_and_takes_another_s_place(podman: Lab, tmp_path: Path) -> None:
    fill(podman, "data", FILL)
    backup = back_up(podman, "data", tmp_path / "data.tar.gz", progress=False)
    assert backup.files == 1
    fill(podman, "again", "echo old >/v/old")
    assert restore(podman, backup.path, "again", replace=True, progress=False).replaced
    assert listing(podman, "again") == listing(podman, "data")
    assert helpers(podman) == []


def test_a_volume_with_files_of_others_is_refused_rather_than_kept_as_root_s(podman: Lab, tmp_path: Path) -> None:
    fill(podman, "owned", "echo 1 >/v/a; chown 70:71 /v/a")
    with pytest.raises(BackupError, match="70:71"):
        back_up(podman, "owned", tmp_path / "owned.tar.gz", progress=False)
    assert list(tmp_path.iterdir()) == [] and helpers(podman) == []


def test_an_archive_with_files_of_others_can_t_be_compared_and_is_not_restored(podman: Lab, tmp_path: Path) -> None:
    path = tmp_path / "a.tar.gz"
    path.write_bytes(gzip.compress(tar_of([item("a", content=b"1", uid=70, gid=71)])))
    with pytest.raises(BackupError, match="does not say whose"):
        restore(podman, path, "new", progress=False)
    assert "new" not in set(podman.volumes()["name"]) and helpers(podman) == []

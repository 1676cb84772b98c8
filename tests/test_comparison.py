"""A volume beside a bind mount: what is said of them is so, and nothing is left of the asking."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from dockerlab import Anonymous, Bind, Lab, Volume
from dockerlab.comparison import side_by_side
from dockerlab.errors import NotFoundError
from dockerlab.speeds import Speeds

SPEEDS = Speeds(
    pd.DataFrame(
        [(kind, store, 1234.0) for kind in ("sequential", "fsync") for store in ("named volume", "bind mount")],
        columns=["kind", "store", "MB/s"],
    )
)
QUESTIONS = ["who manages it", "where it lies", "what for", "portability", "performance", "backup", "production"]


def test_each_question_is_answered_by_this_engine(lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "note").write_text("here")
    lab.run("alpine", "sleep infinity", name="box", mounts=[Anonymous("/a"), Volume(lab.name, "/v"), Bind(".", "/b")])
    lab.exec("box", "touch /v/one /v/two; chown 70 /v")
    volumes = lab.volumes(all=True)["name"].to_list()
    frame = side_by_side(lab, "box", SPEEDS)
    assert list(frame.index) == QUESTIONS
    volume, bind = frame["volume"], frame["bind mount"]
    assert volume["who manages it"] == f"the engine: docker volume ls has {lab.name}"
    assert bind["who manages it"] == "you: docker volume ls lacks it"
    mountpoint = lab.inspect_volume(lab.name)["Mountpoint"]
    assert volume["where it lies"] == f"{mountpoint}, in the engine's data root"
    assert bind["where it lies"] == f"{tmp_path}, outside the engine's data root"
    assert "uid 70 inside" in volume["what for"]
    assert f"uid {tmp_path.stat().st_uid} inside" in bind["what for"] and bind["what for"].endswith(" ms")
    assert volume["portability"].endswith("was made at once")
    assert bind["portability"].endswith("the engine refuses to start the container")
    assert volume["performance"] == bind["performance"] == "1,234 MB/s sequential, 1,234.0 MB/s with fsync"
    assert volume["backup"].endswith("in its tar: 2")
    assert bind["backup"].endswith("in its tar: 1")
    assert volume["production"].startswith("driver local, scope local")
    assert lab.engine.client.info()["Name"] in bind["production"]
    assert [path.name for path in tmp_path.iterdir()] == ["note"]
    assert lab.volumes(all=True)["name"].to_list() == volumes
    assert list(lab.containers()["name"]) == ["box"]


@pytest.mark.parametrize("mounts", [[Bind(".", "/b")], [Volume("box-data", "/v")], [Bind(".", "/b"), Anonymous("/v")]])
def test_a_container_without_both_is_refused(lab: Lab, mounts: list[Bind | Volume | Anonymous]) -> None:
    lab.run("alpine", "true", name="box", mounts=mounts)
    with pytest.raises(NotFoundError, match="box lacks a named volume or a bind mount"):
        side_by_side(lab, "box", SPEEDS)

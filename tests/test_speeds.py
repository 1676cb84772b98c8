"""Write speeds: what the program writes, what is left of it, and how it is plotted."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import pandas as pd
import pytest
from content import volumes

from dockerlab import Bind, Lab, speeds
from dockerlab.errors import CommandError, InUseError
from dockerlab.speeds import Speeds, write_speeds

# Preloaded, it tells for each file that the program opens how often it is written and synchronized.
COUNT = """
const fs = require("fs"), files = [];
for (const [name, count] of [["writeSync", "writes"], ["fsyncSync", "fsyncs"]]) {
  const real = fs[name];
  fs[name] = (...args) => { if (args[0] > 2) files.at(-1)[count]++; return real(...args); };
}
const open = fs.openSync;
fs.openSync = (...args) => { files.push({ writes: 0, fsyncs: 0 }); return open(...args); };
process.on("exit", () => console.log(JSON.stringify(files)));
"""


pytestmark = pytest.mark.usefixtures("here")


def test_each_store_is_measured_and_nothing_is_left(lab: Lab, here: Path) -> None:
    before = volumes(lab)
    measured = write_speeds(lab, rounds=2)
    assert measured.trials.value_counts(["kind", "store"], sort=False).to_dict() == {
        (kind, store): 2
        for kind in ("sequential", "fsync")
        for store in ("writable layer", "named volume", "bind mount", "tmpfs")
    }
    assert (measured.trials["MB/s"] > 0).all()
    assert volumes(lab) == before
    assert lab.claims.containers() == []
    assert list(here.iterdir()) == []
    assert "--tmpfs /memory" in lab.script()


def test_the_program_writes_and_synchronizes_as_it_says(lab: Lab, here: Path) -> None:
    (here / "speeds.js").write_bytes(speeds.PROGRAM.read_bytes())
    (here / "count.js").write_text(COUNT)
    words = ["sh", "-c", "node -r /here/count.js /here/speeds.js 1 3 20 /a /b && ls -A /a /b"]
    told = lab.run("node:20-alpine", words, mounts=[Bind(str(here), "/here")], detach=False, remove=True)
    *rows, counted, _, _, _ = told.text.splitlines()
    assert told.text.endswith("/a:\n\n/b:\n"), "its files are gone"
    trials = [json.loads(row) for row in rows]
    assert [(kind, folder) for kind, folder, _, _ in trials] == [
        ("sequential", "/a"),
        ("sequential", "/b"),
        ("fsync", "/a"),
        ("fsync", "/b"),
    ]
    files = json.loads(counted)[4:]  # the first round warms up, and is not told
    for (kind, _, size, milliseconds), file in zip(trials, files, strict=True):
        if kind == "sequential":
            assert (size, file) == (3 << 20, {"writes": 3, "fsyncs": 1})
        else:
            assert file["writes"] == file["fsyncs"] == size / 8192 >= 1
            assert milliseconds >= 20


def test_a_container_that_fails_is_an_error_and_leaves_nothing(
    lab: Lab, here: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path_factory.mktemp("broken") / "speeds.js"
    broken.write_text("console.log('no such disk'); process.exit(3)")
    monkeypatch.setattr(speeds, "PROGRAM", broken)
    before = volumes(lab)
    with pytest.raises(CommandError, match="no such disk"):
        write_speeds(lab)
    assert volumes(lab) == before
    assert lab.claims.containers() == []
    assert list(here.iterdir()) == []


def test_a_taken_name_is_refused(lab: Lab) -> None:
    lab.create_volume("speeds")
    with pytest.raises(InUseError, match="volume speeds"):
        write_speeds(lab)


MEASURED = Speeds(
    pd.DataFrame(
        [("fsync", "bind mount", speed) for speed in (10.0, 1.0, 100.0)] + [("fsync", "tmpfs", 5000.0)],
        columns=["kind", "store", "MB/s"],
    )
)


def test_the_summary_is_the_median_and_the_range() -> None:
    assert MEASURED.summary.to_dict("index") == {
        ("fsync", "bind mount"): {"median": 10.0, "slowest": 1.0, "fastest": 100.0},
        ("fsync", "tmpfs"): {"median": 5000.0, "slowest": 5000.0, "fastest": 5000.0},
    }


@pytest.mark.parametrize("theme", ["light", "dark", None])
def test_the_plot_puts_a_tenfold_speed_a_decade_further(theme: speeds.Theme | None) -> None:
    root = ElementTree.fromstring(MEASURED.svg(theme))
    assert "bind mount: 10 MB/s" in root.attrib["aria-label"]
    bind, tmpfs = (float(dot.attrib["cx"]) for dot in root.findall(".//{*}circle"))
    texts = root.findall(".//{*}text")
    axis = {text.text: float(text.attrib["x"]) for text in texts if text.get("text-anchor") == "middle"}
    assert list(axis) == ["1", "10", "100", "1,000", "10,000"]
    assert axis["100"] - axis["10"] == pytest.approx(axis["10,000"] - axis["1,000"], abs=0.2)
    assert bind == axis["10"]
    assert axis["1,000"] < tmpfs < axis["10,000"]
    assert {"bind mount", "tmpfs", "5,000"} <= {text.text for text in texts}


def test_shown_it_is_a_picture_in_either_theme_and_a_table_in_words() -> None:
    data, _ = MEASURED._repr_mimebundle_()
    assert set(data) == {"text/html", "image/png", "text/plain"}
    assert data["text/html"].count("<img ") == 2
    assert "bind mount" in data["text/plain"] and "5000.0" in data["text/plain"]

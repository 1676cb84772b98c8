"""The panel of the persistence proof, on a real engine with a real Postgres."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from engines import wait_until
from test_panels_base import page, press

from dockerlab import Lab
from dockerlab.errors import CommandError
from dockerlab.panels import Persistence


@pytest.fixture
def panel(lab: Lab) -> Iterator[Persistence]:
    panel = Persistence(lab)
    yield panel
    panel.close()


def test_step_by_step_the_rows_outlive_the_server(panel: Persistence) -> None:
    panel.start()
    assert [each.name for each in panel.snapshot.containers] == ["first-db"]
    before = panel.insert()
    assert list(before["name"]) == ["Alice", "Bob", "Charlie"]
    assert "psql" in panel.lines[-1] and "SELECT * FROM users" in panel.lines[-1]
    with pytest.raises(CommandError, match="nothing to compare"):
        panel.prove()
    panel.destroy()
    assert panel.snapshot.containers == ()
    assert any("volume drill-data stays, now unused" in told for told in panel.happened)
    with pytest.raises(CommandError, match="There is no server"):
        panel.prove()
    panel.start_again()
    proof = panel.prove()
    assert proof.loc["before", "container"] != proof.loc["after", "container"]
    assert list(proof["volume"]) == ["drill-data", "drill-data"]
    assert list(proof["rows"]) == [3, 3]
    assert panel.after is not None and panel.after.equals(before)
    assert "equal rows" in panel._lines[-1].text
    wait_until(lambda: page(panel).count("Charlie") == 2 and "to come" not in page(panel))
    words = repr(panel)
    assert "Charlie" in words and "drill-data" in words
    panel.start_over()
    assert panel.snapshot.containers == ()
    assert "drill-data" not in {each.name for each in panel.snapshot.volumes}
    assert panel.proof is None and panel.seconds == {}


def test_the_whole_drill_runs_by_one_button(panel: Persistence) -> None:
    press(panel, "Run the whole drill")
    assert panel.error is None
    assert panel.proof is not None and len(set(panel.proof["container"])) == 2
    assert list(panel.seconds) == ["start", "insert", "destroy", "start_again", "prove"]

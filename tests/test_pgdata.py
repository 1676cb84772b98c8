"""Where an image wants its volume, and where a container has its data."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from docker.models.images import Image
from servers import ENV, IMAGE

from dockerlab import Bind, Lab, Tmpfs, Volume
from dockerlab.engine import images
from dockerlab.engine.find import Engine
from dockerlab.errors import PostgresError
from dockerlab.pgdata import data_source, volume_target


@pytest.fixture(scope="module")
def as_eighteen(engine: Engine) -> Iterator[Image]:
    """An image that has its data where those of Postgres 18 do."""
    images.ensure(engine, IMAGE)
    lines = f"FROM {IMAGE}\nENV PGDATA=/var/lib/postgresql/18/docker\nVOLUME /var/lib/postgresql\n"
    image, _ = engine.client.images.build(fileobj=io.BytesIO(lines.encode()), tag="dockerlab-test:as-18", rm=True)
    yield image
    engine.client.images.remove("dockerlab-test:as-18", force=True)


def test_the_target_is_the_declared_volume_that_holds_the_data(engine: Engine, as_eighteen: Image) -> None:
    assert volume_target(images.ensure(engine, IMAGE)) == "/var/lib/postgresql/data"
    assert volume_target(as_eighteen) == "/var/lib/postgresql"


def test_an_image_without_a_data_folder_is_refused(engine: Engine) -> None:
    with pytest.raises(PostgresError, match=r"alpine.* is not one of a Postgres server"):
        volume_target(images.ensure(engine, "alpine"))


@pytest.mark.parametrize("target", ["/var/lib/postgresql/data", "/var/lib/postgresql", "/var/lib"])
def test_the_source_is_the_volume_at_the_data_folder_or_above_it(lab: Lab, target: str) -> None:
    lab.run("alpine", "true", name="first", mounts=[Volume("some-data", "/x")])
    box = lab.run(IMAGE, ["true"], env=ENV, mounts=[Volume("some-data", target), Volume("other", "/var/lib/else")])
    # The image declares a volume at the data folder itself, which then is nearer.
    nearer = [mount["Name"] for mount in box.attrs["Mounts"] if mount["Destination"] == "/var/lib/postgresql/data"]
    assert data_source(box) == nearer[0]
    assert (data_source(box) == "some-data") is (target == "/var/lib/postgresql/data")


def test_a_folder_of_the_host_and_memory_are_sources_too(lab: Lab, tmp_path: Path) -> None:
    target = "/var/lib/postgresql/data"
    assert data_source(lab.run(IMAGE, ["true"], mounts=[Bind(str(tmp_path), target)])) == str(tmp_path)
    assert data_source(lab.run(IMAGE, ["true"], mounts=[Tmpfs(target)])) == ""

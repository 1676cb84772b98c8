"""The doctor tells what is really here: with an engine, without one, and with images missing or broken."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from docker import DockerClient
from engines import needs_private_engine

from dockerlab.doctor import Report, examine
from dockerlab.engine import images, parts, private
from dockerlab.engine.find import Engine, find


def contents(client: DockerClient) -> dict[str, set[Any]]:
    return {
        "containers": {box.id for box in client.containers.list(all=True)},
        "volumes": {volume.name for volume in client.volumes.list()},
        "images": {tag for image in client.images.list() for tag in image.tags},
    }


def test_where_all_is_well_a_container_and_a_postgres_have_really_run_and_nothing_is_left(engine: Engine) -> None:
    for name in images.COURSE:
        images.ensure(engine, name)
    before = contents(engine.client)
    report = examine()
    assert report.usable, str(report)
    assert report.container.worked
    assert report.postgres.worked
    assert "16." in report.postgres.seen
    assert set(report.images) == set(images.COURSE)
    assert report.engine
    assert report.engine["storage_driver"] == engine.client.info()["Driver"]
    assert contents(engine.client) == before
    assert "Works." in str(report)


def test_the_report_is_the_same_for_programs(engine: Engine) -> None:
    report = examine()
    told = json.loads(json.dumps(report.as_dict()))
    assert told["usable"] == report.usable
    assert told["images"] == report.images
    assert [place["url"] for place in told["looked_for"]] == [engine.url]


def test_without_an_engine_it_says_where_it_looked_and_how_to_get_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKERLAB_ENGINE", f"unix://{tmp_path}/none.sock")
    report = examine()
    assert not report.usable
    assert report.engine is None
    assert report.container.worked is None
    assert "not there" in str(report)
    assert "python3 -m dockerlab up" in report.next_step


@needs_private_engine
def test_an_engine_without_images_is_told_so_and_none_is_pulled(private_home: Path) -> None:
    engine = find("private")
    try:
        report = examine()
        assert not report.usable
        assert set(report.images.values()) == {"absent"}
        assert report.container.worked is report.postgres.worked is None
        assert "images prefetch" in report.next_step
        assert contents(engine.client) == {"containers": set(), "volumes": set(), "images": set()}
    finally:
        engine.client.close()


@needs_private_engine
def test_a_postgres_that_does_not_come_up_makes_it_unusable_and_leaves_nothing(
    engine: Engine, private_home: Path
) -> None:
    alpine = images.ensure(engine, "alpine")
    other = find("private")
    try:
        (copy,) = other.client.images.load(b"".join(alpine.save(named=True)))
        copy.tag("postgres", "16-alpine")  # it has no Postgres
        before = contents(other.client)
        report = examine()
        assert report.container.worked
        assert report.postgres.worked is False
        assert not report.usable
        assert contents(other.client) == before
    finally:
        other.client.close()


@pytest.fixture
def fetched(engine: Engine) -> Path:
    """Where the first engine's stand-ins have their parts; to be asked for before another home is."""
    return private.home() / "parts"


@needs_private_engine
def test_a_stand_in_of_a_former_release_is_tried_as_it_is(
    engine: Engine, fetched: Path, private_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if fetched.exists():
        shutil.copytree(fetched, private_home / "parts", ignore=shutil.ignore_patterns(".*"))
    alpine = images.ensure(engine, "alpine")
    other = find("private")
    try:
        other.client.images.load(b"".join(alpine.save(named=True)))
        kept = parts.Part("one-more", "", lambda folder: None)  # all that a new one needs is here
        recipe = replace(parts.RECIPES["alpine"], parts=(*parts.RECIPES["alpine"].parts, kept))
        monkeypatch.setitem(parts.RECIPES, "alpine", recipe)
        assert examine().container.worked
        assert other.client.images.get("alpine").id == alpine.id
        assert images.ensure(other, "alpine").id != alpine.id
    finally:
        other.client.close()


def test_a_report_says_in_words_what_it_could_not_try() -> None:
    assert "container: no engine" in str(Report({}, []))

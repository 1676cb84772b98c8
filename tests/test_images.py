"""An image comes from a bundle or is built, once and whole, and never takes an official name in a foreign engine."""

from __future__ import annotations

import gzip
import hashlib
import http.server
import json
import os
import re
import shutil
import signal
import tarfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from docker.errors import ImageNotFound
from docker.models.images import Image
from engines import begin, finish, mounted, needs_private_engine, needs_root, python, wait_until

from dockerlab.engine import images, parts, private
from dockerlab.engine.find import Engine, find
from dockerlab.errors import ImageError

pytestmark = needs_private_engine

ENSURE = """
import sys
from dockerlab.engine import find, images
engine = find.find("private")
print(images.ensure(engine, sys.argv[1]).id)
"""


@pytest.fixture(scope="module")
def kept_parts(engine: Engine) -> Path:
    """The parts of this run's home, fetched."""
    images.fetch_parts()
    return private.home() / "parts"


@pytest.fixture
def other(private_home: Path, kept_parts: Path) -> Iterator[Engine]:
    """Another private engine, empty, that has the parts already."""
    shutil.copytree(kept_parts, private_home / "parts", copy_function=os.link)
    found = find("private")
    yield found
    found.client.close()


@pytest.fixture(scope="module")
def bundle(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Path:
    images.ensure(engine, "alpine")
    return images.save(engine, tmp_path_factory.mktemp("bundle") / "images.tar", ["alpine"])


def foreign(engine: Engine) -> Engine:
    """The same engine, as if it were somebody else's."""
    return Engine(engine.url, engine.version, engine.api_version, engine.kind, False, engine.os_name, engine.client)


def names(engine: Engine) -> set[str]:
    return {tag for image in engine.client.images.list() for tag in image.tags}


def own_alpine(engine: Engine) -> Image:
    """An image of the course's name with an id of its own, as an official one would have."""
    image = engine.client.images.get("alpine")
    box = engine.client.containers.create("alpine", "true")
    mine = box.commit("alpine", "latest", conf={"Labels": {"mine": "yes"}})
    box.remove()
    assert mine.id != image.id
    return mine


def make_plain_image(engine: Engine, bundle: Path, folder: Path) -> None:
    """An image without our label, as official ones are: `docker import` makes such, here from a container's files."""
    images.load(engine, bundle)
    box = engine.client.containers.create("alpine", "true")
    with (folder / "files.tar").open("wb") as file:
        file.writelines(box.export())
    box.remove()
    engine.client.api.import_image_from_file(str(folder / "files.tar"), repository="plain", tag="1")


def test_what_is_present_is_taken_as_it_is(engine: Engine) -> None:
    image = images.ensure(engine, "alpine")
    lines: list[str] = []
    assert images.ensure(engine, "alpine", report=lines.append).id == image.id
    assert lines == []


def test_a_stand_in_is_built_with_a_line_for_each_step_and_says_what_it_is(other: Engine) -> None:
    lines: list[str] = []
    image = images.ensure(other, "alpine", report=lines.append)
    assert lines[0] == "pulling alpine"
    assert any("stand-in for alpine: Step 1/" in line for line in lines)
    assert image.labels["dockerlab.standin"] == "alpine"
    assert images.origin(image) == "stand-in"
    assert names(other) == {"alpine:latest"}


def test_stand_ins_share_their_first_layers(engine: Engine) -> None:
    layers = [images.ensure(engine, name).attrs["RootFS"]["Layers"] for name in images.COURSE]
    assert len({tuple(each[:5]) for each in layers}) == 1
    assert len({tuple(each) for each in layers}) == 3


def test_however_many_ask_a_stand_in_is_built_once(other: Engine) -> None:
    askers = [begin(ENSURE, "alpine") for _ in range(4)]
    (image_id,) = {finish(asker).strip() for asker in askers}
    builds = [image for image in other.client.images.list(all=True) if "alpine:latest" in image.tags]
    assert [image.id for image in builds] == [image_id]
    assert not other.client.images.list(filters={"dangling": True})


def test_a_build_that_is_cut_off_leaves_no_half_image_and_the_next_one_is_whole(other: Engine) -> None:
    builder = begin(ENSURE, "postgres:16-alpine")
    wait_until(lambda: len(other.client.images.list(all=True)) > 4)
    builder.kill()
    builder.communicate()

    with pytest.raises(ImageNotFound):
        other.client.images.get("postgres:16-alpine")
    images.ensure(other, "postgres:16-alpine")
    version = other.client.containers.run("postgres:16-alpine", "postgres --version", remove=True)
    assert version.startswith(b"postgres (PostgreSQL) 16.")
    assert other.client.containers.list(all=True) == []
    assert not other.client.images.list(filters={"dangling": True})


def test_a_stand_in_of_a_former_release_is_built_anew_and_kept_where_it_can_not_be(
    other: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    former = images.ensure(other, "alpine")
    box = other.client.containers.create("alpine", "true")
    recipe = replace(parts.RECIPES["alpine"], parts=(*parts.RECIPES["alpine"].parts, nothing_to_be_had()))
    monkeypatch.setitem(parts.RECIPES, "alpine", recipe)
    assert images.ensure(other, "alpine").id == former.id

    recipe.parts[-1].path.mkdir()
    monkeypatch.setattr(images, "_kept", set[str]())  # as in another process
    now = images.ensure(other, "alpine")
    assert now.id != former.id
    assert images.ensure(other, "alpine").id == now.id
    box.reload()
    assert box.image.id == former.id  # what was made from it stands
    assert images.ensure(foreign(other), "alpine").id == now.id


def test_a_stand_in_that_can_not_be_built_anew_is_tried_once(other: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    images.ensure(other, "alpine")
    recipe = replace(parts.RECIPES["alpine"], parts=(*parts.RECIPES["alpine"].parts, nothing_to_be_had()))
    monkeypatch.setitem(parts.RECIPES, "alpine", recipe)
    lines: list[str] = []
    for _ in range(2):
        images.ensure(other, "alpine", report=lines.append)
        assert lines == ["fetching the parts of a stand-in for alpine"]


def nothing_to_be_had() -> parts.Part:
    def fail(folder: Path) -> None:
        raise ImageError("not to be had")

    return parts.Part("nothing", "", fail)


def test_only_the_private_engine_gets_stand_ins(other: Engine) -> None:
    with pytest.raises(ImageError) as caught:
        images.ensure(foreign(other), "alpine")
    assert "only built on the private engine" in caught.value.seen
    assert names(other) == set()


def test_the_error_lists_what_was_tried(other: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ImageError) as caught:
        images.ensure(other, "no-such-image-of-dockerlab:1")
    what, seen, next_step = str(caught.value).splitlines()
    assert "no-such-image-of-dockerlab:1" in what
    assert seen.startswith("pull: ")
    assert "bundle: DOCKERLAB_BUNDLE is not set; stand-in: there is none for no-such-image-of-dockerlab:1" in seen
    assert "images save" in next_step
    monkeypatch.setenv("DOCKERLAB_BUNDLE", str(tmp_path / "gone.tar"))
    with pytest.raises(ImageError, match=r"bundle: .*gone\.tar"):
        images.ensure(other, "no-such-image-of-dockerlab:1")


def test_a_bundle_comes_before_a_stand_in(other: Engine, bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKERLAB_BUNDLE", str(bundle))
    lines: list[str] = []
    image = images.ensure(other, "alpine", report=lines.append)
    assert lines == ["pulling alpine", f"loading alpine from {bundle}"]
    assert image.id == config_ids(bundle)["alpine:latest"]


def config_ids(bundle: Path) -> dict[str, str]:
    """The ids that a bundle's images have, by name: what `docker load` makes of a config's sum."""
    with tarfile.open(bundle) as tar:
        manifest = tar.extractfile("manifest.json")
        assert manifest is not None
        return {
            name: "sha256:" + Path(image["Config"]).name.removesuffix(".json")
            for image in json.load(manifest)
            for name in image["RepoTags"]
        }


def test_what_was_saved_is_loaded_with_the_same_ids(engine: Engine, other: Engine, tmp_path: Path) -> None:
    wanted = ["alpine", "node:20-alpine"]
    ids = {name: images.ensure(engine, name).id for name in wanted}
    path = images.save(engine, tmp_path / "two.tar", wanted)

    assert sorted(images.load(other, path)) == ["alpine:latest", "node:20-alpine"]
    assert {name: other.client.images.get(name).id for name in wanted} == ids
    assert images.load(other, path) == []


def test_a_name_that_is_taken_keeps_its_image(other: Engine, bundle: Path) -> None:
    images.load(other, bundle)
    mine = own_alpine(other)
    images.load(other, bundle)
    assert other.client.images.get("alpine").id == mine.id


def test_stand_ins_in_a_bundle_are_kept_from_a_foreign_engine(
    other: Engine, bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ImageError, match="stand-ins"):
        images.load(foreign(other), bundle)
    monkeypatch.setenv("DOCKERLAB_BUNDLE", str(bundle))
    with pytest.raises(ImageError, match="private engine only"):
        images.ensure(foreign(other), "alpine")
    assert names(other) == set()


def test_a_bundle_of_other_images_goes_to_any_engine(other: Engine, bundle: Path, tmp_path: Path) -> None:
    make_plain_image(other, bundle, tmp_path)
    path = images.save(other, tmp_path / "plain.tar", ["plain:1"])
    other.client.images.remove("plain:1")

    assert images.load(foreign(other), path) == ["plain:1"]
    assert images.origin(other.client.images.get("plain:1")) == "loaded"


def test_saving_what_is_not_there_says_so_and_leaves_no_file(engine: Engine, tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="no image no-such-image"):
        images.save(engine, tmp_path / "bundle.tar", ["alpine", "no-such-image"])
    assert list(tmp_path.iterdir()) == []


@needs_root
def test_a_bundle_for_which_there_is_no_room_is_not_left_half(engine: Engine, tmp_path: Path) -> None:
    images.ensure(engine, "alpine")
    with mounted("tmpfs", "size=1m", tmp_path / "small") as small:
        with pytest.raises(ImageError, match="No space left"):
            images.save(engine, small / "bundle.tar", ["alpine"])
        assert list(small.iterdir()) == []


@pytest.mark.parametrize("damage", ["not a tar", "cut off", "another tar"])
def test_a_damaged_bundle_is_said(other: Engine, bundle: Path, tmp_path: Path, damage: str) -> None:
    path = tmp_path / "damaged.tar"
    match damage:
        case "not a tar":
            path.write_text("hello")
        case "cut off":
            path.write_bytes(bundle.read_bytes()[: bundle.stat().st_size // 2])
        case "another tar":
            with tarfile.open(path, "w") as tar:
                tar.add(__file__, "x.py")
    with pytest.raises(ImageError, match=r"damaged\.tar"):
        images.load(other, path)
    assert names(other) == set()


@contextmanager
def registry(bundle: Path, refusal: str = "") -> Iterator[str]:
    """A registry on this machine that serves the bundle's one image, slowly; yields its address."""
    blobs: dict[str, bytes] = {}

    def keep(kind: str, content: bytes) -> dict[str, object]:
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        blobs[digest] = content
        return {"mediaType": f"application/vnd.docker.{kind}", "size": len(content), "digest": digest}

    with tarfile.open(bundle) as tar:

        def read(name: str) -> bytes:
            member = tar.extractfile(name)
            assert member is not None
            return member.read()

        (image,) = json.loads(read("manifest.json"))
        manifest = {
            "schemaVersion": 2,
            "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
            "config": keep("container.image.v1+json", read(image["Config"])),
            "layers": [
                keep("image.rootfs.diff.tar.gzip", gzip.compress(read(layer), compresslevel=0))
                for layer in image["Layers"]
            ],
        }
    manifest_text = json.dumps(manifest).encode()

    class Registry(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if refusal and "/manifests/" in self.path:
                error = {"errors": [{"code": "TOOMANYREQUESTS", "message": refusal}]}
                return self.answer(429, json.dumps(error).encode(), "application/json")
            if "/manifests/" in self.path:
                return self.answer(200, manifest_text, str(manifest["mediaType"]))
            return self.answer(200, blobs.get(self.path.rpartition("/")[2], b"{}"), "application/json")

        do_HEAD = do_GET  # noqa: N815 - the library's name

        def answer(self, status: int, body: bytes, kind: str) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Docker-Content-Digest", f"sha256:{hashlib.sha256(body).hexdigest()}")
            self.end_headers()
            if self.command == "GET":
                for start in range(0, len(body), 2**18):
                    self.wfile.write(body[start : start + 2**18])
                    time.sleep(0.15)  # else it is over before the engine tells of it

        def log_message(self, *words: object) -> None: ...

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Registry) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()


def test_an_image_is_pulled_and_the_sum_of_its_layers_is_told(other: Engine, bundle: Path) -> None:
    lines: list[str] = []
    with registry(bundle) as address:
        image = images.ensure(other, f"{address}/alpine:1", report=lines.append)
    assert image.id == config_ids(bundle)["alpine:latest"]
    told = [re.fullmatch(rf"pulling {address}/alpine:1: (\d+) of (\d+) MB", line) for line in lines[1:]]
    assert all(told)
    done = [int(match[1]) for match in told if match]
    assert done == sorted(done)
    assert len(set(lines)) == len(lines)
    assert done[-1] == max(int(match[2]) for match in told if match) > 0


def test_what_is_pulled_without_a_tag_is_the_latest_and_no_more(other: Engine, bundle: Path) -> None:
    with registry(bundle) as address:
        image = images.ensure(other, f"{address}/alpine")
        assert image.tags == [f"{address}/alpine:latest"]


def test_a_registry_that_refuses_is_quoted(other: Engine, bundle: Path) -> None:
    with registry(bundle, "You have reached your pull rate limit.") as address, pytest.raises(ImageError) as caught:
        images.ensure(other, f"{address}/alpine:1")
    assert "pull: toomanyrequests: You have reached your pull rate limit" in caught.value.seen


def test_origin_tells_pulled_images_from_stand_ins(other: Engine, bundle: Path, tmp_path: Path) -> None:
    make_plain_image(other, bundle, tmp_path)
    plain = images.save(other, tmp_path / "plain.tar", ["plain:1"])
    with registry(plain) as address:
        assert images.origin(images.ensure(other, f"{address}/plain:1")) == "pulled"


def test_parts_are_fetched_once(kept_parts: Path) -> None:
    before = {path: path.stat().st_ctime_ns for path in kept_parts.iterdir()}
    python("import runpy; runpy.run_module('dockerlab.engine.images', run_name='__main__')")
    assert {path: path.stat().st_ctime_ns for path in kept_parts.iterdir()} == before


def test_a_download_that_is_cut_off_leaves_nothing_and_is_made_up_for(private_home: Path, engine: Engine) -> None:
    fetcher = begin("from dockerlab.engine.images import fetch_parts; fetch_parts(['alpine'])")
    wait_until(lambda: any((private_home / "parts").glob(".debian-*")))
    os.kill(fetcher.pid, signal.SIGKILL)
    fetcher.communicate()
    (debian,) = parts.RECIPES["alpine"].parts
    assert not debian.path.exists()

    images.fetch_parts(["alpine"])

    assert [path.name for path in (private_home / "parts").iterdir() if path.is_dir()] == [debian.path.name]
    assert (debian.path / "busybox").exists()


def test_a_wheel_whose_hash_differs_is_refused(private_home: Path, tmp_path: Path) -> None:
    pinned = (parts.RECIPES_FOLDER / "postgres" / "requirements.txt").read_text()
    forged = tmp_path / "requirements.txt"
    forged.write_text(re.sub("sha256:.{6}", "sha256:000000", pinned))
    (private_home / "parts").mkdir(parents=True)
    part = parts.Part("postgres", "forged", parts._make_wheel(forged, {}))
    with pytest.raises(ImageError, match="Hash mismatch"):
        parts._fetch_part(part)


def test_without_the_systems_lists_of_packages_lists_of_our_own_are_read(
    private_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "lists" / "partial").mkdir(parents=True)
    (tmp_path / "apt.conf").write_text(f'Dir::State::Lists "{tmp_path}/lists";')
    monkeypatch.setenv("APT_CONFIG", str(tmp_path / "apt.conf"))
    images.fetch_parts(["alpine"])
    (debian,) = parts.RECIPES["alpine"].parts
    assert (debian.path / "glibc" / "libc.so.6").exists()


@needs_root
def test_no_room_for_parts_is_said_and_nothing_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with mounted("tmpfs", "size=4m", tmp_path / "home") as home:
        monkeypatch.setenv("DOCKERLAB_HOME", str(home))
        with pytest.raises(ImageError, match="parts"):
            images.fetch_parts(["alpine"])
        assert [path for path in home.rglob("*") if path.is_dir()] == [home / "parts"]

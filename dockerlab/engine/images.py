"""Make an image be there: present, pulled, from a classroom's bundle, or built as a stand-in."""

from __future__ import annotations

import contextlib
import json
import os
import tarfile
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from docker.errors import DockerException, ImageNotFound
from docker.models.images import Image
from docker.utils import parse_repository_tag
from requests.exceptions import RequestException

from dockerlab.engine import parts, private
from dockerlab.engine.find import Engine
from dockerlab.engine.lock import locked
from dockerlab.errors import ImageError

__all__ = ["COURSE", "as_they_are", "ensure", "fetch_parts", "load", "origin", "save"]

COURSE = ("alpine", "postgres:16-alpine", "node:20-alpine")
LABEL = "dockerlab.standin"
# What the engine says of a layer afterwards: of several, one that hears late is told the last alone.
DOWNLOADED = ("Verifying Checksum", "Download complete", "Extracting", "Pull complete")
SECONDS = 600  # in which an engine on a slow disk may say nothing while it works on a large layer
RECIPE_LABEL = "dockerlab.recipe"  # tells a stand-in of a former release

# The ids of outdated stand-ins that serve as they are: each is tried once, since that takes long without a network.
_kept = set[str]()

# Gets a line that says what is being done and how far it is.
Report = Callable[[str], object]


def ensure(engine: Engine, name: str, *, report: Report | None = None) -> Image:
    """Return the image of that name, after making it be there.

    Pulled where it is missing, else from the bundle that `DOCKERLAB_BUNDLE` names, else, on the private engine
    only, built as a stand-in. One of a former release is built anew, which each process tries once. Raises
    `ImageError` that says what each of these answered.
    """
    report = report or (lambda line: None)
    image = _present(engine, name)
    if image is not None and image.id not in _kept and _is_outdated(engine, image):
        _kept.add(str(image.id))  # where it can't be made anew, the old one serves
        with contextlib.suppress(ImageError, DockerException, RequestException, OSError):
            _build(engine, name, report)
            image = _present(engine, name)
    if image is not None:
        return image
    tried = []
    for source, make in (("pull", _pull), ("bundle", _load_bundle), ("stand-in", _build)):
        try:
            make(engine, name, report)
        except ImageError as error:
            tried.append(f"{source}: {error.seen.rstrip('.')}")
            continue
        except (DockerException, RequestException, OSError) as error:
            tried.append(f"{source}: {_one_line(error)}")
            continue
        image = _present(engine, name)
        if image is not None:
            return image
        tried.append(f"{source}: it went well, but the image is not there")
    raise ImageError(
        f"The image {name} could not be made to be there.",
        f"{'; '.join(tried)}.",
        "Connect to the internet, or set DOCKERLAB_BUNDLE to a file made by `python3 -m dockerlab images save`.",
    )


@contextlib.contextmanager
def as_they_are(engine: Engine, names: Iterable[str] = COURSE) -> Iterator[None]:
    """Within it, none of those images is built anew by `ensure`, be it of a former release."""
    kept = {str(image.id) for name in names if (image := _present(engine, name))} - _kept
    _kept.update(kept)
    try:
        yield
    finally:
        _kept.difference_update(kept)


def fetch_parts(names: Iterable[str] = COURSE) -> None:
    """Download what the stand-ins of `names` are made from, verified, and keep it; no engine is needed.

    Names without a stand-in are passed over. Raises `ImageError`.
    """
    parts.fetch([name for name in names if name in parts.RECIPES])


def origin(image: Image) -> str:
    """Say where an image came from: `stand-in`, `pulled`, or `loaded` for a file or a build of one's own."""
    if LABEL in image.labels:
        return "stand-in"
    return "pulled" if image.attrs.get("RepoDigests") else "loaded"


def save(engine: Engine, path: str | os.PathLike[str], names: Sequence[str] = COURSE) -> Path:
    """Write those images into one file, as `docker save` does, and return its path.

    The file appears when it is whole. Raises `ImageError` where an image is missing or the disk is full.
    """
    path = Path(path).absolute()
    missing = [name for name in names if _present(engine, name) is None]
    if missing:
        raise ImageError(
            "The bundle could not be saved.",
            f"{engine!r} has no image {', '.join(missing)}.",
            "Run `dockerlab images prefetch` first.",
        )
    api = engine.client.api
    partial = path.with_name(f".{path.name}.partial")
    try:
        # docker-py's own call takes one name only; one file for all holds the layers that they share once.
        answer = api.get(
            f"{api.base_url}/v{api.api_version}/images/get",
            params={"names": list(names)},
            stream=True,
            timeout=SECONDS,
        )
        answer.raise_for_status()
        with partial.open("wb") as file:
            for chunk in answer.iter_content(2**20):
                file.write(chunk)
        partial.replace(path)
    except (OSError, RequestException) as error:
        raise ImageError("The bundle could not be saved.", f"{path}: {_one_line(error)}", "Try again.") from None
    finally:
        partial.unlink(missing_ok=True)
    return path


def load(engine: Engine, path: str | os.PathLike[str]) -> list[str]:
    """Load a bundle's images into the engine, and return the names that are there now and were not before.

    A name that the engine has already keeps its image. Stand-ins go to the private engine only, so that they
    never stand under an official name anywhere else. Raises `ImageError`.
    """
    path = Path(path).absolute()
    contents = _bundle_contents(path)
    if not engine.private and (standins := [name for name, labels in contents.items() if LABEL in labels]):
        raise ImageError(
            "The bundle was not loaded.",
            f"{path} holds stand-ins ({', '.join(standins)}), which are for the private engine only.",
            "Use the private engine (DOCKERLAB_ENGINE=private), or save a bundle where the images could be pulled.",
        )
    before = {name: _present(engine, name) for name in contents}
    try:
        with path.open("rb") as file:
            engine.client.images.load(file)
    except (DockerException, RequestException) as error:
        raise ImageError(
            "The bundle was not loaded.", f"{path}: {_one_line(error)}", "Save or copy that file again."
        ) from None
    finally:
        for name, image in before.items():
            if image is not None:
                image.tag(*parse_repository_tag(name))
    return [name for name, image in before.items() if image is None]


def _present(engine: Engine, name: str) -> Image | None:
    try:
        return engine.client.images.get(name)
    except ImageNotFound:
        return None


def _is_outdated(engine: Engine, image: Image) -> bool:
    recipe = parts.RECIPES.get(image.labels.get(LABEL, ""))
    return engine.private and recipe is not None and image.labels.get(RECIPE_LABEL) != recipe.digest


def _pull(engine: Engine, name: str, report: Report) -> None:
    repository, tag = parse_repository_tag(name)
    layers: dict[str, tuple[int, int]] = {}
    told = f"pulling {name}"
    report(told)
    for line in engine.client.api.pull(repository, tag=tag or "latest", stream=True, decode=True):
        if "error" in line:
            raise ImageError(f"{name} could not be pulled.", " ".join(str(line["error"]).split()))
        progress = line.get("progressDetail") or {}
        if line.get("status") == "Downloading" and progress.get("total"):
            layers[line["id"]] = (progress["current"], progress["total"])
        elif line.get("status") in DOWNLOADED and line.get("id") in layers:
            layers[line["id"]] = (layers[line["id"]][1], layers[line["id"]][1])
        done, total = (sum(sizes) / 1e6 for sizes in zip(*layers.values(), strict=True)) if layers else (0, 0)
        text = f"pulling {name}: {done:.0f} of {total:.0f} MB"
        if text != told:
            report(text)
        told = text


def _load_bundle(engine: Engine, name: str, report: Report) -> None:
    bundle = os.environ.get("DOCKERLAB_BUNDLE")
    if not bundle:
        raise ImageError("No bundle.", "DOCKERLAB_BUNDLE is not set")
    if _full(name) not in _bundle_contents(Path(bundle)):
        raise ImageError("Not in the bundle.", f"{bundle} has no {name}")
    report(f"loading {name} from {bundle}")
    load(engine, bundle)


def _build(engine: Engine, name: str, report: Report) -> None:
    name = name.removesuffix(":latest")
    if name not in parts.RECIPES:
        raise ImageError("No stand-in.", f"there is none for {name}")
    if not engine.private:
        raise ImageError("No stand-in.", "only built on the private engine")
    recipe = parts.RECIPES[name]
    report(f"fetching the parts of a stand-in for {name}")
    fetch_parts([name])
    # One build at a time: the others find the first one's image, and the layers that stand-ins share.
    with locked(private.home() / "build.lock"), tempfile.TemporaryFile() as context:
        image = _present(engine, name)
        if image is not None and not _is_outdated(engine, image):
            return
        _write_context(context, recipe)
        build = engine.client.api.build(
            fileobj=context,
            custom_context=True,
            tag=name,
            labels={RECIPE_LABEL: recipe.digest},
            rm=True,
            forcerm=True,
            decode=True,
            timeout=SECONDS,
        )
        said = ""
        for line in build:
            if "error" in line:
                raise ImageError(f"The stand-in for {name} could not be built.", _one_line(f"{said} {line['error']}"))
            text = str(line.get("stream", "")).strip()
            if text.startswith("Step "):
                report(f"building a stand-in for {name}: {text}")
            said = text or said


def _write_context(file: Any, recipe: parts.Recipe) -> None:
    """Write what the Dockerfile copies from: its own folder, the files that all share, and the parts."""

    def plain(entry: tarfile.TarInfo) -> tarfile.TarInfo:
        # Root's, and with the modes that a package on its way here may have lost.
        entry.uid = entry.gid = 0
        entry.uname = entry.gname = ""
        runs = entry.isdir() or entry.mode & 0o100 or entry.name.endswith(".sh")
        entry.mode = 0o755 if runs else 0o644
        return entry

    with tarfile.open(fileobj=file, mode="w") as tar:
        tar.add(recipe.folder.parent / "etc", "etc", filter=plain)
        for folder in (recipe.folder, *(part.path for part in recipe.parts)):
            for entry in sorted(folder.iterdir()):
                tar.add(entry, entry.name, filter=plain)
    file.seek(0)


def _bundle_contents(path: Path) -> dict[str, dict[str, str]]:
    """Return the labels of each image, by name, of a file made by `docker save`."""
    try:
        with tarfile.open(path) as tar:

            def read(name: str) -> Any:
                member = tar.extractfile(name)
                return json.load(member) if member else {}

            return {
                name: read(image["Config"]).get("config", {}).get("Labels") or {}
                for image in read("manifest.json")
                for name in image["RepoTags"] or ()
            }
    except (OSError, tarfile.TarError, KeyError, ValueError) as error:
        raise ImageError(
            "The bundle can't be read.",
            f"{path}: {_one_line(error)}",
            "A bundle is a file made by `python3 -m dockerlab images save`; save or copy it again.",
        ) from None


def _full(name: str) -> str:
    repository, tag = parse_repository_tag(name)
    return f"{repository}:{tag or 'latest'}"


def _one_line(error: object) -> str:
    # What the engine says is in `explanation`; docker-py puts its own socket's address around it.
    return " ".join(str(getattr(error, "explanation", None) or error).split())[:300]


if __name__ == "__main__":
    fetch_parts()

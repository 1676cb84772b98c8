"""Each lesson has the course's anatomy, says what it shows in docker's own words, and runs on a real engine."""

from __future__ import annotations

import copy
import hashlib
import io
import json
import re
import tarfile
import textwrap
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any

import nbformat
import pytest
from docker.models.containers import Container
from nbformat.v4 import new_code_cell, new_notebook
from webpages import assert_whole

from dockerlab import Lab, lessons, pages
from dockerlab.engine import images, private
from dockerlab.engine.find import Engine, find

ROOT = Path(__file__).parents[1]
NOTEBOOKS = ROOT / "notebooks"
SYLLABUS = tomllib.loads((ROOT / "tests/syllabus.toml").read_text(encoding="utf-8"))

CELLS = (25, 40)
MOST_WORDS = 900
MOST_CODE_LINES = 8
MOST_CODE_COLUMNS = 96  # as much as a cell shows in a window of 1,280 pixels beside the list of lessons


@dataclass(frozen=True)
class Lesson:
    """A notebook as its file has it: read as JSON, since nbformat's reader mends what is not there."""

    path: Path

    @property
    def number(self) -> str:
        return self.path.stem[:2]

    @property
    def syllabus(self) -> dict[str, Any]:
        """What the syllabus says of it."""
        entry: dict[str, Any] = SYLLABUS["lessons"][self.number]
        return entry

    @property
    def lab_name(self) -> str:
        found = re.search(r'Lab\("(.+)"\)', self.code[0].source)
        assert found, "its first cell makes the lab"
        return found[1]

    @cached_property
    def json(self) -> dict[str, Any]:
        loaded: dict[str, Any] = json.loads(self.path.read_text(encoding="utf-8"))
        return loaded

    @cached_property
    def cells(self) -> list[nbformat.NotebookNode]:
        return [nbformat.from_dict({**cell, "source": "".join(cell["source"])}) for cell in self.json["cells"]]

    @property
    def code(self) -> list[nbformat.NotebookNode]:
        return [cell for cell in self.cells if cell.cell_type == "code"]

    @property
    def texts(self) -> list[str]:
        return [cell.source for cell in self.cells if cell.cell_type == "markdown"]

    def text_with(self, pattern: str) -> str:
        """The one text cell in which the pattern is found."""
        found = [text for text in self.texts if re.search(pattern, text, re.MULTILINE)]
        assert len(found) == 1, f"{len(found)} text cells have {pattern!r}"
        return found[0]

    def role(self, role: str) -> list[int]:
        """The places of the cells that play this role."""
        return [
            place for place, cell in enumerate(self.cells) if cell.metadata.get("dockerlab", {}).get("role") == role
        ]

    @property
    def names(self) -> dict[str, set[str]]:
        """By kind, the names that its cells give to containers and volumes."""
        source = "\n".join(cell.source for cell in self.code).replace("\\\n", " ")
        name = r"([a-z][\w.-]*)"
        patterns = {
            "container": [rf"--name[ =]{name}", rf'\bname="{name}"', rf'\bPostgres\(lab, "{name}"'],
            "volume": [rf"-v {name}:", rf"\bsource={name}", rf'\bVolume\("{name}"', rf'volume="{name}"'],
        }
        return {
            kind: {found for each in tried for found in re.findall(each, source)} for kind, tried in patterns.items()
        }

    def cells_that_show(self, wanted: str) -> list[nbformat.NotebookNode]:
        return [cell for cell in self.cells if wanted in shown(cell)]

    @property
    def shows(self) -> set[str]:
        return {ident for cell in self.cells for ident in shown(cell)}


LESSONS = [Lesson(path) for path in sorted(NOTEBOOKS.glob("*.ipynb"))]


@pytest.fixture(params=LESSONS, ids=lambda lesson: lesson.number)
def lesson(request: pytest.FixtureRequest) -> Lesson:
    chosen: Lesson = request.param
    return chosen


def shown(cell: nbformat.NotebookNode) -> list[str]:
    """The syllabus's ids that a cell says it shows."""
    shows: list[str] = cell.metadata.get("dockerlab", {}).get("shows", [])
    return shows


def one_line(text: str) -> str:
    return " ".join(text.replace("\\\n", " ").split())


def docker_lines(source: str) -> list[str]:
    """The docker lines of a code cell, without the magic's signs and with continuation lines joined."""
    joined = source.replace("\\\n", " ")
    if joined.startswith("%%docker"):
        first, _, body = joined.removeprefix("%%").partition("\n")
        return [
            one_line(line) for line in ([first] if first.strip() != "docker" else body.splitlines()) if line.strip()
        ]
    return [one_line(line[1:]) for line in joined.splitlines() if line.startswith("%docker ")]


def numbered(text: str) -> list[str]:
    return re.findall(r"^\d+\. (.+)$", text, re.MULTILINE)


def stems(text: str) -> set[str]:
    """The beginnings of a text's longer words: `remove` and `removed` are one."""
    return {word[:5] for word in re.findall(r"[a-z]{4,}", text.lower())}


def anchors(path: Path) -> set[str]:
    """What a link can name in a document: its headings, as web pages of repositories spell them."""
    text = "\n".join(Lesson(path).texts) if path.suffix == ".ipynb" else path.read_text(encoding="utf-8")
    titles = re.findall(r"^#+ (.+)$", re.sub(r"^```.*?^```", "", text, flags=re.M | re.S), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


# The file


def test_the_lessons_are_those_of_the_syllabus() -> None:
    named = {f"{number}_{lesson['name']}" for number, lesson in SYLLABUS["lessons"].items()}
    assert {lesson.path.stem for lesson in LESSONS} == named


def test_the_file_is_a_valid_notebook(lesson: Lesson) -> None:
    nbformat.validate(copy.deepcopy(lesson.json))
    assert (lesson.json["nbformat"], lesson.json["nbformat_minor"]) == (4, 5)


def test_outputs_counts_and_traces_of_a_run_are_stripped(lesson: Lesson) -> None:
    for cell in lesson.code:
        assert cell.outputs == [], cell.id
        assert cell.execution_count is None, cell.id
        assert set(cell.metadata) <= {"dockerlab", "jupyter", "tags"}, cell.id
    assert set(lesson.json["metadata"]) <= {"kernelspec", "language_info", "dockerlab"}
    assert lesson.json["metadata"]["language_info"] == {"name": "python"}, "no version of whoever wrote it"


def test_cell_ids_are_unique_words(lesson: Lesson) -> None:
    ids = [cell.get("id", "") for cell in lesson.json["cells"]]
    assert len(set(ids)) == len(ids)
    made_up = [
        ident for ident in ids if not re.fullmatch(r"[a-z]+(-[a-z0-9]+)*", ident) or re.fullmatch(r"[0-9a-f]{8}", ident)
    ]
    assert not made_up, "an id is a name that stays, not what an editor made up"


# The anatomy


def test_it_opens_with_number_title_promise_and_minutes(lesson: Lesson) -> None:
    titles = re.findall(r"^# .+$", "\n\n".join(lesson.texts), re.MULTILINE)
    assert len(titles) == 1
    opening = lesson.cells[0].source
    assert re.match(rf"# {lesson.number} · \w.+\n", opening)
    minutes = lesson.syllabus["minutes"]
    assert re.search(rf"^\*\*{minutes} minutes\.\*\* \w.{{30,}}$", opening, re.MULTILINE), "the minutes, then a promise"


def test_the_recap_mirrors_the_opening_point_by_point(lesson: Lesson) -> None:
    promised = numbered(lesson.text_with(r"^\*\*You will learn\*\*$"))
    recap = numbered(lesson.text_with(r"^## What you (know now|have proved)$"))
    assert len(promised) == len(recap) >= 2
    for promise, point in zip(promised, recap, strict=True):
        assert stems(promise) & stems(point), f"{point!r} does not answer {promise!r}"


def test_it_is_short_enough_to_finish(lesson: Lesson) -> None:
    least, most = lesson.syllabus.get("cells", CELLS)
    assert least <= len(lesson.cells) <= most
    plain = re.sub(r"\]\([^)]*\)|</?\w+>", " ", "\n".join(lesson.texts))
    assert len(re.findall(r"\S*\w\S*", plain)) <= MOST_WORDS
    for cell in lesson.code:
        lines = cell.source.splitlines()
        assert len(lines) <= MOST_CODE_LINES, cell.id
        assert max(map(len, lines)) <= MOST_CODE_COLUMNS, cell.id


def test_each_round_asks_for_a_prediction_before_it_runs(lesson: Lesson) -> None:
    starts = [place for place, cell in enumerate(lesson.cells) if re.match(r"## Round \d: \w", cell.source)]
    assert [lesson.cells[place].source[9] for place in starts] == [str(number + 1) for number in range(len(starts))]
    assert 2 <= len(starts) <= 3
    for place in starts:
        code = next(after for after in range(place, len(lesson.cells)) if lesson.cells[after].cell_type == "code")
        following = (after for after in range(code, len(lesson.cells)) if lesson.cells[after].source.startswith("## "))
        texts = [cell.source for cell in lesson.cells[place : next(following)] if cell.cell_type == "markdown"]
        assert any(re.search(r"^\*\*Predict\.\*\* .+\?", text, re.MULTILINE | re.DOTALL) for text in texts)


def test_the_proof_asserts_what_it_claims(lesson: Lesson) -> None:
    proof = lesson.cells.index(next(cell for cell in lesson.code if cell.id == "proof"))
    assert re.match(r"## (The proof|Prove it)\n", lesson.cells[proof - 1].source)
    assert "assert " in lesson.cells[proof].source


def test_the_exercise_stands_before_its_hidden_solution(lesson: Lesson) -> None:
    (exercise,), (solution,) = lesson.role("exercise"), lesson.role("solution")
    assert lesson.cells[exercise - 1].source.startswith("## Your turn\n")
    between = lesson.cells[exercise + 1 : solution]
    assert exercise < solution
    assert all(cell.cell_type == "markdown" for cell in between)
    assert lesson.cells[solution].metadata.get("jupyter", {}).get("source_hidden") is True
    assert not lesson.cells[exercise].metadata.get("jupyter", {}).get("source_hidden")


def test_two_questions_have_folded_answers(lesson: Lesson) -> None:
    questions = lesson.text_with(r"^## Two questions$")
    assert len(re.findall(r"^\*\*.+\?\*\*$", questions, re.MULTILINE)) == 2
    for text in lesson.texts:
        folded = re.findall(r"^<details><summary>[^<]+</summary>\n\n[^<]+\n\n</details>$", text, re.MULTILINE)
        assert len(folded) == text.count("<details"), "a fold needs its empty lines, and is closed"
    assert questions.count("<summary>Answer</summary>") == 2


def test_the_recap_has_a_glossary(lesson: Lesson) -> None:
    glossary = lesson.text_with(r"^\| word \| meaning \|$")
    rows = re.findall(r"^\| ([^|]+) \| ([^|]{10,}) \|$", glossary.partition("|---|---|\n")[2], re.MULTILINE)
    assert len(rows) >= 3
    assert len({word for word, _ in rows}) == len(rows)


def test_it_begins_and_ends_by_cleaning_up(lesson: Lesson) -> None:
    first, *_, last = lesson.code
    assert re.search(r"^lab = Lab\(.+\)\nlab\.cleanup\(\)$", first.source, re.MULTILINE), "Run All may come twice"
    assert last.source.splitlines()[0].startswith("lab.cleanup()")


def test_it_ends_with_the_way_on(lesson: Lesson) -> None:
    assert re.fullmatch(r"\*\*Next:\*\* .*\[.+\]\(.+\).*\.", lesson.cells[-1].source)


def test_heading_levels_do_not_jump(lesson: Lesson) -> None:
    levels = [len(marks) for marks in re.findall(r"^(#+) ", "\n\n".join(lesson.texts), re.MULTILINE)]
    assert levels[0] == 1
    assert all(below <= above + 1 for above, below in pairwise(levels))


def test_images_have_alternative_text(lesson: Lesson) -> None:
    for text in lesson.texts:
        assert all(alt.strip() for alt in re.findall(r"!\[([^]]*)\]\(", text))
        assert all(re.search(r'\balt="[^"]+"', tag) for tag in re.findall(r"<img\b[^>]*>", text))


def test_links_lead_somewhere(lesson: Lesson) -> None:
    for text in lesson.texts:
        for target in re.findall(r"\]\(([^)]+)\)", text):
            name, _, anchor = target.partition("#")
            assert "://" not in target, f"{target}: a class may be offline"
            path = (lesson.path.parent / name).resolve() if name else lesson.path
            assert path.exists(), target
            assert path.is_relative_to(NOTEBOOKS), f"{target}: JupyterLab shows what is in this folder"
            assert not anchor or anchor in anchors(path), target


def test_tables_are_whole(lesson: Lesson) -> None:
    for text in lesson.texts:
        for table in re.findall(r"(?:^\|.*\|$\n?)+", text, re.MULTILINE):
            bars = {row.replace(r"\|", "").count("|") for row in table.splitlines()}
            assert len(bars) == 1, table


def test_the_readme_lists_it_with_its_title_and_minutes(lesson: Lesson) -> None:
    title = re.sub(r"^# \d\d · ", "", lesson.cells[0].source.splitlines()[0])
    minutes = lesson.syllabus["minutes"]
    link = rf"\[{re.escape(title)}\]\(notebooks/{lesson.path.name}\)"
    row = rf"^\| {lesson.number} \| {link} \| [^|]+ \| {minutes} \|$"
    assert re.search(row, (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE)


def test_lessons_that_run_side_by_side_share_no_names() -> None:
    for one, other in combinations(LESSONS, 2):
        if not any(lesson.json["metadata"].get("dockerlab", {}).get("alone") for lesson in (one, other)):
            for kind, names in one.names.items():
                assert not names & other.names[kind], f"{kind}s of {one.number} and {other.number}"


# The syllabus


def test_it_shows_ids_of_the_syllabus_alone(lesson: Lesson) -> None:
    assert lesson.shows <= set(SYLLABUS["commands"]) | set(SYLLABUS["claims"])


def test_it_shows_all_that_the_syllabus_owes_in_it(lesson: Lesson) -> None:
    owed = {ident for ident, command in SYLLABUS["commands"].items() if command["lesson"] == lesson.number}
    assert owed | set(lesson.syllabus["claims"]) <= lesson.shows


def test_commands_are_shown_in_the_syllabus_words(lesson: Lesson) -> None:
    for ident in sorted(lesson.shows & set(SYLLABUS["commands"])):
        command = SYLLABUS["commands"][ident]
        cells = lesson.cells_that_show(ident)
        lines = [docker_lines(cell.source) for cell in cells]
        wanted = [re.escape(line).replace(re.escape("{…}"), r"\S+") for line in command.get("lines", [])]
        for pattern in wanted:
            assert any(re.fullmatch(pattern, line) for found in lines for line in found), f"{ident}: {pattern}"
        for phrase in command.get("phrases", []):
            assert any(phrase in one_line(cell.source) for cell in cells), f"{ident}: {phrase}"
        for cell, found in zip(cells, lines, strict=True):
            assert found, f"{cell.id} says that it shows {ident}, and has no docker line"
            if wanted:
                assert any(re.fullmatch(pattern, line) for pattern in wanted for line in found), f"{cell.id}: {ident}"


def test_claims_end_in_a_check(lesson: Lesson) -> None:
    for ident in lesson.shows & set(SYLLABUS["claims"]):
        assert any(re.search(r"^assert |\.check\(", cell.source, re.M) for cell in lesson.cells_that_show(ident)), ident


# On a real engine

# What a learner may write into the exercise's cell: another road than the solution's.
BY_HAND = {
    "00": """
        %docker run -d --name second alpine sleep infinity
        answer = lab.exec("second", "cat /tmp/note")
        """,
    "01": """
        %docker run -d --name mine alpine sleep infinity
        %docker exec mine sh -c 'echo day one > /diary; rm /etc/motd'
        %docker stop -t 1 mine
        %docker start mine
        mine = lab.changes("mine")
        """,
    "02": """
        %docker run -d --name giver -v shared:/out alpine sleep infinity
        %docker run -d --name taker -v shared:/in:ro alpine sleep infinity
        %docker exec giver sh -c 'echo for you > /out/gift'
        refusal = lab.exec("taker", "echo mine > /in/gift")
        """,
    "03": """
        %docker exec new-db psql -U admin -d testdb -c "INSERT INTO users (name) VALUES ('Dora')"
        %docker stop new-db
        %docker rm new-db
        third = Postgres(lab, "third-db", **login)
        """,
    "04": """
        (code / "notes").mkdir()
        %docker run -d --name reader --mount type=bind,src=$(pwd)/notes,dst=/notes,ro alpine sleep infinity
        (code / "notes/today").write_text("hello")
        seen = lab.exec("reader", "cat /notes/today")
        """,
    "05": """
        %docker run -d --name vault --mount type=tmpfs,target=/vault,tmpfs-size=1m alpine sleep infinity
        %docker exec vault sh -c 'echo 12345 > /vault/key'
        df = lab.exec("vault", "df -k /vault")
        """,
    "06": """
        (desk / "colours").write_text("blue")
        %docker volume create orders
        %docker run -d --name webshop -v orders:/orders --mount type=tmpfs,target=/sessions \\
          --mount type=bind,source=$(pwd),target=/settings,readonly alpine sleep infinity
        shops = lab.containers()
        """,
    "07": """
        %docker stop shop
        %docker run --rm -v shop-data:/source -v $(pwd):/backup alpine tar czf /backup/mine.tar.gz -C /source .
        %docker start shop
        %docker run --rm -v mine:/target -v $(pwd):/backup alpine tar xzf /backup/mine.tar.gz -C /target
        mine = Postgres(lab, "new-shop", volume="mine", password="secret", database="shop")
        rows = mine.sql("SELECT count(*) FROM ledger")
        """,
    "08": """
        %docker run --name old-app -v /a -v cache:/c alpine true
        %docker rm -v old-app
        %docker volume rm cache
        left = lab.volumes()
        """,
    "09": """
        from dockerlab.cli import invoke

        invoke(lab, f"run --rm -v {orphan}:/from:ro -v by-hand:/to alpine cp -a /from/. /to")
        %docker run -d --name by-hand-db -v by-hand:/var/lib/postgresql/data postgres:16-alpine
        Postgres(lab, "by-hand-db", password="secret").close()
        rows = lab.exec("by-hand-db", "psql -U postgres -c 'COPY orders TO STDOUT'").text
        invoke(lab, "exec -i shop-db psql -U postgres -c 'COPY orders FROM STDIN'", rows)
        %docker pause shop-db
        %docker run --rm -v shop-data:/source -v $(pwd):/backup alpine tar czf /backup/by-hand.tar.gz -C /source .
        %docker unpause shop-db
        rehearsal = "left to the check"
        """,
}


def play(
    lesson: Lesson,
    folder: Path,
    cells: Sequence[nbformat.NotebookNode] = (),
    environment: Mapping[str, str] | None = None,
) -> lessons.Outcome:
    """Run a lesson, or these cells in its place, in a fresh kernel."""
    numbered = enumerate(cells or lesson.cells)  # the same cell may come twice, its id may not
    notebook = new_notebook(cells=[nbformat.from_dict({**cell, "id": f"cell-{place}"}) for place, cell in numbered])
    path = folder / lesson.path.name
    nbformat.write(notebook, path)
    (outcome,) = lessons.run([path], report=print, environment=environment)
    return outcome


def belongings(engine: Engine) -> set[str]:
    """The ids and names of all containers and volumes of an engine."""
    boxes, volumes = engine.client.containers.list(all=True), engine.client.volumes.list()
    return {str(box.id) for box in boxes} | {volume.name for volume in volumes}


def test_the_exercise_passes_its_check_by_the_learners_own_road_and_not_as_it_stands(
    lesson: Lesson, engine: Engine, tmp_path: Path
) -> None:
    (exercise,), (solution,) = lesson.role("exercise"), lesson.role("solution")
    cells = copy.deepcopy(lesson.cells[: solution + 1])
    verdict = f'verdict = lab.check("{lesson.number}-exercise")\n'
    done = new_code_cell(f"{verdict}assert verdict, verdict")
    # Where the learner was, the solution changes nothing.
    cells.append(done)
    by_hand = new_code_cell(textwrap.dedent(BY_HAND[lesson.number]))
    cells[exercise + 1 : exercise + 1] = [new_code_cell(f"{verdict}assert not verdict, verdict"), by_hand, done]
    outcome = play(lesson, tmp_path, cells)
    clean_up(lesson, engine)
    assert outcome.error == ""


def clean_up(lesson: Lesson, engine: Engine, owner: str = "") -> None:
    """End the lesson's lab, which a failing cell leaves as it was."""
    Lab(lesson.lab_name, engine=engine, owner=owner, echo=None).cleanup()


@contextmanager
def foreign_things(engine: Engine, names: Iterable[str], volumes: Sequence[str] = ()) -> Iterator[Callable[[], object]]:
    """Someone else's containers and volumes on this engine; yields a call that tells how they are, byte for byte.

    Beside those of these names: two volumes that nothing uses, one of them anonymous, a network, and an image's name.
    """
    client = engine.client
    mounts = [f"{volume}:/theirs/{volume}" for volume in volumes]
    boxes = [client.containers.create("alpine", "sleep 1h", name=name, volumes=mounts) for name in names]
    boxes[0].start()
    unused = [client.volumes.create("theirs-unused"), client.volumes.create()]
    network, image = client.networks.create("theirs"), client.images.get("alpine")
    assert image.tag("theirs", "1.0")

    @contextmanager
    def shelf() -> Iterator[Container]:
        """A container that has what nothing uses, for as long as it is looked at."""
        mounts = [f"{volume.name}:/theirs/{number}" for number, volume in enumerate(unused)]
        box = client.containers.create("alpine", "true", volumes=mounts)
        try:
            yield box
        finally:
            box.remove()

    def state() -> object:
        now = [client.containers.get(str(box.id)) for box in boxes]
        mounts = [sorted(box.attrs["Mounts"], key=lambda mount: mount["Destination"]) for box in now]  # in any order
        seen = [(box.name, box.attrs["State"], box.attrs["Config"], mounts) for box in now]
        with shelf() as other:
            places = [*((box, "/theirs") for box in now), (other, "/theirs/0"), (other, "/theirs/1")]
            files = [hashlib.sha256(b"".join(box.get_archive(path)[0])).hexdigest() for box, path in places]
        kept = [client.volumes.get(volume).attrs for volume in (*volumes, *(volume.name for volume in unused))]
        return seen, files, kept, client.networks.get(str(network.id)).attrs, client.images.get("theirs:1.0").id

    try:
        with shelf() as other:
            for box, folders in (*((box, volumes) for box in boxes), (other, "01")):
                with io.BytesIO() as archive:
                    with tarfile.open(fileobj=archive, mode="w") as tar:
                        for folder in ("theirs", *(f"theirs/{name}" for name in folders)):
                            tar.addfile(tarfile.TarInfo(f"{folder}/{box.name}"))
                    assert box.put_archive("/", archive.getvalue())
        yield state
    finally:
        for box in boxes:
            box.remove(force=True)
        for volume in (*map(client.volumes.get, volumes), *unused):
            volume.remove()
        network.remove()
        client.images.remove("theirs:1.0")


def as_somebody_elses(engine: Engine, folder: Path) -> dict[str, str]:
    """What makes a kernel take this engine for one that is not the course's own."""
    return {"DOCKERLAB_HOME": str(folder / "another-home"), "DOCKERLAB_ENGINE": engine.url}


@pytest.mark.parametrize(
    ("number", "names", "volumes", "said"),
    [
        ("00", ["hello"], [], "ForeignError: The container hello is not this lab's (hello)."),
        ("03", ["test-db"], [], "ForeignError: The container test-db is not this lab's (lesson-03)."),
        ("03", ["theirs"], ["pgdata"], "ForeignError: The volume pgdata is not this lab's (lesson-03)."),
    ],
    ids=["a container", "a container on the command line", "a volume"],
)
def test_a_foreign_name_is_an_error_and_stays_unharmed(
    engine: Engine, tmp_path: Path, number: str, names: list[str], volumes: list[str], said: str
) -> None:
    (lesson,) = (lesson for lesson in LESSONS if lesson.number == number)
    images.ensure(engine, "alpine")
    with foreign_things(engine, names, volumes) as state:
        before, seen = state(), belongings(engine)
        outcome = play(lesson, tmp_path, environment=as_somebody_elses(engine, tmp_path))
        assert outcome.error.startswith(said)
        assert len(outcome.error.splitlines()) == 3
        clean_up(lesson, engine)
        assert state() == before
        assert belongings(engine) == seen


@pytest.mark.timeout(1800)  # each cell has a time of its own
def test_run_all_twice_proves_all_beside_foreign_things_of_the_same_names_also_after_a_break(
    lesson: Lesson, engine: Engine, tmp_path: Path
) -> None:
    images.ensure(engine, "alpine")
    taken = lesson.names
    environment = {**as_somebody_elses(engine, tmp_path), "DOCKERLAB_OWNER": "ana"}
    middle = lesson.cells.index(lesson.code[-4])
    with foreign_things(engine, sorted(taken["container"]), sorted(taken["volume"])) as state:
        before, seen = state(), belongings(engine)
        assert play(lesson, tmp_path, lesson.cells[:middle], environment).error == ""
        assert belongings(engine) > seen, "a kernel that ends in the middle leaves what it made"
        outcome = play(lesson, tmp_path, lesson.cells * 2, environment)
        if outcome.error:
            clean_up(lesson, engine, "ana")
        assert (outcome.error, outcome.cells) == ("", 2 * len(lesson.code))
        assert outcome.passed, f"not all is proven: {outcome.verdicts}"
        assert f"{lesson.number}-exercise" in outcome.verdicts
        assert state() == before
        assert belongings(engine) == seen


@pytest.mark.timeout(1800)
def test_on_a_new_private_engine_with_images_from_a_bundle_all_claims_are_proven_and_rendered(
    engine: Engine, private_home: Path, tmp_path: Path
) -> None:
    bundle = tmp_path / "images.tar"
    images.save(engine, bundle)
    outcomes = lessons.run([lesson.path for lesson in LESSONS], environment={"DOCKERLAB_BUNDLE": str(bundle)})
    assert [outcome.error for outcome in outcomes] == [""] * len(LESSONS)
    new = find("private", start=False)
    assert new.url == private.url(private_home) != engine.url
    assert belongings(new) == set()
    assert lessons.proven(outcomes, new).startswith(
        f"{len(SYLLABUS['claims'])} of the course's {len(SYLLABUS['claims'])} "
    )
    pages.write(outcomes, new, tmp_path / "site")
    assert_whole(tmp_path / "site")

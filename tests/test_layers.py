"""Imports go one way, modules stay small, and setting up needs the standard library alone."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path
from types import ModuleType

import pytest

import dockerlab

PACKAGE = Path(dockerlab.__file__).parent
MODULES = {
    ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(PACKAGE.rglob("*.py"))
    if path != PACKAGE / "__init__.py"
}

# The rooms of CONTRIBUTING, one a line. A module imports from its own room and from rooms above.
MAP = (PACKAGE.parent / "CONTRIBUTING.md").read_text(encoding="utf-8")
ROOMS = [re.findall(r"`(\w+)/?`", row.split("|")[1]) for row in re.findall(r"(?m)^\| `.*$", MAP)]
RANK = {name: rank for rank, room in enumerate(ROOMS) for name in room}

BEFORE_ANYTHING_IS_INSTALLED = (
    "__main__",
    "console",
    "bootstrap",
    "environment",
    "steps",
    "engine.package",
    "errors",
    "backup_cli",
)


def imports(name: str, *, at_import: bool = False) -> Iterator[str]:
    """What a module imports, by absolute names; with `at_import` only what it does when it is itself imported."""
    path = MODULES[name]
    tree = ast.parse(path.read_text(encoding="utf-8"))
    package = ("dockerlab." + name).split(".")
    package = package if path.name == "__init__.py" else package[:-1]
    for node in _statements(tree.body) if at_import else ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            source = ".".join([*base, *filter(None, [node.module])])
            # `from . import lab` names a module, `from .lab import Lab` a name in one.
            yield from (
                f"{source}.{alias.name}" if f"{source}.{alias.name}".removeprefix("dockerlab.") in MODULES else source
                for alias in node.names
            )


def _statements(body: list[ast.stmt]) -> Iterator[ast.AST]:
    for node in body:
        yield node
        if isinstance(node, ast.If | ast.Try) and "TYPE_CHECKING" not in ast.unparse(node).partition("\n")[0]:
            yield from _statements([*node.body, *node.orelse])


def ours(name: str, *, at_import: bool = False) -> set[str]:
    return {
        each.removeprefix("dockerlab.") for each in imports(name, at_import=at_import) if each.startswith("dockerlab.")
    }


@pytest.mark.parametrize("name", MODULES)
def test_a_module_imports_only_from_its_own_room_and_rooms_above(name: str) -> None:
    room = name.partition(".")[0]
    assert room in RANK, f"say in CONTRIBUTING where {room} stands"
    below = {each for each in ours(name) if RANK[each.partition(".")[0]] > RANK[room]}
    assert not below


def test_the_map_names_nothing_that_is_gone_and_nothing_twice() -> None:
    named = [name for room in ROOMS for name in room]
    assert sorted(named) == sorted({name.partition(".")[0] for name in MODULES})


def test_no_module_imports_itself_by_way_of_others() -> None:
    TopologicalSorter({name: ours(name, at_import=True) for name in MODULES}).prepare()  # raises CycleError


@pytest.mark.parametrize("name", MODULES)
def test_a_module_can_be_read_at_one_sitting(name: str) -> None:
    assert len(MODULES[name].read_text(encoding="utf-8").splitlines()) <= 400


def test_only_the_engine_room_looks_for_engines() -> None:
    for name in MODULES:
        if not name.startswith("engine"):
            text = MODULES[name].read_text(encoding="utf-8")
            assert "from_env(" not in text, name
            assert "DockerClient(" not in text, name


def test_only_panels_know_widgets() -> None:
    users = {name for name in MODULES if any(each.startswith("ipywidgets") for each in imports(name))}
    assert all(name.startswith("panels") for name in users)


@pytest.mark.parametrize("name", BEFORE_ANYTHING_IS_INSTALLED)
def test_what_sets_up_imports_the_standard_library_alone(name: str) -> None:
    ready = {f"dockerlab.{each}" for each in BEFORE_ANYTHING_IS_INSTALLED} | {"dockerlab.engine"}
    for each in imports(name, at_import=True):
        assert each in ready or each.partition(".")[0] in sys.stdlib_module_names, each


def test_the_command_line_starts_without_any_installed_package() -> None:
    # -S leaves out site-packages.
    code = f"import sys; sys.path.insert(0, {str(PACKAGE.parent)!r}); import dockerlab.__main__"
    subprocess.run([sys.executable, "-S", "-c", code], check=True)


@pytest.mark.parametrize("name", ["__init__", "__main__"])
def test_older_pythons_can_read_the_line_that_sends_them_away(name: str) -> None:
    ast.parse((PACKAGE / f"{name}.py").read_text(encoding="utf-8"), feature_version=(3, 6))


def test_all_public_names_are_there() -> None:
    for name in dockerlab.__all__:
        assert getattr(dockerlab, name).__name__.rpartition(".")[2] == name
    assert set(dockerlab.__all__) <= set(dir(dockerlab))


def test_editors_see_the_public_names_where_they_live() -> None:
    tree = ast.parse((PACKAGE / "__init__.py").read_text(encoding="utf-8"))
    seen = {
        alias.name: node.module or ""
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert {name: seen[name] for name in dockerlab.__all__} == dockerlab._HOMES


def test_importing_the_package_imports_none_of_its_libraries() -> None:
    code = "import sys, dockerlab; print(*sorted({'docker', 'pandas', 'IPython', 'sqlalchemy'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_a_lesson_without_a_database_does_not_wait_for_its_drivers() -> None:
    code = """if True:
        import sys
        from dockerlab import Lab, panels, picture, predict
        panels.WritableLayer, panels.Mounts, panels.Cleanup
        print(*sorted({"psycopg", "sqlalchemy"} & set(sys.modules)))
    """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_all_panels_are_there() -> None:
    for name in dockerlab.panels.__all__:
        assert getattr(dockerlab.panels, name).__name__ == name
    assert set(dockerlab.panels.__all__) <= set(dir(dockerlab.panels))


@pytest.mark.parametrize("module", [dockerlab, dockerlab.panels])
def test_an_unknown_name_is_an_attribute_error(module: ModuleType) -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        module.nothing  # noqa: B018

"""The rules of the layout: who imports whom, one home for each heavy library, dvc.yaml names the code."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from benchmarks.workspace import CHECKOUT, STAGES

PACKAGE = CHECKOUT / "pipeline"
MAP = yaml.safe_load((CHECKOUT / "dvc.yaml").read_text())["stages"]
MODULES = sorted(PACKAGE.rglob("*.py"))
NAMES = [path.relative_to(PACKAGE).as_posix() for path in MODULES]

HOMES = {
    "tensorflow": {"learning/engine.py"},
    "keras": {"learning/backend.py"},
    "mlflow": {
        "registry/connection.py",  # the one way to it
        "registry/answering.py",  # a program of its own
        "registry/entry.py",  # what MLflow itself runs
    },
    "great_expectations": {"checking/findings.py"},
    "dvc": {"data/origins.py", "data/reproduction.py", "data/tracking.py"},
    "PIL": {  # one decodes, the others draw and pack
        "images/decoding.py",
        "images/pictures.py",
        "learning/distortions.py",
        "showing/fonts.py",
        "showing/tiles.py",
    },
    "jinja2": {"showing/report.py"},
    "markupsafe": {"showing/report.py"},
    "matplotlib": {"showing/charts.py", "showing/fonts.py"},  # one draws, the other takes its fonts from there
    "filelock": {"base/process.py"},
    "pebble": {"images/workers.py"},
    "psutil": {"base/process.py"},
    "requests": {"registry/delivery.py"},
    "safetensors": {"learning/pretrained.py"},
    "onnxruntime": {"learning/exporting.py"},
    "ai_edge_litert": {"learning/exporting.py"},
    "pyarrow": set(),
    "pandas": {"serving.py", "registry/answering.py", "registry/entry.py"},  # MLflow hands over what is asked as one
}

TABLES = ("polars", "pandas", "numpy", "pyarrow")
"""For all modules, and not at start."""

PURE = (
    "learning/augment.py",
    "learning/distortions.py",
    "learning/fitting.py",
    "showing/card.py",
    "data/delta.py",
    "checking/drift.py",
    "checking/expectations.py",
    "checking/facts.py",
    "features/content.py",
    "data/bins.py",
    "judging/drops.py",
    "judging/doubts.py",
    "judging/gate.py",
    "judging/trust.py",
    "learning/crossfit.py",
    "data/exports.py",
    "data/groups.py",
    "data/labels.py",
    "data/layouts.py",
    "data/ledger.py",
    "judging/metrics.py",
    "learning/ladder.py",
    "data/matching.py",
    "data/names.py",
    "registry/messages.py",
    "registry/receivers.py",
    "showing/described.py",
    "showing/entries.py",
    "showing/report.py",
    "showing/reported.py",
    "showing/standouts.py",
    "showing/text.py",
    "judging/paired.py",
    "judging/reach.py",
    "judging/slices.py",
    "judging/slicing.py",
    "checking/quarantine.py",
    "data/removals.py",
    "data/replay.py",
    "images/sniffing.py",
    "images/statistics.py",
    "data/splits.py",
    "data/stems.py",
    "data/straddling.py",
    "learning/stopping.py",
    "data/trigger.py",
    "data/twins.py",
    "base/words.py",
)
EFFECTS = {"os", "time", "datetime", "random", "subprocess", "tempfile", "shutil", "socket", "pathlib", "urllib"}
HARMLESS = {
    "pathlib",
    "pathlib.PurePosixPath",
    "urllib.parse",
    "urllib.parse.parse_qs",
    "urllib.parse.quote",
    "urllib.parse.urlsplit",
}
"""Names of paths and of addresses; what reads and writes is pathlib.Path and urllib.request."""


def imports(path: Path) -> set[str]:
    """Dotted names of everything a module imports, inside functions too."""
    found = set()
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {node.module or ""} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


ROOMS = sorted(path.parent.name for path in PACKAGE.glob("*/__init__.py"))
VERBS = ("stages", "commands")


def room(name: str) -> str:
    """The room of a module of ours by its dotted name; a module outside of all rooms is its own."""
    return name.split(".")[1]


def may_import(name: str) -> set[str]:
    """What a room says that it imports, in the last sentence of its docstring."""
    said = ast.get_docstring(ast.parse((PACKAGE / name / "__init__.py").read_bytes())) or ""
    (sentence,) = re.findall(r"Imports ([a-z, ]+)\.$", said)
    return set() if sentence == "no other room" else set(re.split(r", | and ", sentence))


def imported_rooms(path: Path) -> set[str]:
    return {room(name) for name in imports(path) if name.startswith("pipeline.")} - {path.parent.name}


@pytest.mark.parametrize("path", MODULES, ids=NAMES)
def test_no_module_imports_a_stage_or_a_command(path: Path) -> None:
    assert not {name for name in imports(path) if name.startswith(("pipeline.stages", "pipeline.commands"))}


@pytest.mark.parametrize("path", [path for path in MODULES if path.parent.name in set(ROOMS) - set(VERBS)], ids=str)
def test_a_room_imports_what_it_says_and_nothing_else(path: Path) -> None:
    assert imported_rooms(path) <= may_import(path.parent.name)


def test_rooms_say_only_what_is_so() -> None:
    for name in set(ROOMS) - set(VERBS):
        really = {one for path in (PACKAGE / name).glob("*.py") for one in imported_rooms(path)}
        assert really == may_import(name), name


def test_rooms_form_floors() -> None:
    """Each can be put above all that it imports."""
    below = {name: may_import(name) for name in set(ROOMS) - set(VERBS)}
    floors: list[str] = []
    while len(floors) < len(below):
        ready = sorted(name for name, rooms in below.items() if name not in floors and rooms <= set(floors))
        assert ready, f"a circle among {set(below) - set(floors)}"
        floors += ready
    assert floors[0] == "base"


def test_inside_a_room_no_modules_import_each_other() -> None:
    graph = {path: {module_file(name) for name in imports(path) if module_file(name)} - {path} for path in MODULES}
    for start in MODULES:
        reached: set[Path] = set()
        waiting = [*graph[start]]
        while waiting:
            path = waiting.pop()
            assert path != start, f"{start} imports itself by way of others"
            if path and path not in reached:
                reached.add(path)
                waiting += graph[path]


def module_file(name: str) -> Path | None:
    path = CHECKOUT.joinpath(*name.split(".")).with_suffix(".py")
    return path if name.startswith("pipeline.") and path.is_file() else None


def test_no_two_modules_define_a_class_of_the_same_name() -> None:
    """One word, one thing. Each stage has its own Settings, which nobody else imports."""
    places: dict[str, list[str]] = {}
    for path in MODULES:
        for node in ast.parse(path.read_bytes()).body:
            if isinstance(node, ast.ClassDef) and not (path.parent.name == "stages" and node.name == "Settings"):
                places.setdefault(node.name.lstrip("_"), []).append(path.relative_to(PACKAGE).as_posix())
    assert {name: paths for name, paths in places.items() if len(paths) > 1} == {}


@pytest.mark.parametrize("path", MODULES, ids=NAMES)
def test_each_heavy_library_has_one_home(path: Path) -> None:
    used = {name.partition(".")[0] for name in imports(path)} & HOMES.keys()
    assert {library for library in used if path.relative_to(PACKAGE).as_posix() not in HOMES[library]} == set()


@pytest.mark.parametrize("name", PURE)
def test_pure_modules_do_not_reach_outside(name: str) -> None:
    tree = ast.parse((PACKAGE / name).read_bytes())
    called = {node.func.id for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}
    outside = {found for found in imports(PACKAGE / name) if found.partition(".")[0] in EFFECTS}
    assert outside <= HARMLESS
    assert not called & {"open", "print", "input"}


def test_stages_and_their_files_are_the_same_list() -> None:
    files = {path.stem for path in (PACKAGE / "stages").glob("*.py")} - {"__init__"}
    assert files == set(STAGES) == set(MAP)


@pytest.mark.parametrize("stage", ["resolve", "detect", "promote"])
def test_a_no_op_imports_nothing_heavy(stage: str) -> None:
    """What these stages import at start; MLflow comes when resolve asks the registry, TensorFlow never."""
    script = f"import sys, pipeline.stages.{stage}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=CHECKOUT)
    assert not {name.partition(".")[0] for name in done.stdout.split()} & (HOMES.keys() | set(TABLES))


def test_importing_the_package_does_nothing() -> None:
    script = "import sys; before = set(sys.modules); import pipeline; print(*set(sys.modules) - before)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=CHECKOUT)
    assert done.stdout.split() == ["pipeline"]

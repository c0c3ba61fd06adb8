"""The rules of the layout: who imports whom, one home for each heavy library, dvc.yaml names the code."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from benchmarks.workspace import CHECKOUT, STAGES
from pipeline.base import code

PACKAGE = CHECKOUT / "pipeline"
MAP = yaml.safe_load((CHECKOUT / "dvc.yaml").read_text())["stages"]
MODULES = sorted(PACKAGE.rglob("*.py"))
NAMES = [path.relative_to(PACKAGE).as_posix() for path in MODULES]

HOMES = {
    "tensorflow": {"learning/training.py"},
    "keras": {"learning/model.py"},
    "mlflow": {"registry/client.py", "serving.py"},  # MLflow itself runs serving.py when it loads a model
    "great_expectations": {"checking/findings.py"},
    "dvc": {"data/store.py"},
    "PIL": {"images/decoding.py", "showing/sheet.py"},
    "matplotlib": {"showing/plots.py", "showing/sheet.py"},  # the sheet takes its font from there
    "filelock": {"base/process.py"},
    "pebble": {"images/workers.py"},
    "psutil": {"base/process.py"},
    "pyarrow": set(),
    "pandas": {"serving.py"},  # MLflow hands over what is asked as one
}

TABLES = ("polars", "pandas", "numpy", "pyarrow")
"""For all modules, and not at start."""

PURE = (
    "learning/augment.py",
    "showing/card.py",
    "data/delta.py",
    "checking/drift.py",
    "checking/expectations.py",
    "checking/facts.py",
    "judging/gate.py",
    "data/labels.py",
    "data/ledger.py",
    "judging/metrics.py",
    "learning/ladder.py",
    "data/names.py",
    "showing/page.py",
    "judging/paired.py",
    "checking/quarantine.py",
    "data/replay.py",
    "data/splits.py",
    "learning/stopping.py",
    "data/trigger.py",
    "data/twins.py",
)
EFFECTS = {"os", "time", "datetime", "random", "subprocess", "tempfile", "shutil", "socket", "pathlib", "urllib"}
HARMLESS = {"pathlib", "pathlib.PurePosixPath"}
"""Names of paths; what reads and writes is pathlib.Path."""


def imports(path: Path) -> set[str]:
    """Dotted names of everything a module imports, inside functions too."""
    found = set()
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {node.module or ""} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


@pytest.mark.parametrize("path", MODULES, ids=NAMES)
def test_no_module_imports_a_stage(path: Path) -> None:
    assert not {name for name in imports(path) if name.startswith("pipeline.stages")}


@pytest.mark.parametrize("path", MODULES, ids=NAMES)
def test_each_heavy_library_has_one_home(path: Path) -> None:
    used = {name.partition(".")[0] for name in imports(path)} & HOMES.keys()
    assert {library for library in used if path.relative_to(PACKAGE).as_posix() not in HOMES[library]} == set()


@pytest.mark.parametrize("name", PURE)
def test_pure_modules_do_not_reach_outside(name: str) -> None:
    tree = ast.parse((PACKAGE / name).read_bytes())
    called = {node.func.id for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}
    outside = {found for found in imports(PACKAGE / name) if found.partition(".")[0] in EFFECTS}
    assert not outside or outside == HARMLESS
    assert not called & {"open", "print", "input"}


@pytest.mark.parametrize("stage", STAGES)
def test_dvc_yaml_names_every_module_a_stage_runs_through(stage: str) -> None:
    """And no other of the package; a user's own architecture may stand beside them."""
    code_deps = {dep for dep in MAP[stage]["deps"] if dep.startswith("pipeline/")}
    assert code_deps == {path.relative_to(CHECKOUT).as_posix() for path in code.modules(f"pipeline.stages.{stage}")}


@pytest.mark.parametrize("stage", STAGES)
def test_dvc_yaml_names_every_parameter_section_a_stage_reads(stage: str) -> None:
    source = (PACKAGE / f"stages/{stage}.py").read_text()
    read = {name.rstrip("_") for name in re.findall(r"(?:chosen|load\(settings\))\.(\w+)", source)}
    assert read & set(STAGES) <= {str(name).partition(".")[0] for name in MAP[stage]["params"]}


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

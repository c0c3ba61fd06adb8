"""What the tests share: the settings of this repository, real registries, and pictures drawn in memory."""

import io
import itertools
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import hypothesis
import numpy as np
import pytest
from examples import USUAL
from filelock import FileLock
from PIL import Image
from project import MadeOnce, Project, forget_registry

from benchmarks import servers, workspace
from benchmarks.workspace import Workspace
from pipeline.base import params
from pipeline.settings import Params

ROOT = Path(__file__).parents[1]

# The same examples in every run: a test that fails, fails for the person who reads the log too.
hypothesis.settings.register_profile("repeatable", deadline=None, derandomize=True, max_examples=USUAL)
hypothesis.settings.register_profile("quick", deadline=None, derandomize=True, max_examples=USUAL // 6)  # `make unit`
hypothesis.settings.load_profile("repeatable")


PROJECTS = {"project", "space", "empty_database", "made_once", "postgres"}
"""Fixtures that make a project or a registry: whoever uses one, by whatever way, is no quick test."""

HEAVY = {"tensorflow", "mlflow", "dvc"}
"""Libraries that take seconds to load."""
LOADED: set[str] = set()
"""Of them, those that a test before has loaded."""


LONG = ("test_pipeline.py", "test_learning.py", "test_upgrade.py")
"""Files that take minutes: begun first, so that at the end no process waits for one of them."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tell the tests that need a project from the quick ones; modules whose tests train say so themselves."""
    items.sort(key=lambda item: item.path.name not in LONG)
    for item in items:
        fixtures = set(getattr(item, "fixturenames", ()))
        if PROJECTS & fixtures:
            item.add_marker(pytest.mark.project)
        if "postgres" in fixtures:
            item.add_marker(pytest.mark.postgres)


@pytest.fixture(autouse=True)
def quick(request: pytest.FixtureRequest) -> Iterator[None]:
    """A quick test loads no heavy library, nor do its fixtures; one that does is to be marked `project`."""
    yield
    new = (HEAVY & sys.modules.keys()) - LOADED
    LOADED.update(new)
    assert not new or {"project", "slow"} & {mark.name for mark in request.node.iter_markers()}


@pytest.fixture(autouse=True)
def nowhere() -> Iterator[None]:
    """MLflow forgets after each test which registry it was told of: it is one for the whole process."""
    yield
    forget_registry()


@pytest.fixture(scope="session")
def settings() -> Params:
    return params.load(ROOT / "params.yaml", Params)


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MLflow database with its tables and nothing in them; making one takes seconds, a copy none."""
    import mlflow

    path = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    mlflow.MlflowClient(f"sqlite:///{path}").search_registered_models()
    return path


@pytest.fixture(scope="session")
def postgres() -> Iterator[servers.Postgres]:
    """A throw-away PostgreSQL with the database `empty`, which has MLflow's tables; it takes three seconds."""
    import mlflow

    try:
        with servers.postgres() as running:
            mlflow.MlflowClient(running.create("empty")).search_registered_models()
            running.run("select pg_terminate_backend(pid) from pg_stat_activity where datname = 'empty'")
            yield running
    except FileNotFoundError as error:
        pytest.fail(f"{error}, or leave these tests out: `pytest -m 'not slow and not postgres'`", pytrace=False)


DATABASES = itertools.count(1)


@pytest.fixture
def postgres_uri(postgres: servers.Postgres) -> Iterator[str]:
    """A database of this test's own in PostgreSQL, with MLflow's tables and nothing in them."""
    name = f"registry_{next(DATABASES)}"
    yield postgres.create(name, "empty")
    postgres.drop(name)


@pytest.fixture(scope="session")
def server_on_postgres(postgres: servers.Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real MLflow server on PostgreSQL that all tests share; its address. `mlflow_server` is it when it is empty."""
    artifacts = tmp_path_factory.mktemp("server") / "artifacts"
    with servers.mlflow_server(postgres.create("server", "empty"), artifacts) as address:
        yield address


@pytest.fixture
def mlflow_server(postgres: servers.Postgres, server_on_postgres: str) -> Iterator[str]:
    """A real MLflow server on PostgreSQL, emptied after the test; its address."""
    yield server_on_postgres
    tables = postgres.run(
        "select string_agg(quote_ident(tablename), ', ') from pg_tables where schemaname = 'public' "
        "and tablename not in ('alembic_version', 'experiments', 'workspaces')",
        "server",
    )[0][0]
    postgres.run(f"truncate {tables} cascade", "server")
    postgres.run("delete from experiments where experiment_id <> 0", "server")


@pytest.fixture(
    params=[
        "sqlite",
        pytest.param("postgres", marks=pytest.mark.postgres),
        pytest.param("server", marks=pytest.mark.postgres),
    ]
)
def registry_uri(request: pytest.FixtureRequest, tmp_path: Path, empty_database: Path) -> str:
    """An empty registry, of each kind there is: an SQLite file, PostgreSQL itself, and an MLflow server on it."""
    if request.param == "sqlite":
        (tmp_path / "store").mkdir(exist_ok=True)
        return f"sqlite:///{shutil.copy(empty_database, tmp_path / 'store/mlflow.db')}"
    return str(request.getfixturevalue("postgres_uri" if request.param == "postgres" else "mlflow_server"))


@pytest.fixture(scope="session")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> MadeOnce:
    """A project of this name, made by the first who asks for it: copy it, and change the copy.

    Test files run in processes of their own; those of one run share what is made.
    """
    base = tmp_path_factory.getbasetemp()
    run = os.environ.get("PYTEST_XDIST_TESTRUNUID")
    folder = base.parent / f"made-{run}" if run else base / "made"

    def made(name: str, make: Callable[[Path], None]) -> Project:
        root, whole = folder / name / "clone", folder / name / "whole"
        folder.mkdir(exist_ok=True)
        with FileLock(folder / f"{name}.lock"):
            if not whole.exists():
                make(root)
                whole.touch()
        return Project(Workspace(root, workspace.environment(root)))

    return made


@pytest.fixture
def project(tmp_path: Path, empty_database: Path) -> Project:
    """A project of this test's own; see `project.py`."""
    return Project.create(tmp_path / "clone", empty_database)


@pytest.fixture(scope="session")
def draw(encode: Callable[..., bytes]) -> Callable[..., bytes]:
    """An encoded picture, no two pixels of which are alike: `draw("JPEG", mode="L", quality=90)`."""

    def encoded(kind: str = "PNG", mode: str = "RGB", size: tuple[int, int] = (12, 8), **options: object) -> bytes:
        width, height = size
        across, down = np.meshgrid(np.linspace(0, 255, width), np.linspace(0, 255, height))
        pixels = np.stack([across, down, 255 - across], axis=2).astype(np.uint8)
        image = Image.fromarray(pixels).convert(mode)
        if mode.endswith("A"):
            image.putalpha(Image.fromarray(pixels[..., 0]))
        return encode(image, kind, **options)

    return encoded


@pytest.fixture(scope="session")
def encode() -> Callable[..., bytes]:
    """An image of Pillow's, or an array of pixels, as the bytes of a file."""

    def encoded(image: Image.Image | np.ndarray, kind: str = "PNG", **options: object) -> bytes:
        sink = io.BytesIO()
        (Image.fromarray(image) if isinstance(image, np.ndarray) else image).save(sink, kind, **options)
        return sink.getvalue()

    return encoded

"""What is remembered of a registry, on real SQLite files."""

import contextlib
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from versions import promote, register

from pipeline.base import files
from pipeline.base.errors import RegistryError
from pipeline.registry import client as registry
from pipeline.registry.client import Registry
from pipeline.registry.connection import Connection
from pipeline.registry.memory import Memory


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, empty_database: Path) -> Path:
    """A project with the default registry, empty; the file for what is remembered of it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    (tmp_path / "store").mkdir()
    shutil.copy(empty_database, tmp_path / "store/mlflow.db")
    return tmp_path / "scratch/registry.json"


def answers(reg: Registry) -> list[object]:
    """All questions that are remembered."""
    newest = reg.newest(sources="s")
    return [reg.champion(), newest, reg.all(), reg.newest(sources="none"), newest and reg.version(newest.number)]


def unreachable(uri: str) -> None:
    raise AssertionError(f"{uri} was asked")


@pytest.mark.parametrize("promoted", [True, False], ids=["champion", "no champion"])
def test_answers_are_remembered_as_long_as_nothing_is_written(settings, place, monkeypatch, promoted):
    writer = Registry(settings.resolve)
    version = register(writer, "a", sources="s", parent="")
    if promoted:
        promote(writer, version.number)
    first = answers(Registry(settings.resolve, place))
    assert first == answers(writer)
    assert (first[0] is not None) is promoted
    monkeypatch.setattr(Connection, "client", property(unreachable))
    again = Registry(settings.resolve, place)
    assert answers(again) == answers(again) == first


def test_a_remembered_answer_needs_no_import_of_mlflow(settings, place):
    register(Registry(settings.resolve), "a", sources="s")
    first = answers(Registry(settings.resolve, place))
    script = (
        "import sys; from pathlib import Path; from pipeline.base import params; from pipeline.settings import Params; "
        "from pipeline.registry.client import Registry;"
        f"path = Path({str(Path(registry.__file__).parents[2] / 'params.yaml')!r}); "
        f"reg = Registry(params.load(path, Params).resolve,"
        f"Path({str(place)!r})); print(reg.newest(sources='s').number, 'mlflow' in sys.modules)"
    )
    environment = os.environ | {"PYTHONPATH": str(Path(registry.__file__).parents[2])}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment)
    assert done.stdout.split() == [str(first[1].number), "False"], done.stderr


def test_what_another_client_writes_is_seen_at_once(settings, place):
    writer, reader = Registry(settings.resolve), Registry(settings.resolve, place)
    assert reader.champion() is None
    assert reader.all() == []
    for number, key in ((1, "a"), (2, "b")):
        register(writer, key, sources="s")
        for one in (reader, Registry(settings.resolve, place)):
            newest = one.newest(sources="s")
            assert newest is not None
            assert newest.number == number
            assert len(one.all()) == number
        promote(writer, number)
        for one in (reader, Registry(settings.resolve, place)):
            champion = one.champion()
            assert champion is not None
            assert champion.number == number
    writer.annotate(2, {"verdict": "reject"})
    assert reader.version(2).tags["evergreen.verdict"] == "reject"
    writer._client.delete_registered_model_alias(writer.name, writer.alias)
    assert reader.champion() is None


def test_what_is_remembered_of_one_model_or_alias_is_not_said_of_another(settings, place):
    writer = Registry(settings.resolve)
    promote(writer, register(writer, "a").number)
    assert Registry(settings.resolve, place).champion() is not None
    for change in ({"registered_model": "other"}, {"alias": "other"}):
        assert Registry(settings.resolve.model_copy(update=change), place).champion() is None


@pytest.mark.parametrize("end", ["-wal", "-journal"])
def test_while_sqlite_writes_to_another_file_nothing_is_remembered(settings, place, end):
    beside = Path(f"store/mlflow.db{end}")
    beside.touch()
    counted = Memory(place, f"sqlite:///{Path('store/mlflow.db').absolute()}")
    asked: list[int] = []
    for _ in range(2):
        assert counted.recall(["q"], lambda: asked.append(1) or len(asked)) == len(asked)
    assert len(asked) == 2
    assert not place.exists()
    beside.unlink()
    assert Registry(settings.resolve, place).champion() is None
    assert place.is_file()
    beside.touch()
    assert counted.recall(["q"], lambda: "fresh") == "fresh"


@pytest.fixture
def memory(place: Path) -> Callable[[], Memory]:
    """What a new process remembers."""
    return lambda: Memory(place, f"sqlite:///{Path('store/mlflow.db').absolute()}")


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"null", b'{"state": []}', b"\xff", b'{"state": null, "answers": 3}'], ids=repr
)
def test_a_torn_memory_is_ignored_and_written_anew(memory, place, content):
    assert memory().recall(["q"], lambda: 1) == 1
    place.write_bytes(content)
    assert memory().recall(["q"], lambda: 2) == 2
    assert memory().recall(["q"], lambda: 3) == 2


def test_a_memory_whose_answers_are_none_is_ignored(memory, place):
    memory().recall(["q"], lambda: 1)
    kept = files.read_json(place)
    files.write_json(place, kept | {"answers": 3})
    assert memory().recall(["q"], lambda: 2) == 2


def test_a_memory_of_another_registry_is_ignored(memory, place, tmp_path):
    memory().recall(["q"], lambda: 1)
    (tmp_path / "other").mkdir()
    shutil.copy2("store/mlflow.db", tmp_path / "other/mlflow.db")
    other = Memory(place, f"sqlite:///{tmp_path / 'other/mlflow.db'}")
    assert other.recall(["q"], lambda: 2) == 2


def test_a_database_put_in_the_place_of_another_is_asked(memory, tmp_path):
    memory().recall(["q"], lambda: 1)
    shutil.copy2("store/mlflow.db", tmp_path / "backup.db")
    (tmp_path / "backup.db").replace("store/mlflow.db")
    assert memory().recall(["q"], lambda: 2) == 2


def test_an_answer_that_fails_is_not_remembered(memory):
    def fail() -> None:
        raise RegistryError("no answer")

    with pytest.raises(RegistryError):
        memory().recall(["q"], fail)
    assert memory().recall(["q"], lambda: 2) == 2


def test_an_answer_during_which_something_was_written_is_not_remembered(memory):
    def write() -> int:
        with contextlib.closing(sqlite3.connect("store/mlflow.db")) as database:
            database.execute("create table written (x)")
            database.commit()
        return 1

    one = memory()
    assert one.recall(["q"], write) == 1
    assert one.recall(["q"], lambda: 2) == 2
    assert memory().recall(["q"], lambda: 3) == 2


def test_a_write_that_leaves_size_and_time_alone_is_seen_by_sqlites_counter(memory):
    """On a disk whose clock ticks in seconds, or restored by a backup."""
    path = Path("store/mlflow.db")
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.execute("create table written (x)")
        database.execute("insert into written values (1)")
        database.commit()
        before = path.stat()
        memory().recall(["q"], lambda: 1)
        database.execute("update written set x = 2")
        database.commit()
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    after = path.stat()
    assert (after.st_size, after.st_mtime_ns, after.st_ino) == (before.st_size, before.st_mtime_ns, before.st_ino)
    assert memory().recall(["q"], lambda: 2) == 2


@pytest.mark.parametrize("uri", ["http://127.0.0.1:9", "postgresql://127.0.0.1/db", "sqlite:///none/mlflow.db"])
def test_of_any_other_registry_nothing_is_remembered(place, uri):
    for answer in (1, 2):
        assert Memory(place, uri).recall(["q"], lambda answer=answer: answer) == answer
    assert not place.exists()


def test_a_write_between_two_questions_forgets_the_answer_to_the_first(memory, tmp_path):
    one = memory()
    assert one.recall(["champion"], lambda: "old") == "old"
    shutil.copy2("store/mlflow.db", tmp_path / "next.db")
    (tmp_path / "next.db").replace("store/mlflow.db")
    assert one.recall(["newest"], lambda: "new") == "new"
    for later in (one, memory()):
        assert later.recall(["champion"], lambda: "new") == "new"


def test_each_question_has_its_own_answer(memory):
    for question in (["q"], ["q", 1], ["q", "1"], ["r"]):
        memory().recall(question, lambda question=question: question)
    assert memory().recall(["q", 1], list) == ["q", 1]
    assert memory().recall(["q", "1"], list) == ["q", "1"]


def test_an_empty_registry_made_by_the_question_is_not_taken_for_the_one_before(settings, place):
    Path("store/mlflow.db").unlink()
    assert Registry(settings.resolve, place).champion() is None
    assert Registry(settings.resolve, place).champion() is None

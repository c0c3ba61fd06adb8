"""The stage promote of a real cycle, killed before and after each call that writes, and run again."""

import contextlib
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

from benchmarks import digits, servers, workspace
from benchmarks.servers import Postgres
from benchmarks.workspace import Workspace
from pipeline.registry.version import DECIDED, unpacked

WRITES = ("create_", "set_", "delete_", "update_", "log_")
"""Beginnings of the names of calls of MLflow's client that write."""

KILLED = 137

WRITABLE = """SELECT table_name, column_name FROM information_schema.columns
WHERE table_schema = 'public' AND is_generated = 'NEVER' ORDER BY table_name, ordinal_position"""
"""Columns that are not computed by the database itself, by table."""


def measure(database: str, every: int) -> dict[str, Any]:
    """Kill at every n-th call; count what is wrong after a rerun.

    Returns:
        calls: how many calls of promote write; kills: how many were tried; wrong: how many left something wrong.
    """
    with tempfile.TemporaryDirectory() as folder, _judged(database, Path(folder)) as case:
        calls = _count(case)
        wrong = kills = 0
        for at in range(1, calls + 1, every):
            for is_after in (False, True):
                case.restore()
                code = _fork(case, ["promote"], at, is_after)
                for stage in ("resolve", "promote"):
                    code = code if code not in (0, KILLED) else _fork(case, [stage])
                faults = [f"exit code {code}"] if code else list(_faults(case))
                for fault in faults:
                    print(f"killed {'after' if is_after else 'before'} call {at}: {fault}", file=sys.stderr, flush=True)
                kills += 1
                wrong += bool(faults)
            if at % 10 == 1:
                print(f"{database}: killed at {at} of {calls} calls, {wrong} wrong", flush=True)
    return {"calls": calls, "kills": kills, "wrong": wrong}


@dataclass(frozen=True)
class Case:
    """A cycle whose challenger is to be promoted over v1, and its registry, which can be set back to that."""

    space: Workspace
    epochs: int
    """That its curves must have."""
    restore: Callable[[], None]


@contextlib.contextmanager
def _judged(database: str, folder: Path) -> Iterator[Case]:
    """Make the cycle: once."""
    with contextlib.ExitStack() as stack:
        space = workspace.create(folder / "space")
        env = dict(space.env)
        postgres = None
        if database == "postgres":
            postgres = stack.enter_context(servers.postgres())
            uri = postgres.create("kills")
            env["MLFLOW_TRACKING_URI"] = stack.enter_context(
                servers.mlflow_server(uri, folder / "space/store/artifacts", workers=2)
            )
        space = Workspace(space.root, env)
        space.params(
            prepare={"image_size": 8, "channels": 1, "min_split": 3},
            train={"max_epochs": 3, "patience": 9, "audit_above": None},
            evaluate={"min_accuracy": 0.0, "margin": 0.99, "max_drop": None, "max_wrong": None},
            validate={"new_labels": "allow", "min_images_per_label": 1},
        )
        for name, stage, images in (("first", "promote", (0, 250)), ("second", "evaluate", (250, 350))):
            space.put(name, digits.batch(*images))
            space.push(name, name)
            done = space.repro(stage, quiet=True)
            if done.code:
                raise RuntimeError(done.output)
        verdict = space.root / "data/cycle/evaluation/verdict.json"
        told = json.loads(verdict.read_bytes()) | {"decision": "promote"}
        verdict.unlink()
        verdict.write_text(json.dumps(told))
        epochs = len(json.loads((space.root / "data/cycle/model/training.json").read_bytes())["history"])
        shutil.copytree(space.root, folder / "kept", symlinks=True)
        if postgres:
            _keep(postgres)
        yield Case(space, epochs, lambda: _restore(space.root, folder / "kept", postgres))


def _keep(postgres: Postgres) -> None:
    """Keep a copy of each table."""
    postgres.run("CREATE SCHEMA kept", "kills")
    for (name,) in postgres.run("SELECT tablename FROM pg_tables WHERE schemaname = 'public'", "kills"):
        postgres.run(f'CREATE TABLE kept."{name}" AS TABLE public."{name}"', "kills")


def _restore(root: Path, kept: Path, postgres: Postgres | None) -> None:
    """Set workspace and registry back to the moment before promote."""
    for name in ("store", "data"):
        shutil.rmtree(root / name)
        shutil.copytree(kept / name, root / name, symlinks=True)
    if postgres:
        columns: dict[str, list[str]] = {}
        for table, column in postgres.run(WRITABLE, "kills"):
            columns.setdefault(str(table), []).append(f'"{column}"')
        fill = [
            "SET session_replication_role = replica",  # no order among the tables then
            *(f'DELETE FROM public."{name}"' for name in columns),  # noqa: S608 - MLflow's own tables
            *(_copy(name, ", ".join(some)) for name, some in columns.items()),
        ]
        postgres.run(f"DO $$ BEGIN {'; '.join(fill)}; END $$", "kills")


def _copy(table: str, columns: str) -> str:
    kept = f'SELECT {columns} FROM kept."{table}"'  # noqa: S608 - MLflow's own tables
    return f'INSERT INTO public."{table}" ({columns}) OVERRIDING SYSTEM VALUE {kept}'


def _count(case: Case) -> int:
    """How many calls of promote write."""
    case.restore()
    note = case.space.root / "calls"
    if code := _fork(case, ["promote"], note=note):
        raise RuntimeError(f"promote gave exit code {code}")
    if faults := list(_faults(case)):
        raise RuntimeError(f"without a kill: {faults}")
    return int(note.read_text())


def _fork(case: Case, words: list[str], at: int = 0, is_after: bool = False, note: Path | None = None) -> int:
    """Run a stage in a process of its own, which ends at its n-th call that writes; its exit code."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    code = 1
    try:
        os.chdir(case.space.root)
        os.environ.clear()
        os.environ.update(case.space.env)
        log = os.open("stage.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(log, 1)
        os.dup2(log, 2)
        code = _run(words, at, is_after, note)
    finally:
        os._exit(code)


def _run(words: list[str], at: int, is_after: bool, note: Path | None) -> int:
    """In the child: run a stage with a client that counts its calls."""
    from pipeline import __main__ as command
    from pipeline.registry.connection import Connection

    real, calls = Connection.__dict__["client"].func, [0]

    def client(connection: Connection) -> Any:
        return _Counting(real(connection), calls, at, is_after)

    counting = property(lambda self: self.__dict__.setdefault("counting", client(self)))
    with mock.patch.object(Connection, "client", counting):
        code = command.main(words)
    if note:
        note.write_text(str(calls[0]))
    return code


class _Counting:
    """A client of MLflow that ends its process at a call."""

    def __init__(self, client: Any, calls: list[int], at: int, is_after: bool) -> None:
        self._client, self._calls, self._at, self._is_after = client, calls, at, is_after

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._client, name)
        if not name.startswith(WRITES):
            return found

        def call(*values: Any, **named: Any) -> Any:
            self._calls[0] += 1
            is_now = self._calls[0] == self._at
            if is_now and not self._is_after:
                os._exit(KILLED)
            given = found(*values, **named)
            if is_now:
                os._exit(KILLED)
            return given

        return call


def _faults(case: Case) -> Iterator[str]:
    """What is not as it should be after the rerun, told by a process that has no connection yet."""
    read, write = os.pipe()
    child = os.fork()
    if child:
        os.close(write)
        with os.fdopen(read) as told:
            lines = told.read().splitlines()
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        yield from lines
        if code:
            yield f"the check ended with exit code {code}"
        return
    code = 1
    try:
        os.environ.update(case.space.env)
        with os.fdopen(write, "w") as tell:
            tell.write("\n".join(_seen(case)))
        code = 0
    finally:
        os._exit(code)


def _seen(case: Case) -> Iterator[str]:
    import mlflow

    client = mlflow.MlflowClient(case.space.env["MLFLOW_TRACKING_URI"], case.space.env["MLFLOW_TRACKING_URI"])
    versions = client.search_model_versions("name='evergreen'")
    if len(versions) != 2:
        yield f"{len(versions)} versions, expected 2"
        return
    version = max(versions, key=lambda one: int(one.version))
    champion = client.get_model_version_by_alias("evergreen", "champion")
    if champion.version != version.version:
        yield f"champion is v{champion.version}"
    said = unpacked(version.tags.get(DECIDED, "")).get("promoted")
    if said != "true" or "is the new champion" not in version.description:
        yield f"v{version.version} says promoted {said}: {version.description[:300]!r}"
    experiment = client.get_experiment_by_name("evergreen")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id])
    if sorted(run.info.run_id for run in runs) != sorted(one.run_id for one in versions):
        yield f"{len(runs)} runs, expected those of the versions"
    for run in runs:
        if run.info.status != "FINISHED":
            yield f"run {run.info.run_id} is {run.info.status}"
    points = client.get_metric_history(version.run_id, "val_loss")
    if sorted(point.step for point in points) != list(range(case.epochs)):
        yield f"points of val_loss: {[point.step for point in points]}, expected {case.epochs}"
    models = client.search_logged_models([experiment.experiment_id])
    if len(models) != len(versions):
        yield f"{len(models)} logged models, expected {len(versions)}"
    events = client.search_model_versions("name='evergreen-history'", order_by=["version_number ASC"])
    kinds = [json.loads(event.tags["evergreen.event"])["kind"] for event in events]
    if kinds != ["promoted", "promoted"]:
        yield f"events: {kinds}"
    # The tag of a process that was killed while it moved the alias stays for an hour: nobody knows that it is dead.
    registered = client.get_registered_model("evergreen")
    if len(left := [tag for tag in registered.tags if "moving" in tag]) > 1:
        yield f"tags that were left: {left}"

"""Promotions that race, and promotions that are killed: is there one version, one run, the right champion then?

`python -m benchmarks.promotion_race` lets 8 processes promote against the same champion, 1,000 times over: four
machines that made the same cycle, and four that made another one. In every tenth round a person moves the alias in
MLflow meanwhile.

On a server such a move may come between a look and a move of the pipeline; how often it did is counted apart.

Then it kills the stage promote of a real cycle before and after each call that writes, and runs it again.
Both on an SQLite file and on PostgreSQL behind an MLflow server. Prints one JSON object last.
"""

import argparse
import contextlib
import json
import multiprocessing
import os
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

from benchmarks import promotion_kills, servers
from benchmarks.workspace import CHECKOUT
from pipeline.artifacts.evaluation import Judgement
from pipeline.base import params
from pipeline.registry import promotion
from pipeline.registry.chain import Story
from pipeline.registry.client import Registry
from pipeline.registry.settings import RegisteredModel
from pipeline.registry.transitions import Transitions
from pipeline.settings import Params

DATABASES = ("sqlite", "postgres")

SERIES = 50
"""Rounds on one registered model. Then comes another one, without a champion: MLflow reads all versions of a model
whenever it adds one, and that is not what is measured here."""

MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108 - a folder in memory
"""No process waits for a disk, so that they meet more often."""

FORK = multiprocessing.get_context("fork")
"""MLflow is imported once; no process has a connection before it is forked."""


def main(argv: Sequence[str] | None = None) -> int:
    """Race, kill and count; 0 if nothing is wrong."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.promotion_race",
        description=(__doc__ or "").splitlines()[0],
        epilog="example: python -m benchmarks.promotion_race --rounds 100 --every 5",
    )
    parser.add_argument("--rounds", type=int, default=1000, help="races on each database (default: 1000)")
    parser.add_argument("--processes", type=int, default=8, help="that race (default: 8)")
    parser.add_argument("--every", type=int, default=1, help="kill at every n-th call only; 0: at none (default: 1)")
    parser.add_argument("--databases", nargs="+", choices=DATABASES, default=DATABASES, help="default: both")
    parser.add_argument("--seed", type=int, default=0, help="of the moments when people act (default: 0)")
    options = parser.parse_args(argv)
    import mlflow  # noqa: F401 - before processes are forked

    figures = []
    for database in options.databases:
        with tempfile.TemporaryDirectory(dir=MEMORY) as folder, registry_on(database, Path(folder)) as uri:
            raced = race(uri, Path(folder), options.processes, options.rounds, options.seed)
        print(f"{database}: {json.dumps(raced)}", flush=True)
        killed = promotion_kills.measure(database, options.every) if options.every else {}
        figures.append({"database": database, "race": raced, "kills": killed})
    wrong = sum(one["race"]["wrong"] + one["kills"].get("wrong", 0) for one in figures)
    print(json.dumps({"benchmark": "promotion_race", "seed": options.seed, "figures": figures, "ok": not wrong}))
    return 0 if not wrong else 1


@contextlib.contextmanager
def registry_on(database: str, folder: Path) -> Iterator[str]:
    """The address of an empty registry: an SQLite file, or an MLflow server on PostgreSQL."""
    if database == "sqlite":
        yield f"sqlite:///{folder}/mlflow.db"
        return
    with servers.postgres() as postgres:
        uri = postgres.create("race")
        with servers.mlflow_server(uri, folder / "artifacts", workers=2) as address:
            yield address


@dataclass(frozen=True)
class Task:
    """What one process does in one round."""

    model: str
    """The registered model of this round."""
    key: str
    """Run key of its cycle."""
    champion: int | None
    """Against which it was judged."""
    person: int | None
    """The version to which a person moves the alias instead."""


def race(uri: str, folder: Path, processes: int, rounds: int, seed: int) -> dict[str, Any]:
    """Let processes promote at the same moment, again and again; count what is wrong afterwards."""
    tasks = [FORK.Queue() for _ in range(processes)]
    results: Any = FORK.Queue()
    barrier = FORK.Barrier(processes)
    workers = [
        FORK.Process(
            target=_work, args=(uri, folder / f"machine-{number}", tasks[number], results, barrier, seed + number)
        )
        for number in range(processes)
    ]
    for worker in workers:
        worker.start()
    os.environ["MLFLOW_TRACKING_URI"] = uri
    counts, began, champion, chance = Counter[str](), time.monotonic(), None, random.Random(seed)
    for number in range(rounds):
        name = f"evergreen-{number // SERIES}"
        champion = champion if number % SERIES else None
        past = sorted(Transitions(_registry(name)).story().champions - {champion})
        person = chance.choice(past) if number % 10 == 9 and past else None
        keys = [f"{number}-{'a' if one % 2 else 'b'}" for one in range(processes)]
        for one, queue in enumerate(tasks):
            queue.put(Task(name, keys[one], champion, person if one == 0 else None))
        errors = [error for error in (results.get() for _ in workers) if error]
        registry = _registry(name)
        story = Transitions(registry).settle()
        faults = [*errors, *_faults(registry, set(keys[1:] if person else keys), champion, person)]
        if person and not _is_known(story, person):
            counts["overruled"] += 1
            if not registry.connection.is_server:
                faults.append(f"a person moved the alias to v{person}, and nothing tells of it")
        counts["wrong"] += bool(faults)
        counts["people"] += bool(person)
        counts["rounds"] += 1
        for fault in faults:
            print(f"round {number}: {fault}", file=sys.stderr, flush=True)
        champion = story.champion
        if number % 50 == 49:
            print(f"{number + 1} rounds, {counts['wrong']} wrong, {time.monotonic() - began:.0f} s", flush=True)
    for queue in tasks:
        queue.put(None)
    for worker in workers:
        worker.join()
    counted = {"with_a_person": counts["people"], "overruled": counts["overruled"], "wrong": counts["wrong"]}
    return {"rounds": rounds, "processes": processes, **counted}


def _is_known(story: Story, person: int) -> bool:
    """Whether the history tells that a person moved the alias to a version, or it was there anyway."""
    return person in {event.version for event in story.events[-4:]}


def _registry(name: str) -> Registry:
    """A machine's own way to a registered model."""
    return Registry(_model().model_copy(update={"registered_model": name}))


@cache
def _model() -> RegisteredModel:
    return params.load(CHECKOUT / "params.yaml", Params).resolve


def _work(uri: str, scratch: Path, tasks: Any, results: Any, barrier: Barrier, seed: int) -> None:
    """One machine: in each round it registers what it trained and carries out the verdict."""
    os.environ["MLFLOW_TRACKING_URI"] = uri
    chance = random.Random(seed)
    while (task := tasks.get()) is not None:
        barrier.wait()
        try:
            if task.person:
                time.sleep(chance.uniform(0, 1))
                registry = _registry(task.model)
                registry._client.set_registered_model_alias(registry.name, registry.alias, str(task.person))
            else:
                _promote(_registry(task.model), task, scratch)
            results.put("")
        except Exception as error:  # noqa: BLE001 - it is counted, and the next round goes on
            results.put(f"{type(error).__name__}: {error}")


def _promote(registry: Registry, task: Task, scratch: Path) -> None:
    """What the stage promote does, but for the files."""
    judgement = Judgement(
        decision="promote", reasons=("it is better",), difference=0.1, lower=0.0, champion=task.champion
    )
    run = registry.runs.begin(task.key, "cycle", scratch)
    tags = {"run_key": task.key, "sources": task.key, "rival": str(task.champion or "")}
    version = registry.create_version(run, f"runs:/{run.run_id}/model", None, tags, "not decided yet")
    done = promotion.carry_out(registry, version, judgement, "verdict", automatic=True, prove=lambda: None)
    registry.runs.of(version).end()
    registry.drop_seconds(version)
    registry.runs.tidy(version)
    is_promoted = str(version.number in done.story.champions).lower()
    registry.annotate(version.number, {"verdict": "promote", "promoted": is_promoted}, done.said)


def _faults(registry: Registry, keys: set[str], champion: int | None, person: int | None) -> Iterator[str]:
    """What is not as it should be after a round."""
    story = Transitions(registry).story()
    now = registry.champion()
    if (now.number if now else None) != story.champion:
        yield f"the alias is {now}, the history says {story.champion}"
    if Transitions(registry).aliases().moving:
        yield "somebody still is about to move the alias"
    for key in keys:
        versions = registry.all(run_key=key)
        runs = registry.runs._search(f"tags.`mlflow.evergreen.run_key` = '{key}'")
        if len(versions) != 1:
            yield f"{len(versions)} versions of {key}"
        if len(runs) != 1 or runs[0].info.status != "FINISHED" or runs[0].info.run_id != versions[0].run_id:
            yield f"runs of {key}: {[(run.info.run_id, run.info.status) for run in runs]}"
        for version in versions:
            if version.promoted is not (version.number in story.champions):
                yield f"v{version.number} says promoted {version.promoted}"
    numbers = {version.number for key in keys for version in registry.all(run_key=key)}
    promoted = [event for event in story.events if event.kind == "promoted" and event.version in numbers]
    moved = [event for event in story.events[-4:] if event.kind == "moved"]
    if person is None and (len(promoted) != 1 or promoted[0].source != champion or moved[-1:] == [story.events[-1]]):
        yield f"promoted: {[(event.source, event.version) for event in promoted]}, judged against {champion}"
    for before, after in zip(story.events, story.events[1:], strict=False):
        if after.kind == "promoted" and after.source != before.version:
            yield f"v{after.version} was promoted over v{after.source} while v{before.version} was champion"


if __name__ == "__main__":
    sys.exit(main())

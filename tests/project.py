"""A real project for tests: its own clone, DVC remote and registry; its stages run in this process, which is quick."""

import contextlib
import hashlib
import io
import json
import os
import shlex
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest import mock
from urllib.parse import quote

import numpy as np
import polars as pl
import yaml
from PIL import Image

from benchmarks import workspace
from benchmarks.workspace import STAGES, Workspace
from pipeline import __main__ as command
from pipeline.data import dataset
from pipeline.images import decoding as images
from pipeline.registry import answering, proof
from pipeline.registry.version import Version, changed

if TYPE_CHECKING:
    from mlflow import MlflowClient

MadeOnce = Callable[[str, Callable[[Path], None]], "Project"]
"""The project of a name, made in a folder by the first who asks for it; see `conftest.made_once`."""

SHADES = {"cat": (20, 110), "dog": (140, 235)}
"""Darkest and brightest pixel by label, so that a model can tell them apart; of other labels the middle."""


@cache
def picture(number: int, label: str = "cat", side: int = 12, kind: str = "PNG") -> bytes:
    """Noise of its own for each number and label: no two alike."""
    low, high = SHADES.get(label, (80, 180))
    pixels = np.random.default_rng([number, *label.encode()]).integers(low, high, (side, side, 3)).astype(np.uint8)
    return encoded(Image.fromarray(pixels), kind)


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    sink = io.BytesIO()
    image.save(sink, kind, **options)
    return sink.getvalue()


def pictures(numbers: Iterable[int], *labels: str) -> dict[str, dict[str, bytes]]:
    """A batch with these pictures of each label."""
    numbers = list(numbers)
    return {label: {f"{number}.png": picture(number, label) for number in numbers} for label in labels}


@dataclass
class Done:
    """How a command went."""

    code: int
    out: str
    err: str

    @property
    def error(self) -> str:
        """Its one line of error."""
        (line,) = [line for line in self.err.splitlines() if ": error: " in line]
        assert "Traceback" not in self.err
        return line


def two_versions(made_once: MadeOnce, database: Path) -> "Project":
    """A project with two versions; v1 was the champion when v2 was judged. To be copied."""

    def make(root: Path) -> None:
        project = Project.create(root, database)
        project.add("first", pictures(range(30), "cat", "dog"))
        project.cycle()
        project.add("second", pictures(range(100, 120), "cat", "dog"))
        project.cycle()

    return made_once("two versions", make)


def pipeline(project: "Project", *words: str) -> Done:
    """`python -m pipeline` in a process of its own, for it may start DVC."""
    done = subprocess.run(
        [sys.executable, "-m", "pipeline", *words],
        cwd=project.root, env=dict(project.space.env), capture_output=True, text=True, check=False,
    )  # fmt: skip
    return Done(done.returncode, done.stdout, done.stderr)


def ran(output: str) -> set[str]:
    """The stages that DVC says it ran."""
    return {stage for stage in STAGES if f"Running stage '{stage}'" in output}


def relocate(database: Path, old: str, new: str) -> None:
    """Let a registry name another folder: MLflow keeps absolute paths of its artifacts."""
    with contextlib.closing(sqlite3.connect(database)) as connection:
        for (table,) in connection.execute("select name from sqlite_master where type = 'table'").fetchall():
            for _, column, kind, *_ in connection.execute(f"pragma table_info({table})").fetchall():
                if "CHAR" in kind or "TEXT" in kind:
                    change = f"update {table} set {column} = replace({column}, ?, ?)"  # noqa: S608 - names of tables
                    connection.execute(change, (old, new))
        connection.commit()


def forget_places() -> None:
    """Let MLflow ask anew where the artifacts of runs are: it remembers it by run, and copies have the same runs."""
    if "mlflow" in sys.modules:
        from mlflow.tracking._tracking_service import utils

        utils._artifact_repos_cache.clear()


class InProcess(Workspace):
    """A workspace whose `dvc add` runs in this process: most tests begin with one, and DVC takes a second to start."""

    def dvc(self, *arguments: str) -> str:
        """Run dvc here; what it prints is given by the others than `dvc add --quiet`."""
        if arguments[:2] != ("add", "--quiet"):
            return super().dvc(*arguments)
        from dvc.repo import Repo

        with contextlib.chdir(self.root), mock.patch.dict(os.environ, self.env, clear=True), Repo() as repo:
            repo.add(arguments[2:])
        return ""


def _in_this_process(request: Mapping[str, Any]) -> dict[str, Any]:
    """The program of a proof, without loading TensorFlow again, which takes seconds; where MLflow looks is set back."""
    try:
        return answering.said(request)
    finally:
        forget_registry()


def forget_registry() -> None:
    """Let MLflow look where it would without a word: what it was told counts for the whole process."""
    if mlflow := sys.modules.get("mlflow"):
        mlflow.set_tracking_uri(None)
        mlflow.set_registry_uri(None)
        os.environ.pop("MLFLOW_REGISTRY_URI", None)  # where it keeps that, too


class Project:
    """Where cycles run without touching the checkout."""

    def __init__(self, space: Workspace) -> None:
        self.space = InProcess(space.root, space.env)
        self.root = space.root

    @classmethod
    def create(cls, root: Path, database: Path) -> "Project":
        """A new one, with a copy of an empty registry; settings that make a cycle take seconds."""
        space = workspace.create(root)
        (root / "store").mkdir(exist_ok=True)
        shutil.copy(database, root / "store/mlflow.db")
        project = cls(space)
        project.space.params(
            prepare={"image_size": 8, "min_split": 3},
            train={"max_epochs": 2, "patience": 9, "audit_above": None},
            evaluate={"min_accuracy": 0.0, "margin": 0.99},
        )
        return project

    def suspicious(self) -> list[dict[str, Any]]:
        """New images that likely have another label."""
        return [one for one in self.space.read("evaluation/comparison.json")["doubted"] if one["is_suspicious"]]

    def copy(self, root: Path) -> "Project":
        """The same project at another place: a cycle is made once, and each test goes on from a copy of it."""
        shutil.copytree(self.root, root, symlinks=True)
        places = {str(self.root): str(root), quote(str(self.root)): quote(str(root))}  # as a path and in an address
        for old, new in places.items():
            relocate(root / "store/mlflow.db", old, new)
        forget_places()
        space = Workspace(root, workspace.environment(root))
        space.keep_images_in(root / "store/remote")
        return Project(space)

    def call(self, *words: str, **env: str) -> Done:
        """Run `python -m pipeline` with these words, in this process."""
        out, err = io.StringIO(), io.StringIO()
        with (
            contextlib.chdir(self.root),
            mock.patch.dict(os.environ, {**self.space.env, **env}),
            mock.patch.object(proof, "in_fresh_process", _in_this_process),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
            self.own_modules(),
        ):
            code = command.main(words)
        forget_registry()
        return Done(code, out.getvalue(), err.getvalue())

    @contextlib.contextmanager
    def own_modules(self) -> Iterator[None]:
        """What a command imports of the project goes with it, as with its process: another has one of the same name."""
        before = [*sys.path]
        try:
            yield
        finally:
            sys.path[:] = before
            places = {name: getattr(module, "__file__", None) for name, module in sys.modules.items()}
            for name in [name for name, place in places.items() if place and Path(place).is_relative_to(self.root)]:
                del sys.modules[name]

    def run(self, *stages: str, **env: str) -> Done:
        """Run stages by their commands in dvc.yaml until one fails."""
        cmds = yaml.safe_load((self.root / "dvc.yaml").read_text())["stages"]
        done = Done(0, "", "")
        for stage in stages:
            one = self.call(*shlex.split(cmds[stage]["cmd"])[3:], **env)
            done = Done(one.code, done.out + one.out, done.err + one.err)
            if done.code:
                break
        return done

    def upto(self, last: str, **env: str) -> Done:
        """Run all stages up to this one."""
        return self.run(*STAGES[: STAGES.index(last) + 1], **env)

    def cycle(self, **env: str) -> Done:
        """A whole cycle that must succeed, with the right pixels."""
        done = self.upto("promote", **env)
        assert done.code == 0, done.err
        self.check_pixels()
        return done

    def check_pixels(self) -> None:
        """Each image of the dataset has the pixels that decoding its file gives."""
        known = self.table("ledger.parquet").select("digest", "path").rows()
        contents = {digest: self.root / path for digest, path in known}
        found = dataset.read(self.root / "data/cycle/dataset")
        for split in dataset.SPLITS:
            part = found.part(split)
            if part.inputs.dtype != np.uint8:
                continue  # features
            for digest, pixels in zip(part.digests, part.inputs, strict=True):
                content = contents[digest].read_bytes()
                assert hashlib.md5(content, usedforsecurity=False).hexdigest() == digest
                size, _, channels = pixels.shape
                assert (images.decode(content, size, channels, found.fit) == pixels).all(), contents[digest]

    @property
    def mlflow(self) -> "MlflowClient":
        """MLflow's own client on the registry of this project."""
        import mlflow

        return mlflow.MlflowClient(self.space.env["MLFLOW_TRACKING_URI"])

    def promote(self, version: int | None = None) -> int:
        """Make a version, the newest if none is named, the champion, as a person may in the MLflow UI; its number."""
        every = self.mlflow.search_model_versions("name='evergreen'")
        number = version or max(int(one.version) for one in every)
        self.mlflow.set_registered_model_alias("evergreen", "champion", str(number))
        return number

    def artifact(self, version: int, name: str) -> Path:
        """Where the registry keeps an artifact of a version."""
        run_id = self.mlflow.get_model_version("evergreen", str(version)).run_id
        return self.root / "store/artifacts" / str(run_id) / "artifacts" / name

    def tags(self, version: int) -> dict[str, str]:
        """What the tags of a version say, by name."""
        found = self.mlflow.get_model_version("evergreen", str(version))
        return dict(Version(version, found.run_id, found.tags)._values)

    def retag(self, version: int, **values: str) -> None:
        """Let the tags of a version say something else."""
        before = self.mlflow.get_model_version("evergreen", str(version)).tags
        for name, value in changed(values, before).items():
            self.mlflow.set_model_version_tag("evergreen", str(version), name, value)

    def relist(self, version: int, **changes: Any) -> None:
        """Change keys of a version's lineage, as if it had been registered so; None takes a key out."""
        path = self.artifact(version, "lineage/lineage.json")
        lineage = {**json.loads(path.read_text()), **changes}
        path.write_text(
            json.dumps({key: value for key, value in lineage.items() if key not in changes or value is not None})
        )
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        self.retag(version, lineage=digest)
        self.forget()

    def replace(self, version: int, name: str, content: bytes | None) -> None:
        """Let a version have other bytes under the name of an artifact, or not list it, as if registered so."""
        files = json.loads(self.artifact(version, "lineage/lineage.json").read_text())["files"]
        files.pop(name)
        if content is not None:
            self.artifact(version, name).write_bytes(content)
            files[name] = hashlib.sha256(content).hexdigest()
        self.relist(version, files=files)

    def forget(self) -> None:
        """Lose what was downloaded: a machine that has only the registry."""
        shutil.rmtree(self.root / "data/scratch/objects", ignore_errors=True)
        (self.root / "data/scratch/registry.json").unlink(missing_ok=True)

    def track(self, *batches: str, message: str = "Data", date: str | None = None) -> None:
        """`dvc add` batches and commit."""
        self.space.dvc("add", "--quiet", *(f"data/images/{batch}" for batch in batches))
        space = replace(self.space, env={**self.space.env, "GIT_COMMITTER_DATE": date}) if date else self.space
        space.commit(message)

    def add(self, batch: str, images: Mapping[str, Mapping[str, bytes]], date: str | None = None) -> None:
        """Put images into a batch and track it."""
        self.space.put(batch, images)
        self.track(batch, date=date)

    def write(self, path: str, content: bytes) -> None:
        """A file below `data/images`."""
        target = self.root / "data/images" / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.unlink(missing_ok=True)
        target.write_bytes(content)

    def remove(self, *paths: str) -> None:
        """Files or folders below `data/images`."""
        for path in paths:
            target = self.root / "data/images" / path
            shutil.rmtree(target) if target.is_dir() else target.unlink()

    def table(self, name: str) -> pl.DataFrame:
        """A Parquet output of the cycle, by its path below `data/cycle`."""
        return pl.read_parquet(self.root / "data/cycle" / name)

    def aside(self) -> dict[str, str]:
        """What is set aside: path below `data/images` to reason."""
        rows = self.table("accepted/quarantine.parquet").select("path", "reason").iter_rows()
        return {path.removeprefix("data/images/"): reason for path, reason in rows}

    def delta(self, *kinds: str) -> set[str]:
        """Paths below `data/images` of the rows of these kinds."""
        rows = self.table("delta/images.parquet").filter(pl.col("kind").is_in(kinds))
        return {path.removeprefix("data/images/") for path in rows["path"]}

    def accepted(self) -> set[str]:
        """Paths below `data/images` of the new images that passed."""
        rows = self.table("accepted/images.parquet").filter(pl.col("kind").is_in(["added", "retried"]))
        return {path.removeprefix("data/images/") for path in rows["path"]}

    def ledger(self) -> dict[str, dict[str, Any]]:
        """Rows of the ledger by path below `data/images`."""
        rows = self.table("ledger.parquet").iter_rows(named=True)
        return {row["path"].removeprefix("data/images/"): row for row in rows}

    def warnings(self) -> list[str]:
        """Of the report on the new images."""
        return list(self.space.read("validation/report.json")["warnings"])

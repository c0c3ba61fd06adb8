"""A scratch workspace: a clone of this checkout with its own DVC remote and registry."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.base import git
from pipeline.base.errors import GitError

CHECKOUT = Path(__file__).parent.parent

Batch = Mapping[str, Mapping[str, bytes]]
"""Label to file name to encoded image."""


@dataclass(frozen=True)
class Workspace:
    """Where a cycle can run without touching the checkout."""

    root: Path
    env: Mapping[str, str]

    def git(self, *arguments: str) -> str:
        """Run git here and give its output."""
        return self._run("git", *arguments)

    def dvc(self, *arguments: str) -> str:
        """Run dvc here and give its output."""
        return self._run(_tool("dvc"), *arguments)

    def pipeline(self, *arguments: str) -> str:
        """Run one of the product's own commands here and give its output."""
        return self._run(sys.executable, "-m", "pipeline", *arguments)

    def put(self, batch: str, images: Batch) -> None:
        """Write images to `data/images/<batch>/<label>/`."""
        for label, contents in images.items():
            folder = self.root / "data/images" / batch / label
            folder.mkdir(parents=True, exist_ok=True)
            for name, content in contents.items():
                (folder / name).write_bytes(content)

    def push(self, batch: str, message: str) -> None:
        """What a user does with a new batch: dvc add, git commit, dvc push."""
        self.dvc("add", "--quiet", f"data/images/{batch}")
        self.commit(message)
        self.dvc("push", "--quiet", f"data/images/{batch}.dvc")

    def commit(self, message: str) -> None:
        """Commit everything that Git does not ignore."""
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", message)

    def repro(self, *arguments: str, quiet: bool = False) -> "Repro":
        """Run `dvc repro`; its output is shown while it runs unless quiet."""
        began = time.monotonic()
        process = subprocess.Popen(
            [_tool("dvc"), "repro", *arguments],
            cwd=self.root,
            env=dict(self.env),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert process.stdout is not None
        lines = []
        for line in process.stdout:
            lines.append(line)
            if not quiet and line.startswith(SHOWN):
                print(f"    {line}", end="", flush=True)
        return Repro(process.wait(), "".join(lines), time.monotonic() - began)

    def read(self, name: str) -> Any:
        """A JSON output of the cycle, by its path below `data/cycle`."""
        return json.loads((self.root / "data/cycle" / name).read_bytes())

    def params(self, **changes: Mapping[str, Any]) -> None:
        """Change values in params.yaml: section=dict(key=value)."""
        import yaml

        path = self.root / "params.yaml"
        content = yaml.safe_load(path.read_text())
        for section, values in changes.items():
            content.setdefault(section, {}).update(values)
        path.write_text(yaml.safe_dump(content, sort_keys=False))

    def clone(self, root: Path) -> "Workspace":
        """A fresh clone that shares the DVC remote and the registry."""
        subprocess.run(["git", "clone", "--quiet", str(self.root), str(root)], check=True, env=dict(self.env))
        other = Workspace(root, self.env)
        other._configure(self.root / "store/remote")
        return other

    def keep_images_in(self, remote: Path | str) -> None:
        """Set the DVC remote, as `dvc remote modify --local local url REMOTE` does, which takes a second."""
        (self.root / ".dvc/config.local").write_text(f"['remote \"local\"']\n    url = {remote}\n")

    def _configure(self, remote: Path) -> None:
        self.git("config", "user.name", "Evergreen demo")
        self.git("config", "user.email", "demo@example.org")
        self.keep_images_in(remote)

    def _run(self, *command: str) -> str:
        done = subprocess.run(command, cwd=self.root, env=dict(self.env), capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)} failed in {self.root}:\n{done.stdout}{done.stderr}")
        return done.stdout


STAGES = ("resolve", "detect", "validate", "prepare", "train", "evaluate", "promote")
SHOWN = (*(f"{stage}:" for stage in STAGES), "Running stage", "Stage '", "ERROR")
"""Beginnings of the lines that are worth showing while a cycle runs."""


@dataclass(frozen=True)
class Repro:
    """How a `dvc repro` went."""

    code: int
    output: str
    seconds: float


def create(root: Path) -> Workspace:
    """Clone this checkout, uncommitted changes included, to an empty place."""
    shutil.rmtree(root, ignore_errors=True)
    root.parent.mkdir(parents=True, exist_ok=True)
    env = environment(root)
    for name in filter(None, ask_git("ls-files", "-z", "--cached", "--others", "--exclude-standard").split("\0")):
        if (CHECKOUT / name).is_file() and not name.startswith("data/images"):
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(CHECKOUT / name, root / name)
    (root / "dvc.lock").unlink(missing_ok=True)
    workspace = Workspace(root, env)
    workspace.git("init", "--quiet", "--initial-branch", "main")
    workspace._configure(root / "store/remote")
    workspace.commit("Evergreen, as it is in the checkout")
    return workspace


def ask_git(*words: str) -> str:
    """What Git says of this checkout; where it does not answer, the program ends with its words."""
    try:
        said = git.says(*words, at=CHECKOUT)
    except GitError as error:
        raise SystemExit(str(error)) from None
    if said is None:
        raise SystemExit(f"{CHECKOUT}: not a Git repository; expected a clone; get one with `git clone`")
    return said


def environment(root: Path) -> dict[str, str]:
    """The caller's, with this Python first on PATH and a registry and caches of the workspace's own."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("GIT_", "DVC_", "MLFLOW_", "PYTEST_"))}
    return kept | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}",
        "MLFLOW_TRACKING_URI": f"sqlite:///{(root / 'store/mlflow.db').resolve()}",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "DVC_NO_ANALYTICS": "1",
        "DVC_SITE_CACHE_DIR": str((root / ".dvc/tmp/site").resolve()),
        "GX_ANALYTICS_ENABLED": "false",
        "PYTHONUNBUFFERED": "1",
    }


def _tool(name: str) -> str:
    return str(Path(sys.executable).parent / name)

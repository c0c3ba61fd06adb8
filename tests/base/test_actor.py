"""Who runs this, as a history names them."""

import subprocess
from pathlib import Path

import pytest

from pipeline.base import actor


@pytest.fixture
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository of a user who has told Git nothing."""
    for name in ("GITHUB_ACTIONS", "MLFLOW_TRACKING_USERNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", "/dev/null")
    monkeypatch.chdir(tmp_path)
    subprocess.run(["git", "init", "--quiet"], check=True)
    return tmp_path


def test_a_person_is_who_git_says_and_who_signed_in(alone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("user.name", "Ada"), ("user.email", "ada@example.org")):
        subprocess.run(["git", "config", name, value], check=True, cwd=alone)
    assert actor.name() == "Ada <ada@example.org>"
    subprocess.run(["git", "config", "--unset", "user.email"], check=True, cwd=alone)
    assert actor.name() == "Ada"
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "ci")
    assert actor.name() == "Ada, signed in as ci"


@pytest.mark.usefixtures("alone")
def test_without_a_name_it_is_the_account_and_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("getpass.getuser", lambda: "ada")
    monkeypatch.setattr("platform.node", lambda: "laptop")
    assert actor.name() == "ada on laptop"


@pytest.mark.usefixtures("alone")
def test_an_account_without_a_name_is_somebody(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody() -> str:
        raise KeyError("uid not found: 1234")

    monkeypatch.setattr("getpass.getuser", nobody)
    assert actor.name().startswith("somebody on ")


def test_a_run_of_github_is_named_with_who_started_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("ACTIONS", "true"), ("ACTOR", "ada"), ("RUN_ID", "7"), ("REPOSITORY", "lab/images")):
        monkeypatch.setenv(f"GITHUB_{name}", value)
    assert actor.name() == "ada in run 7 of lab/images"

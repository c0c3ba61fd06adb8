"""`python -m pipeline notify`: what it sends, shows and refuses; and a real kill."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from receiving import SECRET, Receiver, receiver
from versions import promote, register

from pipeline import __main__ as command
from pipeline.base import params
from pipeline.registry import delivery, setbacks, transitions
from pipeline.registry.client import Registry
from pipeline.registry.transitions import Transitions
from pipeline.settings import Params

ROOT = Path(__file__).parents[2]

Notify = Callable[..., int]


@pytest.fixture
def running() -> Iterator[Receiver]:
    with receiver() as mine:
        yield mine


@pytest.fixture
def name(running: Receiver) -> str:
    """Of the receiver."""
    return f"{running.url.removeprefix('http://')}/moved"


@pytest.fixture
def reg(running: Receiver, empty_database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Registry:
    """A registry with three versions in a project that names one receiver."""
    content = yaml.safe_load((ROOT / "params.yaml").read_text())
    content["promote"]["notify"] = [{"url": f"{running.url}/moved", "secret_env": "HOOK_SECRET"}]
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(content))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOOK_SECRET", SECRET)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{shutil.copy(empty_database, tmp_path / 'mlflow.db')}")
    monkeypatch.setattr(transitions, "CONFIRM", 0.0)
    monkeypatch.setattr(delivery, "PAUSE", 0.01)
    made = Registry(params.load(tmp_path / "params.yaml", Params).resolve)
    for key in "abc":
        register(made, key, sources=f"data-{key}", lineage=f"lineage-{key}")
    return made


def moved(reg: Registry, *numbers: int) -> None:
    for number in numbers:
        promote(reg, number)


def notify(*words: Any) -> int:
    return command.main(["notify", *map(str, words)])


def test_it_sends_what_waits_and_says_so(reg, running, name, capsys):
    moved(reg, 1)
    assert notify() == 0
    assert running.numbers == [1]
    first, last = capsys.readouterr().out.splitlines()
    assert first.startswith(f"notify: {name} has event 1: 20")
    assert last == "notify: 1 receiver: all events delivered"
    assert notify() == 0
    assert running.numbers == [1]


def test_while_something_is_not_delivered_the_exit_code_is_5(reg, running, name, capsys):
    moved(reg, 1)
    running.answer = lambda _: 503
    assert notify() == 5
    said = capsys.readouterr()
    assert f"warning: {name} has not event 1: it is not well, or busy (503)" in said.out
    (line,) = said.err.splitlines()
    assert line == (
        f"notify: error: {name} could not be told all, for the reasons above; expected each receiver to have all "
        "events; nothing is lost; mend what stands in the way, then run the same again"
    )
    running.answer = lambda _: 200
    assert notify() == 0
    assert running.numbers[-1] == 1


def test_a_secret_that_is_not_set_loses_nothing(reg, running, name, monkeypatch, capsys):
    moved(reg, 1)
    monkeypatch.delenv("HOOK_SECRET")
    assert notify() == 5
    expected = (
        f"the environment variable HOOK_SECRET is not set; expected the secret that {name} knows; set it, in CI as"
    )
    assert expected in capsys.readouterr().out
    monkeypatch.setenv("HOOK_SECRET", SECRET)
    assert notify() == 0
    assert running.numbers == [1]


def test_a_move_by_hand_is_noticed_and_sent(reg, running):
    moved(reg, 1)
    assert notify() == 0
    reg._client.set_registered_model_alias(reg.name, "champion", "3")
    assert notify() == 0
    assert running.got[-1].message["type"] == "champion.moved"


def test_an_alias_that_is_gone_holds_up_nothing_that_is_written_already(reg, running, capsys):
    moved(reg, 1)
    reg._client.delete_registered_model_alias(reg.name, "champion")
    assert notify() == 0
    assert running.numbers == [1]
    assert "notify: warning: alias champion of evergreen is gone" in capsys.readouterr().out


def test_a_dry_run_shows_what_would_be_sent_and_changes_nothing(reg, running, name, monkeypatch, capsys):
    moved(reg, 1, 2)
    monkeypatch.delenv("HOOK_SECRET")
    before = Path("mlflow.db").read_bytes()
    assert notify("--dry-run") == 0
    head, body = capsys.readouterr().out.split("\n", 1)
    event = list(Transitions(reg).chain())[-1]
    assert head == f"notify: event 2 to {name}, id {event.hash}:"
    assert json.loads(body)["data"]["event"]["version"] == 2
    assert notify("--dry-run", "--since", 1) == 0
    assert capsys.readouterr().out.count(f" to {name}, id ") == 2
    assert notify("--dry-run", "--again", 1) == 0
    assert f"event 1 to {name}, id" in capsys.readouterr().out
    assert Path("mlflow.db").read_bytes() == before
    assert running.got == []


def test_since_and_again_send_what_was_sent(reg, running, capsys):
    moved(reg, 1, 2, 3)
    assert notify() == 0
    assert notify("--again", 2) == 0
    assert "has event 2 again" in capsys.readouterr().out
    assert notify("--since", 2) == 0
    assert running.numbers == [3, 2, 2, 3]
    assert len({got.id for got in running.got}) == 2
    running.answer = lambda _: 400
    assert notify("--again", 2) == 5
    assert "event 2 was not delivered again: 127.0.0.1" in capsys.readouterr().err


def test_an_event_that_is_refused_for_ever_can_be_left_out_as_the_message_says(reg, running, name, capsys):
    moved(reg, 1)
    assert notify() == 0
    moved(reg, 2, 3)
    running.answer = lambda got: 400 if got.message["data"]["number"] == 2 else 200
    assert notify() == 5
    command_told = f"`python -m pipeline notify --skip 2 --to '{name}'`"
    assert f"mend the receiver, or leave this event out: {command_told}" in capsys.readouterr().out
    assert notify("--skip", 3) == 5
    assert f"event 3 is not the next one for {name}, which is event 2; expected that one" in capsys.readouterr().err
    assert notify("--skip", 2, "--to", name) == 0
    assert running.numbers[-1] == 3
    assert notify("--skip", 3) == 5
    assert f"event 3 is not the next one for {name}, which is none" in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--since", "--again", "--skip"])
def test_an_event_that_there_is_not_is_named_with_those_that_there_are(reg, running, name, option, capsys):
    moved(reg, 1, 2)
    assert notify(option, 9) == 5
    expected = f"the history has no event 9 that {name} is told of; expected one of the newest: 1, 2; `python -m pip"
    assert expected in capsys.readouterr().err
    assert running.got == []


@pytest.mark.usefixtures("reg")
@pytest.mark.parametrize("text", ["0", "-1", "x"])
def test_what_is_no_number_is_refused(text, capsys):
    with pytest.raises(SystemExit, match="2"):
        notify(f"--again={text}")
    assert f"'{text}' is no number of an event; `history --json` lists them" in capsys.readouterr().err


@pytest.mark.usefixtures("reg")
def test_a_name_that_fits_nobody_is_refused(name, capsys):
    assert notify("--to", "nobody") == 3
    told = f"--to nobody fits no receiver of promote.notify; expected a part of one of: {name}"
    assert told in capsys.readouterr().err


@pytest.mark.usefixtures("reg")
def test_without_receivers_there_is_nothing_to_do(capsys):
    content = yaml.safe_load(Path("params.yaml").read_text())
    content["promote"]["notify"] = []
    Path("params.yaml").write_text(yaml.safe_dump(content))
    assert notify() == 0
    assert capsys.readouterr().out == "notify: promote.notify names no receiver; nothing to do\n"


@pytest.mark.usefixtures("reg")
def test_a_registry_that_does_not_answer_is_one_line(monkeypatch, capsys):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    assert notify() == 5
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("notify: error: ")


@pytest.mark.usefixtures("name")
def test_a_process_that_is_killed_before_it_noted_the_answer_sends_the_same_again(reg, running):
    """It is killed while the receiver, which has the event already, answers."""
    moved(reg, 1)
    running.answer = lambda _: time.sleep(60) if len(running.got) == 1 else 200
    words = [sys.executable, "-m", "pipeline", "notify"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(words, env=environment) as process:
        while not running.got and process.poll() is None:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    assert notify() == 0
    one, other = running.got
    assert (one.id, one.body) == (other.id, other.body)
    assert one.message["data"]["number"] == 1


def test_a_verb_tells_receivers_too(reg, running, monkeypatch):
    monkeypatch.setattr(setbacks, "left", lambda *_: ())  # these versions have no lineage
    moved(reg, 1)
    assert notify() == 0
    content = yaml.safe_load(Path("params.yaml").read_text())
    content["promote"]["notify"][0]["events"] = "all"
    Path("params.yaml").write_text(yaml.safe_dump(content))
    assert command.main(["reject", "2", "--why", "no"]) == 0
    assert running.got[-1].message["type"] == "challenger.rejected"
    assert running.got[-1].message["data"]["event"]["why"] == "no"

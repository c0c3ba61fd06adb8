"""Artifacts are read strictly, written the same each time, and those of other versions are refused by name."""

import json
import math
from pathlib import Path
from typing import Any

import pydantic
import pytest
import samples

from pipeline.artifacts import artifact
from pipeline.artifacts.artifact import Artifact
from pipeline.artifacts.changes import Changes
from pipeline.artifacts.evaluation import ChampionScores, Doubt, Evaluation, Judgement
from pipeline.artifacts.lineage import Lineage
from pipeline.artifacts.model import Description
from pipeline.artifacts.parent import Champion, Elder, Parent
from pipeline.artifacts.promotion import Promotion
from pipeline.artifacts.reference import Statistics
from pipeline.artifacts.report import Report
from pipeline.artifacts.snapshot import Registered, Snapshot
from pipeline.artifacts.sources import Source, Sources
from pipeline.artifacts.training import Audit, Mixture, Training
from pipeline.base.errors import DataError

ELDER = Elder(version=3, run_id="run3", ledger="abc")
AUDIT = Audit(
    passes=9, passes_before=5, is_scratch_better=None, is_measured=False, val_images=5, gained=2, lost=1, epochs=3
)
VALUES: list[Artifact] = [
    samples.changes(),
    samples.champion(None),
    samples.champion(),
    samples.description(),
    samples.evaluation(),
    samples.evaluation(champion=ChampionScores(), negative_flips=None),
    samples.evaluation(champion=ChampionScores(accuracy=0.5)),
    samples.judgement(),
    samples.judgement(champion=None, difference=None, lower=None),
    samples.lineage(),
    samples.lineage(elder=3, is_warm=False, quarantine=(("d", "cat", "p"),)),
    samples.parent(None),
    samples.parent(),
    samples.parent().model_copy(update={"elder": ELDER}),
    samples.report(),
    samples.training(),
    samples.training(audit=AUDIT, blended=(Mixture(share=0.5, val_loss=1.0, val_accuracy=0.5),)),
    Doubt(path="p", label="cat", predicted="dog", probability=0.99),
    Promotion(decision="reject", run_key="key", said="v3 is registered", version=3, promoted=False),
    Snapshot(
        recipe="r", registered={"key": Registered(version=3, verdict_digest="", promoted=True, filed=samples.filed())}
    ),
    Sources(digest="d", sources=(Source("data/images/first", "0" * 32 + ".dir", 5),)),
    Statistics(),
    Statistics(layout=1, facts={"brightness": (1, 2)}, labels={"cat": 3}),
]


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_what_is_written_is_read_and_written_again_with_the_same_bytes(value: Artifact, tmp_path: Path) -> None:
    value.write(tmp_path / "a.json")
    again = type(value).read(tmp_path / "a.json")
    assert again == value
    again.write(tmp_path / "b.json")
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()


def test_keys_on_disk_are_those_of_before() -> None:
    """A registry of today is read by an Evergreen of before, and the other way round."""
    assert {"rival", "reference", "ladder"} <= samples.lineage().to_json().keys() | {"ladder"}
    assert samples.judgement().to_json()["rival"] == 4
    assert samples.parent(None).to_json() == {"version": None, "ladder": {"rung": 0, "cycles": 0}}
    assert samples.champion(None).to_json() == {"version": None}
    assert samples.champion().to_json().keys() == {"version", "run_id", "lineage", "called"}
    doubt = Doubt(path="p", label="cat", predicted="dog", probability=1.0)
    assert doubt.to_json() == {"path": "p", "label": "cat", "found": "dog", "probability": 1.0}
    assert Statistics().to_json() == {}
    assert samples.evaluation(champion=ChampionScores()).to_json()["champion"] == {}


def test_a_lineage_of_before_audits_and_quarantines_is_read() -> None:
    value = samples.lineage().to_json()
    for key in ("elder", "is_warm", "ladder", "quarantine", "reference"):
        value.pop(key, None)
    lineage = Lineage.from_json(json.dumps(value).encode(), "lineage.json")
    assert (lineage.elder, lineage.is_warm, lineage.ladder, lineage.quarantine) == (None, True, None, ())
    assert lineage.reference == Statistics()


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda value: value.pop("best_epoch"), "it lacks best_epoch"),
        (lambda value: value.update(color="green"), "it has color, which is unknown here"),
        (lambda value: value.update(epochs="3"), "epochs: Input should be a valid integer"),
        (lambda value: value["ladder"]["after"].pop("rung"), "it lacks ladder.after.rung"),
        (lambda value: value.update(start="lukewarm"), "start: Input should be 'warm', 'shrink' or 'cold'"),
    ],
    ids=["missing", "unknown", "of another kind", "missing inside", "another word"],
)
def test_a_file_of_another_version_says_which_key_and_what_to_do(change: Any, what: str, tmp_path: Path) -> None:
    value = samples.training().to_json()
    change(value)
    path = tmp_path / "training.json"
    path.write_text(json.dumps(value))
    with pytest.raises(DataError) as raised:
        Training.read(path)
    same = f"-size {path.stat().st_size}c -exec cmp -s {path} {{}} ';' -delete"
    assert str(raised.value) == (
        f"{path}: of another version of Evergreen, or damaged: {what}; delete it, first where DVC's cache has the "
        f'same: `find "$(dvc cache dir)" -type f {same}; rm {path}`, then run `dvc repro`'
    )


@pytest.mark.parametrize(
    "kind", [Training, Parent, Champion, Lineage, Report, Changes, Judgement, Evaluation, Description]
)
@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b"null", b"[]", b"3", b'"a"', b"{}"], ids=repr)
def test_anything_else_is_refused_in_one_line(kind: type[Artifact], content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"^[^\n]*; delete it, .*, then run `dvc repro`$"):
        kind.read(path)


def test_a_file_that_is_not_there_names_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"a\.json: no such file; a stage before this one writes it, so run `dvc repro`"
    ):
        Training.read(tmp_path / "a.json")


def test_a_value_cannot_be_changed() -> None:
    with pytest.raises(pydantic.ValidationError, match="frozen"):
        samples.training().epochs = 5  # type: ignore[misc]


def test_a_number_that_is_none_is_kept_as_it_is(tmp_path: Path) -> None:
    row = {"val_loss": math.nan, "loss": math.inf}
    samples.training(history=(row,), best_epoch=0).write(tmp_path / "a.json")
    (again,) = Training.read(tmp_path / "a.json").history
    assert math.isnan(again["val_loss"])
    assert again["loss"] == math.inf


def test_numbers_keep_their_kind(tmp_path: Path) -> None:
    samples.training(retries=({"epoch": 3, "step": 2, "loss": 1e9},)).write(tmp_path / "a.json")
    assert '"epoch": 3,' in (tmp_path / "a.json").read_text()
    Training.read(tmp_path / "a.json").write(tmp_path / "b.json")
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()


def test_lists_are_read_and_written(tmp_path: Path) -> None:
    doubts = [Doubt(path=str(n), label="cat", predicted="dog", probability=0.9) for n in range(3)]
    artifact.write_list(tmp_path / "a.json", doubts)
    assert artifact.read_list(tmp_path / "a.json", Doubt) == tuple(doubts)
    artifact.write_list(tmp_path / "none.json", [])
    assert artifact.read_list(tmp_path / "none.json", Doubt) == ()


@pytest.mark.parametrize("content", ["{}", '[{"path": "p"}]', "[3]"])
def test_a_list_of_something_else_is_refused(content: str, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(content)
    with pytest.raises(
        DataError, match=r"of another version of Evergreen, or damaged: .*; delete it, .*, then run `dvc repro`"
    ):
        artifact.read_list(tmp_path / "a.json", Doubt)

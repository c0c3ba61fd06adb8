"""The benchmark of wrong labels: it plants what it says, trains as the product does, and its figures are right."""

import io
import json
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.labels import __main__ as command
from benchmarks.labels import heads, lab, pictures, planting, results
from benchmarks.labels.lab import Played, Rules, Sizes, Start
from benchmarks.labels.pictures import Collection
from benchmarks.labels.planting import KINDS, PATCHED

NAMES = ("glass", "metal", "paper", "plastic")
COUNT, FEATURES = 1200, 24


@pytest.fixture(scope="module")
def collection() -> Collection:
    """Features around one place for each label."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, len(NAMES), COUNT)
    places = rng.normal(0, 1, (len(NAMES), FEATURES))
    plain = (places[labels] + rng.normal(0, 1.2, (COUNT, FEATURES))).astype(np.float16)
    blank = np.repeat(rng.normal(0, 1, (1, FEATURES)), pictures.BLANKS, axis=0).astype(np.float16)
    return Collection("made", labels, NAMES, plain, plain + np.float16(0.1), plain + np.float16(1), blank)


@pytest.fixture(scope="module")
def start(collection: Collection) -> Start:
    rules = Rules.of_product()
    fast = rules.train.model_copy(update={"learning_rate": 0.01})
    return Start(collection, Sizes(600, 240), replace(rules, train=fast), 3)


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_plants_what_it_says(collection: Collection, kind: str) -> None:
    rng, rows = np.random.default_rng(1), np.arange(300)
    batch = KINDS[kind](collection, planting.clean(collection, rows, rng), rng)
    truth, is_other = collection.labels[rows], (batch.features != collection.plain[rows]).any(axis=1)
    if "% wrong" in kind:
        assert batch.is_wrong.mean() == pytest.approx(float(kind.partition(" ")[0]) / 100)
    if kind == "blank images":
        assert np.array_equal(batch.is_wrong, is_other)
        assert np.array_equal(batch.labels, truth)
        assert batch.is_wrong.sum() == 30
    else:
        assert np.array_equal(batch.is_wrong, batch.labels != truth)
    if kind == PATCHED:
        assert np.array_equal(is_other, batch.is_wrong)
        assert batch.is_wrong.sum() == 15
        assert set(batch.labels[batch.is_wrong]) == {NAMES.index(batch.fault[1])}  # type: ignore[index]
    if kind == "one label into another":
        assert len(set(truth[batch.is_wrong])) == 1
    if kind == "one careless annotator":
        assert {batch.annotators[row] for row in np.flatnonzero(batch.is_wrong)} == {batch.fault[1]}  # type: ignore[index]
    assert batch.is_wrong.any() == ("clean" not in kind)
    assert is_other.all() == (kind == "clean, another camera")


def test_pictures_are_changed_as_is_said() -> None:
    plain = np.random.default_rng(0).integers(0, 256, (3, 96, 96, 3), np.uint8)
    patched, dimmed = pictures.patched(plain), pictures.dimmed(plain)
    changed = (patched != plain).any(axis=(0, 3))
    assert changed[-pictures.PATCH :, -pictures.PATCH :].mean() > 0.9
    assert changed.sum() == changed[-pictures.PATCH :, -pictures.PATCH :].sum()
    assert dimmed.mean() < 0.8 * plain.mean()
    assert (pictures.blanks().std(axis=(1, 2)) == 0).all()


@pytest.mark.project
def test_a_head_is_trained_as_the_product_trains_it(collection: Collection) -> None:
    from benchmarks.learning.lab import Nowhere, Quiet
    from pipeline.data.dataset import Part
    from pipeline.learning import backend, model
    from pipeline.learning.engine import Engine
    from pipeline.learning.fit import Parts, Session, fit

    train = Rules.of_product().train.model_copy(update={"learning_rate": 0.003})
    begun = heads.fresh(FEATURES, len(NAMES), np.random.default_rng(0))
    features, labels = collection.plain, collection.labels.astype(np.int64)
    layers = backend.keras().layers
    shown = layers.Input((FEATURES,))
    network = backend.keras().Model(shown, layers.Dense(len(NAMES))(shown))
    engine = Engine(network, model.optimizer(train), train, has_features=True)
    engine.begin({"0000": begun.weights[:-1], "0001": begun.weights[-1]}, model.arrays(engine.optimizer.variables))
    digests = tuple(f"{row:032x}" for row in range(COUNT))
    parts = Parts(*(Part(features[some], labels[some], digests[some]) for some in (slice(400), slice(400, 600))))
    by_product = fit(engine, parts, train, Session(Nowhere(), Quiet())).weights
    own = heads.fitted(
        begun, features[:400], labels[:400], (features[400:600], labels[400:600]), train, np.random.default_rng(1)
    )
    theirs = heads.Head(np.vstack([by_product["0000"], by_product["0001"]]))
    given = [head.logits(features[600:]) for head in (own, theirs)]
    assert np.corrcoef(given[0].ravel(), given[1].ravel())[0, 1] > 0.995
    assert (given[0].argmax(axis=1) == given[1].argmax(axis=1)).mean() > 0.97
    assert np.std(given[0]) == pytest.approx(np.std(given[1]), rel=0.1)


def test_a_planted_batch_is_held_back_and_a_clean_one_is_not(start: Start) -> None:
    clean, wrong = start.play("clean"), start.play("60 % wrong")
    for way in lab.WAYS:
        assert clean.ways[way]["is_trusted"], way
        assert clean.ways[way]["recall"] is None
        assert not wrong.ways[way]["is_trusted"], way
        assert wrong.ways[way]["verdict"] != "promote", way
        assert wrong.ways[way]["recall"] > 0.9
        lower, upper = wrong.ways[way]["share"][1:]
        assert lower <= 0.6 <= upper
    assert wrong.wrong == pytest.approx(0.6)
    assert start.play("one label into another").ways["features"]["named"]


def one(champion: float, challenger: float, by_gate: str, verdict: str, recall: float | None = 0.9) -> Played:
    told = {
        "verdict": verdict, "is_trusted": verdict != "held back", "is_doubtful": False, "is_other": False,
        "share": (0.1, 0.05, 0.15), "recall": recall, "named": None, "faults": [],
    }  # fmt: skip
    return Played("10 % wrong", 0, champion, challenger, 0.0, 0.1, by_gate, dict.fromkeys(lab.WAYS, told))


def test_figures_count_what_was_promoted_and_worse() -> None:
    played = [
        one(0.8, 0.79, "promote", "promote"), one(0.8, 0.79, "promote", "held back", 0.5),
        one(0.8, 0.81, "promote", "promote"), one(0.8, 0.7, "reject", "reject"),
    ]  # fmt: skip
    found = results.figures(played)
    assert (found["worse"], found["promoted_by_gate"], found["worse_by_gate"]) == (3, 3, 2)
    told = found["features"]
    assert (told["promoted"], told["worse"], told["held_back"]) == (2, 1, 1)
    assert (told["recall"], told["least_recall"], told["covered"]) == (0.8, 0.5, 1.0)


def test_targets_are_missed_where_a_champion_is_worse_or_clean_batches_are_held_back() -> None:
    good = results.figures([one(0.8, 0.81, "promote", "promote")])
    worse = results.figures([one(0.8, 0.79, "promote", "promote", 0.7)])
    held = results.figures([one(0.8, 0.81, "promote", "held back")])
    kinds = dict.fromkeys(planting.ASKED, good)
    assert all(target["ok"] for target in results.targets({"made": kinds}).values())
    missed = results.targets({"made": kinds | {"10 % wrong": worse, "clean": held}})
    assert [target["ok"] for target in missed.values()] == [False] * 6


def test_it_writes_what_it_found(
    collection: Collection, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pictures, "load", lambda *_: collection)
    options = ["--images", str(tmp_path / "made.tar"), "--weights", "w.npz", "--seeds", "2", "--quick",
               "--work", str(tmp_path / "work"), "--out", str(tmp_path / "out")]  # fmt: skip
    assert command.main(options) in (0, 1)
    last = json.loads(capsys.readouterr().out.splitlines()[-1])
    made = json.loads((tmp_path / "out/labels.json").read_text())
    assert made["ok"] == last["ok"] == all(target["ok"] for target in made["targets"].values())
    assert set(made["collections"]["made"]) == set(planting.ASKED)
    assert made["collections"]["made"]["clean"]["batches"] == 2
    assert str(tmp_path) not in made["command"]
    assert (tmp_path / "out/labels.md").read_text() == results.page(made)
    again = [path.stat().st_mtime_ns for path in sorted((tmp_path / "work").iterdir())]
    assert command.main(options) in (0, 1)
    assert [path.stat().st_mtime_ns for path in sorted((tmp_path / "work").iterdir())] == again, "played once"


def test_collections_are_read_from_folders_and_archives(tmp_path: Path) -> None:
    picture = io.BytesIO()
    Image.new("RGB", (8, 8)).save(picture, "JPEG")
    with tarfile.open(tmp_path / "made.tar", "w") as archive:
        for name in ("train/glass/1.jpg", "train/metal/1.jpg", "test/metal/2.jpg"):
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_bytes(picture.getvalue())
            archive.add(tmp_path / name, name)
    packed = pictures.read(tmp_path / "made.tar")
    assert {label: len(some) for label, some in packed.items()} == {"glass": 1, "metal": 1}
    assert pictures.read(tmp_path / "train") == packed
    with pytest.raises(SystemExit, match="expected a folder for each label"):
        pictures.read(tmp_path / "nothing")

"""The photos benchmark: its streams, arms and arithmetic, and that its lab trains as the product does."""

import itertools
import json
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from benchmarks import trials
from benchmarks.photos import __main__ as command
from benchmarks.photos import annealing, arms, cycle, photos, results, script
from benchmarks.photos.arms import ARMS, Source
from benchmarks.photos.lab import Lab
from benchmarks.photos.photos import Photos
from benchmarks.photos.streams import STREAMS, Stream, first_of, growing, widening
from benchmarks.trials import Trial
from pipeline.base import params
from pipeline.settings import Params

NAMES = ("blue", "green", "grey", "red", "white", "yellow")
COLOURS = np.array([[0, 0, 255], [0, 200, 0], [120, 120, 120], [255, 0, 0], [255, 255, 255], [220, 220, 0]])


@pytest.fixture(scope="module")
def drawn() -> Photos:
    """As many as the streams need, without pixels; one label is rare."""
    rng = np.random.default_rng(0)
    labels = rng.choice(6, 2_500, p=[0.17, 0.2, 0.17, 0.23, 0.18, 0.05])
    digests = tuple(f"{number:032x}" for number in rng.permutation(2_500))
    return Photos(NAMES, labels, digests, *photos.split(digests, 500, 0.15), np.zeros((2_500, 0, 0, 3), np.uint8))


@pytest.fixture
def source(tmp_path: Path) -> Source:
    (tmp_path / "weights.npz").write_bytes(b"weights")
    return Source(tmp_path, tmp_path / "weights.npz", "EfficientNetLite0", 96)


@pytest.mark.parametrize("stream", STREAMS)
@pytest.mark.parametrize("seed", [0, 1])
def test_streams_only_grow_and_never_show_what_tests(drawn: Photos, stream: str, seed: int, source: Source) -> None:
    cycles = STREAMS[stream].make(drawn, np.random.default_rng(seed))
    above = arms.train_of(ARMS["recipe"], source).audit_above
    assert above is not None
    for before, now in itertools.pairwise(cycles):
        assert now.num_new <= above * len(before.came), "no cycle is audited for what it brings"
        assert np.array_equal(now.came[: -now.num_new], before.came)
        assert len(set(now.came)) == len(now.came) == len(before.came) + now.num_new
        assert not drawn.is_test[now.came].any()
        assert set(drawn.labels[now.came]) == set(now.labels)
        assert now.labels[: len(before.labels)] == before.labels, "outputs stay where they are"
        assert (now.newcomer is not None) == (len(now.labels) > len(before.labels))
    assert STREAMS[stream].scored[-1] == len(cycles) - 1
    assert STREAMS[stream].size == len(cycles[-1].came)
    (first, *_) = STREAMS[first_of(stream)].make(drawn, np.random.default_rng(seed))
    assert np.array_equal(cycles[0].came, first.came)
    assert cycles[0].labels == first.labels
    assert any(after - before == 1 for before, after in itertools.pairwise(STREAMS[stream].scored)), "scratch's flips"


def test_sizes_are_those_of_the_protocol(drawn: Photos) -> None:
    def sizes(stream: str) -> list[int]:
        return [len(now.came) for now in STREAMS[stream].make(drawn, np.random.default_rng(0))]

    assert sizes("P1") == list(range(600, 1801, 150))
    assert sizes("P3") == list(range(1600, 1801, 20))


@pytest.mark.parametrize(("stream", "each"), [("P2", 75), ("P2-20", 20), ("P2-10", 10), ("P2-5", 5)])
def test_a_new_label_comes_with_so_many_training_photographs(drawn: Photos, stream: str, each: int) -> None:
    for seed in range(5):
        cycles = STREAMS[stream].make(drawn, np.random.default_rng(seed))
        for now in cycles[1::2]:
            assert now.newcomer == now.labels[-1]
            new = now.came[-now.num_new :]
            assert (drawn.labels[now.came] == now.newcomer).sum() == (drawn.labels[new] == now.newcomer).sum()
            assert ((drawn.labels[new] == now.newcomer) & ~drawn.is_val[new]).sum() == each
        assert {now.newcomer for now in cycles[::2]} == {None}


def test_the_photographs_that_test_are_the_same_whatever_the_seed_and_others_validate(drawn: Photos) -> None:
    assert drawn.is_test.sum() == 500
    assert not (drawn.is_test & drawn.is_val).any()
    assert 0.12 < drawn.is_val[~drawn.is_test].mean() < 0.18
    turned = photos.split(drawn.digests[::-1], 500, 0.15)
    assert np.array_equal(turned[0][::-1], drawn.is_test), "each has its own draw"
    assert np.array_equal(turned[1][::-1], drawn.is_val)


def test_the_recipe_is_the_defaults_for_a_pretrained_network(source: Source) -> None:
    ours = arms.train_of(ARMS["recipe"], source)
    plain = params.load(arms.CHECKOUT / "params.yaml", Params)
    differing = {name for name in type(ours).model_fields if getattr(ours, name) != getattr(plain.train, name)}
    automatic = {"learning_rate", "warm_rate", "passes_per_new", "warm_epochs", "max_epochs", "patience", "replay",
                 "repeat_new", "blend", "warm_average"}  # fmt: skip
    assert differing <= {"architecture", "pretrained", "threads"} | automatic
    assert ours.learning_rate == 0.0003
    assert arms.settings(ARMS["recipe"], source).prepare.replay == plain.prepare.replay
    small = arms.train_of(ARMS["small"], source)
    assert small == plain.train.model_copy(update={"threads": 1})
    assert arms.size_of(ARMS["small"], source) == 32


def test_every_arm_is_other_settings_or_another_start(source: Source) -> None:
    seen = [json.dumps(arms.key(arm, source, "photos"), sort_keys=True) for arm in ARMS.values()]
    assert len(set(seen)) == len(ARMS)


def test_scratch_is_not_played_again_where_only_warm_starts_changed(source: Source) -> None:
    def key(arm: str, **changes: object) -> object:
        one = ARMS[arm]
        return arms.key(replace(one, changes={**one.changes, **changes}), source, "photos")

    assert key("scratch") == key("scratch", warm_rate=7.0)
    assert key("scratch") != key("scratch", learning_rate=7.0)
    assert key("recipe") != key("recipe", warm_rate=7.0)


def test_audits_cost_the_arms_that_pass_photographs_through_all_for_them(source: Source) -> None:
    every = arms.train_of(ARMS["recipe"], source).audit_every
    assert every is not None
    assert arms.audit_share(ARMS["recipe"], source) == 1 / every
    assert arms.audit_share(ARMS["scratch"], source) == arms.audit_share(ARMS["head"], source) == 0


def test_a_cosine_rises_for_some_steps_and_falls_to_nothing() -> None:
    rates = [annealing.cosine(step, 200) for step in range(1, 201)]
    assert rates[0] < 0.1
    assert max(rates) == rates[annealing.WARM_UP - 1] > 0.95
    assert rates[99] == pytest.approx(0.5)
    assert rates[-1] == 0


def played(
    right: list[list[int]], cycles: list[int], passes: list[float], newest: list[list[int]] | None = None
) -> dict[str, object]:
    """An outcome: which test photographs are right, first before any cycle; which have a new label, by cycle."""
    bits = np.array(right, bool)
    new = np.array(newest or np.zeros_like(bits[1:]), bool)
    missing = -bits.shape[1] % 8
    both = np.concatenate([np.zeros_like(bits[:1]), bits[1:] & new])
    return {
        "cycle": np.array(cycles),
        "accuracy": bits[1:].mean(axis=1),
        "passes": np.array(passes),
        "forward": np.array(passes) * 0 + 150,
        "seconds": np.array(passes) / 10,
        "num_newest": new.sum(axis=1),
        "right": np.packbits(np.pad(bits, ((0, 0), (0, missing))), axis=1),
        "newest": np.packbits(np.pad(both, ((0, 0), (0, missing))), axis=1),
    }


def test_a_new_label_is_scored_right_after_its_cycle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(STREAMS, "P2", replace(STREAMS["P2"], scored=(1, 2)))
    new = [[0, 0, 1, 1], [0, 0, 0, 0]]
    ours = played([[0] * 4, [1, 0, 1, 0], [1, 1, 1, 1]], [1, 2], [9.0] * 2, new)
    scratch = played([[0] * 4, [1, 1, 0, 0], [1, 1, 1, 1]], [1, 2], [90.0] * 2, new)
    found = results.newest([(ours, scratch)] * 2, "P2")
    assert found is not None
    assert found["accuracy"] == 0.5
    assert found["difference"] == 50
    none = played([[0] * 4, [1, 0, 1, 0], [1, 1, 1, 1]], [1, 2], [9.0] * 2)
    assert results.newest([(none, none)], "P2") is None


def test_what_is_written_is_json_and_a_table_and_a_plot_are_made_of_it(tmp_path: Path, source: Source) -> None:
    found = {}
    for number, (seed, arm) in enumerate(itertools.product([0, 1], ("scratch", "recipe", "head", "head scratch"))):
        right = np.random.default_rng(number).integers(0, 2, (9, 16)).tolist()
        found[Trial("P1", seed, arm)] = played(right, [*range(1, 9)], [9.0] * 8)
    summary = results.summary(found, ["P1"], [0, 1], source)
    written = results.write({"P1": {**summary["P1"], "command": "python"}}, tmp_path)
    rows = json.loads((tmp_path / "photos.json").read_text())["streams"]["P1"]["arms"]
    assert json.dumps(rows, allow_nan=False)
    assert list(rows) == ["scratch", "recipe", "head", "head scratch"]
    assert rows["recipe"]["cost"] == 1.01, "with its share of an audit"
    assert rows["head"]["against_head_scratch"]["difference"] == pytest.approx(
        rows["head"]["difference"] - rows["head scratch"]["difference"], abs=0.011
    )
    assert not written["ok"], "the targets are for five seeds"
    assert len([line for line in results.table(written).splitlines() if line.startswith("| ")]) == 1 + 4
    assert "best practice" in (tmp_path / "photos.md").read_text()
    assert len(results.overview(written).splitlines()) == 2 + 2
    with Image.open(tmp_path / "photos.png") as picture:
        assert picture.size == (500, 850)

    took = {"seconds": 30.0, "old_passed": 0}
    again = results.write({}, tmp_path, cycle=took)
    assert list(again["streams"]) == ["P1"], "what was there stays"
    assert again["targets"]["a cycle with tune: head is quick"]["ok"]
    sizes = {"64": {"difference": 0.0}, "96": {"difference": 4.0}}
    assert results.write({}, tmp_path, script=sizes)["cycle"] == took
    assert results.write({}, tmp_path)["script"] == sizes


@pytest.mark.parametrize(
    ("changes", "holds"),
    [({}, (True, True)), ({"seeds": 4}, (False, False)), ({"interval": [-0.5, 1]}, (False, False)),
     ({"cost": 0.2}, (True, False)), ({"cost": 0.26}, (False, False))],
    ids=["met", "too few seeds", "maybe worse", "not the goal", "too dear"],
)  # fmt: skip
def test_the_must_and_the_goal_are_surely_not_worse_and_cheap(changes, holds) -> None:
    row = {"seeds": 5, "interval": [-0.49, 0.2], "cost": 0.15, **changes}
    asked = results.targets({"P1": {"arms": {"recipe": row}}}, None, None)
    assert tuple(asked[f"recipe on P1, {kind}"]["ok"] for kind in ("must", "goal")) == holds
    assert not asked["recipe on P2, must"]["ok"], "what was not measured does not hold"


@pytest.mark.parametrize(("difference", "forward", "holds"), [(-0.3, 150, (1, 1)), (-0.31, 151, (0, 0))])
def test_tune_head_is_as_good_as_its_twin_at_one_pass_forward(difference, forward, holds) -> None:
    row = {"seeds": 5, "forward": forward, "against_head_scratch": {"difference": difference}}
    asked = results.targets({"P1": {"arms": {"head": row}}}, {"seconds": 46.0, "old_passed": 1}, None)
    assert [one["ok"] for one in list(asked.values())[:4]] == [*holds, False, False]


@pytest.mark.parametrize(("differences", "holds"), [((0.0, 4.0), True), ((-0.2, 4.0), False), ((), False)])
def test_the_network_without_weights_is_not_behind_a_script_at_any_size(differences, holds) -> None:
    compared = {str(number): {"difference": value} for number, value in enumerate(differences)}
    (asked,) = [one for name, one in results.targets({}, None, compared).items() if "script" in name]
    assert asked["ok"] == holds


def test_photographs_that_pass_the_network_are_counted_by_what_prepare_says() -> None:
    said = (
        "prepare: features: 1,100 images to go through EfficientNetLite0; 1,000 of them are known and go through it "
        "again: none were kept\n"
        "prepare: features: 1 image to go through EfficientNetLite0\n"
        "prepare: 80 train, 11 val\n"
    )
    assert cycle.through(said) == (1101, 1000)
    assert cycle.through("prepare: 80 train") == (0, 0)


def painted(folder: Path, each: int = 24) -> Path:
    """Photographs: noisy squares, a colour for each label."""
    rng = np.random.default_rng(0)
    for name, colour in zip(NAMES, COLOURS, strict=True):
        (folder / name).mkdir(parents=True)
        for number in range(each):
            pixels = np.clip(colour + rng.normal(0, 60, (16, 16, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{number}.jpg")
    return folder


def test_a_photograph_that_is_there_twice_counts_once_and_an_archive_is_unpacked(tmp_path: Path) -> None:
    folder = painted(tmp_path / "painted", 3)
    (folder / "blue" / "again.jpg").write_bytes((folder / "blue" / "0.jpg").read_bytes())
    there = photos.listed(folder)
    assert there.names == NAMES
    assert len(there.paths) == 18
    with tarfile.open(tmp_path / "painted.tar", "w") as archive:
        archive.add(folder, ".")
    (tmp_path / "work").mkdir()
    unpacked = photos.unpacked(tmp_path / "painted.tar", tmp_path / "work")
    assert photos.listed(unpacked).digest == there.digest


@pytest.mark.parametrize(
    ("images", "weights", "said"),
    [
        ("none.tar", "weights.npz", r"none.tar: not there; expected a folder with one folder per label, or a tar"),
        ("empty", "weights.npz", r"empty: expected a folder for each label with photographs"),
        ("painted", "none.npz", r"none.npz: not there; expected pretrained weights of EfficientNetLite0"),
        ("painted", "weights.npz", r"painted: 12 photographs; the streams need 900; see --streams"),
    ],
)
def test_what_is_not_there_is_refused_by_name(tmp_path: Path, images: str, weights: str, said: str) -> None:
    painted(tmp_path / "painted", 2)
    (tmp_path / "empty").mkdir()
    (tmp_path / "weights.npz").write_bytes(b"weights")
    given = ["--images", str(tmp_path / images), "--weights", str(tmp_path / weights)]
    with pytest.raises(SystemExit, match=said):
        command.main([*given, "--work", str(tmp_path / "work"), "--quick"])


def test_too_few_photographs_for_the_cycles_are_refused(tmp_path: Path, source: Source) -> None:
    there = photos.listed(painted(tmp_path / "painted", 2))
    with pytest.raises(SystemExit, match=r"12 photographs; expected 2300 or more for 3 cycles"):
        cycle.measure(there, source, 3, None)


def tiny(image_shape: tuple[int, int, int], num_labels: int):
    """A network that stands for a pretrained one."""
    from pipeline.learning import model

    layers = model.keras().layers
    inputs = layers.Input(image_shape)
    x = layers.Rescaling(1 / 127.5, offset=-1)(inputs)
    x = layers.Conv2D(6, 3, activation="relu", use_bias=False, name="block1_conv")(x)
    x = layers.GlobalAveragePooling2D()(x)
    return model.keras().Model(inputs, layers.Dense(num_labels, name="logits")(x))


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    """Of small pictures, with streams of few of them."""
    monkeypatch.setattr(photos, "TESTED", 40)
    monkeypatch.setitem(STREAMS, "P1", Stream("grows", growing(40, 10, 2), (1, 2), 60))
    monkeypatch.setitem(STREAMS, "P2", Stream("widens", widening(30, 10, 4), (1, 2), 90))
    kernel = np.zeros((3, 3, 3, 6), np.float32)
    kernel[1, 1] = np.concatenate([np.eye(3), -np.eye(3)], axis=1) * 8  # features are how much there is of each colour
    np.savez(tmp_path / "weights.npz", **{"0000 kernel": kernel})
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(Path(__file__).parent)  # networks of one's own are files of the project
    source = Source(painted(tmp_path / "painted"), tmp_path / "weights.npz", f"{__name__}:tiny", 8)
    return Lab(source, tmp_path / "work")


@pytest.mark.project
def test_every_arm_plays_and_pays_what_it_has_to(lab: Lab) -> None:
    found = {arm: lab.run(Trial("P1", 0, arm)) for arm in ARMS if "P1" in ARMS[arm].streams}
    for arm, one in found.items():
        assert one["cycle"] == [1, 2], arm
        assert one["right"].shape == (3, 5)
        assert one["num_newest"] == [0, 0]
    for arm in ("head", "head scratch"):
        assert found[arm]["forward"] == [10, 10], "each new photograph once, and no old one"
        assert found[arm]["passes"] == [10 / 3, 10 / 3]
    assert found["scratch"]["forward"] == [50, 60], "the head first, on the features of all"
    assert min(found["scratch"]["passes"]) > 50
    assert found["scratch cosine"]["epochs"] == [8, 8]
    assert found["small"]["forward"] == found["recipe"]["forward"] == [0, 0]
    assert max(found["recipe"]["epochs"]) <= 2
    assert min(found["small"]["accuracy"]) > 0.5, "colours are easily told"


@pytest.mark.project
def test_new_labels_begin_with_their_mean_features_but_where_an_arm_says_otherwise(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ("head", "head, fresh outputs", "recipe", "recipe, fresh outputs")
    for arm in ("head", "head, fresh outputs"):  # as is right for six features
        monkeypatch.setitem(ARMS, arm, replace(ARMS[arm], changes={"tune": "head", "head_rate": 0.1, "patience": 9}))
    found = {arm: lab.run(Trial("P2", 0, arm)) for arm in names}
    for one in found.values():
        assert one["cycle"] == [*range(1, 7)]
        assert [count > 0 for count in one["num_newest"]] == [True, False] * 3
        new = np.unpackbits(one["newest"], axis=1)[1:].sum(axis=1)
        assert (new <= one["num_newest"]).all()
    for arm in ("head", "recipe"):
        with_mean, at_random = found[arm]["newest"], found[f"{arm}, fresh outputs"]["newest"]
        assert np.unpackbits(with_mean).sum() >= np.unpackbits(at_random).sum()
    assert min(found["head"]["accuracy"]) > 0.5, "outputs go with their labels, in whatever order these come"
    assert found["recipe"]["forward"][0] > found["recipe, fresh outputs"]["forward"][0] == 0
    assert found["head"]["forward"] == found["head, fresh outputs"]["forward"] == [10] * 6


@pytest.mark.project
def test_a_trial_has_the_same_outcome_each_time(lab: Lab) -> None:
    one, two = (lab.run(Trial("P1", 1, "recipe")) for _ in range(2))
    assert np.array_equal(one["right"], two["right"])
    assert one["passes"] == two["passes"]
    other = lab.run(Trial("P1", 2, "recipe"))
    assert not np.array_equal(one["right"], other["right"])


def test_a_trial_that_is_done_is_not_played_again(tmp_path: Path) -> None:
    place = trials.place(tmp_path, Trial("P1", 0, "head scratch"), "0123456789abcdef")
    assert place.name == "P1-0-head_scratch-0123456789ab.npz"
    np.savez(place, accuracy=[0.5])

    def no_lab() -> trials.Player:
        raise AssertionError

    found = dict(trials.play({Trial("P1", 0, "head scratch"): place}, no_lab, 1, hash, bool))
    assert found[Trial("P1", 0, "head scratch")]["accuracy"] == [0.5]


@pytest.mark.project
def test_the_network_without_weights_gets_as_many_seconds_as_the_script(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(photos, "TESTED", 40)
    monkeypatch.setattr(script, "SIZES", (16,))
    monkeypatch.setattr(script, "MOST", 2)
    monkeypatch.setattr(script, "_apart", lambda train, *given: train(*given))
    source = Source(painted(tmp_path / "painted"), tmp_path / "none", "EfficientNetLite0", 96)
    found = script.measure(photos.listed(source.images), source, tmp_path, [0])["16"]
    assert found["seeds"] == 1
    assert found["difference"] == pytest.approx(100 * (found["photo_cnn"] - found["script"]), abs=0.01)
    assert min(found["script_seconds"][0], found["seconds"][0]) > 0
    brief = script.by_product(photos.listed(source.images), source, tmp_path, 16, 0, 0.01)
    assert brief["epochs"] <= 1, "it ends when its seconds are over"


@pytest.fixture(scope="module")
def committed() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((arms.CHECKOUT / "benchmarks/results/photos.json").read_text())
    return found


def test_the_committed_results_are_of_todays_defaults(committed: dict[str, Any], source: Source) -> None:
    today = json.loads(json.dumps(arms.trained_by(ARMS["recipe"], source)))
    assert [content["settings"] for content in committed["streams"].values()] == [today] * len(committed["streams"])


def test_the_committed_targets_and_table_are_those_of_the_results(committed: dict[str, Any]) -> None:
    asked = results.targets(committed["streams"], committed["cycle"], committed["script"])
    assert committed["targets"] == json.loads(json.dumps(asked))
    assert (arms.CHECKOUT / "benchmarks/results/photos.md").read_text() == results.page(committed)


def test_the_readme_has_the_numbers_of_the_photographs(committed: dict[str, Any]) -> None:
    text = (arms.CHECKOUT / "README.md").read_text()
    assert results.overview(committed) in text
    assert f"{committed['cycle']['seconds']:.0f} s" in text
    few = committed["streams"]["P2-10"]["arms"]
    head, fresh = (few[arm]["newest"]["accuracy"] for arm in ("head", "head, fresh outputs"))
    assert f"With `tune: head` and 10 of them, {head:.0%} of its test\nphotographs are right" in text
    assert f"brought it ({fresh:.0%} where its output begins at random)" in text

"""The learning benchmark: its streams, its arithmetic, and that what is committed is what it says."""

import itertools
import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from benchmarks import outcomes
from benchmarks.learning import __main__ as learning
from benchmarks.learning import arms as ways
from benchmarks.learning import lab, results
from benchmarks.learning.arms import ARMS
from benchmarks.learning.streams import RATIO, STREAMS, Cycle, Images
from benchmarks.trials import Trial
from benchmarks.workspace import CHECKOUT

RESULTS = CHECKOUT / "benchmarks/results"


@pytest.fixture(scope="module")
def images() -> Images:
    """As many as the streams need, of one pixel."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (12_000, 1, 1, 3)).astype(np.uint8)
    labels = np.arange(12_000) % 10
    return Images(pixels[:10_000], labels[:10_000], pixels[10_000:], labels[10_000:])


@pytest.mark.parametrize("stream", STREAMS)
@pytest.mark.parametrize("seed", [0, 1])
def test_streams_only_grow_and_never_train_on_what_validates(images: Images, stream: str, seed: int) -> None:
    cycles = STREAMS[stream].make(images, np.random.default_rng(seed))
    above = ways.train_of(ARMS["recipe"]).audit_above
    assert above is not None
    for before, cycle in itertools.pairwise(cycles):
        assert cycle.num_new <= above * len(before.train), "no cycle is audited for what it brings"
        assert np.array_equal(cycle.train[: -cycle.num_new], before.train)
        assert len(set(cycle.train)) == len(cycle.train)
        assert not set(cycle.train) & set(cycle.val)
        assert set(before.test) <= set(cycle.test)
        assert set(images.train_labels[cycle.train]) <= set(range(cycle.num_labels))
        assert set(images.test_labels[cycle.test]) == set(range(cycle.num_labels))
    assert STREAMS[stream].scored[-1] == len(cycles) - 1
    assert any(after - before == 1 for before, after in itertools.pairwise(STREAMS[stream].scored)), "scratch's flips"


def test_the_streams_of_a_seed_are_its_own(images: Images) -> None:
    make = STREAMS["S1"].make
    one, same, other = (make(images, np.random.default_rng(seed))[-1].train for seed in (0, 0, 1))
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)


def test_labels_fall_off_exponentially_in_the_imbalanced_stream_and_which_is_rare_differs(images: Images) -> None:
    rarest = set()
    for seed in range(5):
        *_, last = STREAMS["S7"].make(images, np.random.default_rng(seed))
        came = np.concatenate([last.train, last.val])
        counts = np.sort(np.bincount(images.train_labels[came], minlength=10))[::-1]
        assert counts[0] / counts[-1] == pytest.approx(RATIO, rel=0.03)
        assert counts[:-1] / counts[1:] == pytest.approx(RATIO ** (1 / 9), rel=0.05)
        rarest.add(int(np.bincount(images.train_labels[came], minlength=10).argmin()))
    assert len(rarest) > 1


def test_sizes_are_those_of_the_protocol(images: Images) -> None:
    def sizes(stream: str) -> list[int]:
        return [len(cycle.train) for cycle in STREAMS[stream].make(images, np.random.default_rng(0))]

    assert sizes("S1") == sizes("S3") == sizes("S5") == list(range(2500, 5001, 250))
    assert sizes("S2") == list(range(1000, 5001, 500))
    assert sizes("S6") == list(range(4000, 5001, 100))
    assert sizes("S7") == list(range(1600, 2561, 320))


def test_drift_is_towards_brighter_images(images: Images) -> None:
    cycles = STREAMS["S3"].make(images, np.random.default_rng(0))
    light = images.train.mean(axis=(1, 2, 3))
    for cycle in cycles[1:]:
        assert light[cycle.train[-250:]].min() >= light[cycle.train[:-250]].max()


@pytest.mark.parametrize(("of_seed", "of_image", "of_both"), [(1, 1, 1), (3, 0, 1), (0, 3, 1), (0, 0, 1)])
def test_the_interval_holds_the_truth_19_times_of_20(of_seed: float, of_image: float, of_both: float) -> None:
    """The truth is 0; seeds, images and both together vary around it."""
    rng, inside, times = np.random.default_rng(0), 0, 600
    for _ in range(times):
        gains = (
            of_seed * rng.normal(size=(5, 1)) / 20
            + of_image * rng.normal(size=(1, 200))
            + of_both * rng.normal(size=(5, 200))
        )
        low, high = outcomes.interval(gains / 200) or (0.0, 0.0)
        inside += low <= 0 <= high
    assert 0.925 < inside / times < 0.995


def test_one_seed_has_no_interval_and_what_is_the_same_none_but_zero() -> None:
    assert outcomes.interval(np.ones((1, 9))) is None
    assert outcomes.interval(np.zeros((3, 9))) == (0, 0)


def played(right: list[list[int]], cycles: list[int], passes: list[float]) -> dict[str, object]:
    """An outcome: which of four test images are right, first before any cycle."""
    bits = np.array(right, bool)
    return {
        "cycle": np.array(cycles),
        "accuracy": bits[1:].mean(axis=1),
        "passes": np.array(passes),
        "seconds": np.array(passes) / 10,
        "right": np.packbits(np.pad(bits, ((0, 0), (0, 4))), axis=1),
    }


def test_cost_is_interpolated_where_scratch_was_not_trained() -> None:
    assert outcomes.total(played([[0] * 4] * 3, [2, 4], [10.0, 30.0]), "passes") == 10 + 10 + 20 + 30


def test_negative_flips_are_counted_between_neighbouring_cycles_only() -> None:
    outcome = played([[1, 1, 1, 0], [0, 1, 1, 1], [1, 0, 0, 1], [0, 0, 0, 0]], [1, 2, 4], [1.0, 1.0, 1.0])
    assert outcomes.flipped(outcome) == pytest.approx((1 / 4 + 2 / 4) / 2)


def test_an_arm_is_compared_image_by_image(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(STREAMS, "S1", replace(STREAMS["S1"], scored=(1, 2)))
    scratch = played([[0, 0, 0, 0], [1, 0, 0, 0], [1, 1, 0, 0]], [1, 2], [100.0, 100.0])
    ours = played([[0, 0, 0, 0], [1, 1, 0, 0], [1, 1, 1, 0]], [1, 2], [10.0, 20.0])
    found = results.compared([(ours, scratch)] * 2, "S1", audits=0.05)
    assert found["difference"] == found["final_difference"] == 25.0
    assert found["by_seed"] == [25.0, 25.0]
    assert found["cost"] == pytest.approx(0.15 + 0.05)
    assert found["accuracy"] == pytest.approx((0.5 + 0.75) / 2)


def test_measures_of_an_imbalanced_stream_are_means_and_deviations_over_seeds() -> None:
    def outcome(*accuracies: float) -> dict[str, object]:
        rows = dict.fromkeys(results.MEASURES, np.array([0.0, *accuracies]))
        return {"cycle": np.array([1, 2, 3]), **rows}

    pairs = [(outcome(0.5, 0.7), outcome(0.4, 0.4)), (outcome(0.7, 0.9), outcome(0.5, 0.5))]
    for row in results.imbalanced(pairs, "S7").values():
        assert row["mean"] == pytest.approx(0.7)
        assert row["deviation"] == pytest.approx(0.1414, abs=1e-4)
        assert row["against_recipe"] == pytest.approx(25)
        assert row["against_recipe_deviation"] == pytest.approx(7.07)


def test_test_images_are_weighed_by_the_share_of_their_label_among_training_images(monkeypatch) -> None:
    """Of label 0 all are right, of label 1 none; a model that says nothing."""
    tested, trained = np.repeat(np.arange(10), 1000), np.repeat([0, 1], [30, 10])
    pixels = np.zeros((1, 1, 1, 1), np.uint8)
    played_by = lab.Lab.__new__(lab.Lab)
    played_by.images = Images(pixels.repeat(40, 0), trained, pixels.repeat(10_000, 0), tested)
    monkeypatch.setattr(lab.Lab, "_network", lambda *_: None)
    monkeypatch.setattr("pipeline.learning.model.logits", lambda _, images, __: np.zeros((len(images), 10)))
    cycle = Cycle(np.arange(40), 10, np.arange(0), np.arange(10_000))
    found = played_by._as_trained({}, tested == 0, cycle, trained)
    assert found["as_trained"] == 0.75
    # It always says label 0, with probability 0.1; 1000 images of label 0 count, and 333 of label 1.
    assert found["calibration_error"] == pytest.approx(1000 / 1333 - 0.1)


def test_what_is_written_is_json_that_any_reader_takes_and_a_table_and_a_plot_are_made_of_it(tmp_path) -> None:
    found = {}
    for seed, arm in enumerate(("scratch", "recipe", "no blend", "half")):
        right = np.random.default_rng(seed).integers(0, 2, (8, 16))
        found[Trial("S1", 0, arm)] = played(right.tolist(), [1, 2, 4, 6, 8, 9, 10], [9.0] * 7)
    summary = results.summary(found, ["S1"], [0], "abc")
    written = results.write({"S1": {**summary["S1"], "code": "c", "settings": {}, "seeds": [0]}}, tmp_path)
    arms = json.loads((tmp_path / "learning.json").read_text())["streams"]["S1"]["arms"]
    assert json.dumps(arms, allow_nan=False)
    assert {arm: row["interval"] for arm, row in arms.items()} == dict.fromkeys(arms)
    assert arms["recipe"]["against_recipe"] is None
    assert arms["no blend"]["against_recipe"]["difference"] == pytest.approx(
        arms["no blend"]["difference"] - arms["recipe"]["difference"], abs=0.011
    )
    assert not written["ok"], "the must is for five seeds"
    lines = results.table(written).splitlines()
    assert [line.split(" | ")[0] for line in lines[4:]] == [f"| {ARMS[arm].title}" for arm in arms]
    with Image.open(tmp_path / "learning.png") as picture:
        assert picture.size == (1300, 550)

    other = {"S2": {**written["streams"]["S1"], "title": "another"}}
    assert list(results.write(other, tmp_path)["streams"]) == ["S1", "S2"], "what was there stays"
    for words in (
        "another",
        "`python -m benchmarks.learning --streams S1 --arms scratch recipe half 'no blend' --seeds 0`",
    ):
        assert words in (tmp_path / "learning.md").read_text()


@pytest.mark.parametrize(
    ("changes", "stays"),
    [({}, True), ({"code": "another"}, False), ({"settings": {"average": 1}}, False), ({"seeds": [0]}, False)],
    ids=["the same", "other code", "other settings", "other seeds"],
)
def test_arms_played_before_stay_beside_those_of_now(tmp_path, changes, stays) -> None:
    found = {}
    for seed, arm in enumerate(("scratch", "recipe", "half")):
        right = np.random.default_rng(seed).integers(0, 2, (8, 16))
        found[Trial("S1", 0, arm)] = played(right.tolist(), [1, 2, 4, 6, 8, 9, 10], [9.0] * 7)
    made = {"code": "c", "settings": {}, "seeds": results.SEEDS}
    summary = results.summary(found, ["S1"], [0], "abc")["S1"]
    arms = summary["arms"]
    results.write({"S1": summary | made | {"arms": {"half": arms["half"]}}}, tmp_path)
    both = {"scratch": arms["scratch"], "recipe": arms["recipe"] | {"commit": "later"}}
    written = results.write({"S1": summary | made | {"arms": both} | changes}, tmp_path)["streams"]["S1"]
    assert list(written["arms"]) == ["scratch", "recipe"] + ["half"] * stays, "in the order of the arms"
    assert written["arms"]["recipe"]["commit"] == "later"
    assert written["command"].startswith("python -m benchmarks.learning --streams S1 --arms scratch recipe")


def test_a_stream_is_made_by_its_command() -> None:
    every = [arm for arm in ARMS if "S2" in ARMS[arm].streams]
    content = {"arms": dict.fromkeys(every), "seeds": [0, 1, 2, 3, 4]}
    assert results.command("S2", content) == "python -m benchmarks.learning --streams S2"
    some = {"arms": {"scratch": None, "no blend": None}, "seeds": [7]}
    assert results.command("S1", some).endswith("--streams S1 --arms scratch 'no blend' --seeds 7")


@pytest.mark.parametrize(
    ("changes", "is_met"),
    [({}, True), ({"seeds": 4}, False), ({"interval": [-0.5, 1]}, False), ({"cost": 0.21}, False)],
    ids=["met", "too few seeds", "maybe worse", "too dear"],
)
def test_the_must_is_met_by_five_seeds_surely_not_worse_and_cheap(changes, is_met) -> None:
    row = {"seeds": 5, "interval": [-0.49, 0.2], "cost": 0.2, **changes}
    assert results.is_met({"S1": {"arms": {"recipe": row}}}) == is_met
    assert not results.is_met({"S2": {"arms": {"recipe": row}}})


def test_audits_cost_the_arms_that_make_them() -> None:
    every = ways.train_of(ARMS["recipe"]).audit_every
    assert every is not None
    assert ways.audit_share(ARMS["recipe"]) == 1 / every
    assert ways.audit_share(ARMS["scratch"]) == ways.audit_share(ARMS["warm"]) == 0


def test_every_arm_is_other_settings_or_another_start() -> None:
    seen = [json.dumps(ways.key(arm), sort_keys=True) for arm in ARMS.values()]
    assert len(set(seen)) == len(ARMS)


@pytest.fixture(scope="module")
def committed() -> dict[str, object]:
    found: dict[str, object] = json.loads((RESULTS / "learning.json").read_text())
    return found


def test_the_committed_must_holds_and_says_so(committed) -> None:
    row = committed["streams"]["S1"]["arms"]["recipe"]
    assert committed["must"] == results.MUST == {"difference": -0.5, "cost": 0.2, "stream": "S1", "seeds": 5}
    assert row["seeds"] == 5
    assert committed["ok"] is results.is_met(committed["streams"]) is True
    assert row["interval"][0] > -0.5
    assert row["cost"] <= 0.2


def test_the_committed_results_are_of_todays_defaults(committed) -> None:
    today = json.loads(json.dumps(ways.key(ARMS["recipe"])[0]))
    assert [content["settings"] for content in committed["streams"].values()] == [today] * len(committed["streams"])


def test_the_committed_results_have_every_stream_and_arm(committed) -> None:
    found = {stream: list(content["arms"]) for stream, content in committed["streams"].items()}
    assert found == {stream: [arm for arm in ARMS if stream in ARMS[arm].streams] for stream in STREAMS}
    for stream, content in committed["streams"].items():
        assert content["command"] == f"python -m benchmarks.learning --streams {stream}"
        for arm, row in content["arms"].items():
            assert row["seeds"] == len(ways.played(stream, arm, results.SEEDS))


def test_the_committed_table_is_that_of_the_results(committed) -> None:
    assert (RESULTS / "learning.md").read_text() == results.page(committed)


def test_the_readme_has_the_numbers_of_the_results(committed) -> None:
    arms = committed["streams"]["S1"]["arms"]
    text = (CHECKOUT / "README.md").read_text()
    assert results.overview(committed) in text
    readme = " ".join(text.split())

    def by(arm: str, stream: str = "S1") -> str:
        return f"{abs(committed['streams'][stream]['arms'][arm]['against_recipe']['difference']):.1f}"

    assert f"twice both gains {by('double')} points, half loses {by('half')}, a quarter {by('quarter')};" in readme
    pools = [by(f"pool {size}", "S6") for size in (20, 10, 5)]
    assert "20 lose {} points, 10 lose {}, 5 lose {};".format(*pools) in readme
    assert f"on new images only loses {-arms['new only']['difference']:.1f} points" in readme
    assert 0.2 < 1 - arms["recipe"]["flips"] / arms["no blend"]["flips"] < 0.3
    assert "It costs no accuracy, and a fourth of the flips go" in readme
    assert abs(arms["no blend"]["against_recipe"]["difference"]) < 0.1


def test_what_balance_gains_and_costs_is_told_as_measured_and_the_default_is_what_is_best_for_accuracy(
    committed,
) -> None:
    arms = committed["streams"]["S7"]["arms"]
    against = {
        arm: {name: one["against_recipe"] for name, one in arms[arm]["imbalanced"].items()}
        for arm in ("weights", "drawing", "adjusted")
    }
    assert all(one["as_trained"] < 0 < one["accuracy"] for one in against.values())
    assert ways.train_of(ARMS["recipe"]).balance is None
    assert max(against, key=lambda arm: against[arm]["accuracy"]) == "adjusted"
    gained, lost = (abs(against["adjusted"][name]) for name in ("accuracy", "as_trained"))
    said = f"adjusted gains {gained:.1f} points of balanced accuracy and loses {lost:.1f} of accuracy"
    comment = (CHECKOUT / "params.yaml").read_text().replace("\n  #", "")
    readme = " ".join((CHECKOUT / "README.md").read_text().split()).replace("`", "")
    assert f"With an imbalance of {RATIO}, {said}" in comment
    assert f"with an imbalance of {RATIO}, {said}" in readme


def test_a_folder_without_images_is_refused_by_name(tmp_path) -> None:
    with pytest.raises(SystemExit, match=r"airplane: no JPEGs; expected CIFAR-10 in folders train/<label>"):
        lab.load(tmp_path, tmp_path)


def test_an_archive_that_is_not_there_is_refused_by_name(tmp_path) -> None:
    with pytest.raises(SystemExit, match=r"none.tar.gz: not there; expected CIFAR-10 as JPEGs, see --images"):
        learning.main(["--images", str(tmp_path / "none.tar.gz"), "--work", str(tmp_path / "work")])


@pytest.mark.parametrize(
    ("arguments", "code"), [(["--arms", "half"], 1), (["--quick"], 0)], ids=["the must is not shown", "quick"]
)
def test_scratch_and_the_recipe_are_always_among_the_arms(tmp_path, monkeypatch, arguments, code) -> None:
    def play(trials: list[Trial], _: object, __: int) -> dict[Trial, object]:
        right = np.random.default_rng(0).integers(0, 2, (8, 16))
        return {trial: played(right.tolist(), [1, 2, 4, 6, 8, 9, 10], [9.0] * 7) for trial in trials}

    monkeypatch.setattr(learning, "load", lambda *_: None)
    monkeypatch.setattr(learning, "play", lambda *given: play(*given).items())
    words = [*arguments, "--seeds", "0", "--streams", "S1", "--images", str(tmp_path)]
    assert learning.main([*words, "--work", str(tmp_path), "--out", str(tmp_path)]) == code
    arms = json.loads((tmp_path / "learning.json").read_text())["streams"]["S1"]["arms"]
    assert list(arms)[:2] == ["scratch", "recipe"]
    assert ("half" in arms) == ("half" in arguments)


def test_trials_are_named_by_stream_seed_and_arm() -> None:
    assert Trial("S1", 0, "recipe") == Trial("S1", 0, "recipe") != Trial("S1", 1, "recipe")

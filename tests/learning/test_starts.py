from dataclasses import replace

import numpy as np
import pytest
from trainings import DESCRIPTION, NEVER, Notes, accuracy, engine, same

from pipeline.learning import model, starts
from pipeline.learning.checkpoint import Folder
from pipeline.learning.engine import Engine
from pipeline.learning.fit import Outcome, Session, fit

pytestmark = pytest.mark.project  # these train


@pytest.mark.parametrize(
    ("changes", "num_new", "epochs"),
    [
        ({"passes_per_new": 21.0}, 10, 3),
        ({"passes_per_new": 21.0, "warm_epochs": 2}, 10, 2),
        ({"passes_per_new": 21.0, "max_epochs": 1}, 10, 1),
        ({"passes_per_new": 1.0}, 1, 1),
        ({"passes_per_new": None}, 1, 50),
        ({"passes_per_new": None, "warm_epochs": 4}, 1, 4),
        ({"passes_per_new": 22.0, "replay": 10}, 5, 2),
        ({"passes_per_new": 22.0}, 0, 1),
        ({"passes_per_new": 30.0, "repeat_new": 2}, 10, 4),
    ],
    ids=str,
)
def test_a_warm_start_gets_passes_by_what_is_new(parts, train, changes, num_new, epochs):
    """70 images; with 10 old ones per new one, an epoch of 5 new ones has 55."""
    part = replace(parts.train, is_unlearned=np.arange(70) < num_new)
    given = {"max_epochs": 50, "warm_epochs": None, "replay": "all", **changes}
    warmed = starts.warmed(train.model_copy(update={**given, "warm_rate": 3.0}), part)
    assert warmed.max_epochs == epochs
    assert warmed.learning_rate == pytest.approx(0.009)


@pytest.mark.parametrize(
    ("average", "warm_average", "expected"), [(2.0, None, 2.0), (2.0, 1.0, 1.0), (0.5, 1.0, 0.5), (0.0, 1.0, 0.0)]
)
def test_a_warm_start_averages_over_no_more_epochs_than_asked(parts, train, average, warm_average, expected):
    given = train.model_copy(update={"average": average, "warm_average": warm_average})
    assert starts.warmed(given, parts.train).average == expected


def test_shrinking_scales_what_is_learned_and_takes_fresh_statistics():
    network = model.build(DESCRIPTION)
    start = {name: np.full_like(value, 2) for name, value in model.arrays(network.weights).items()}
    fresh = {name: np.full_like(value, 3) for name, value in start.items()}
    made = starts.shrunk(start, fresh, network)
    for name, weight in zip(sorted(made), network.weights, strict=True):
        expected = 3 if "moving" in weight.path else 0.4 * 2 + 0.1 * 3
        np.testing.assert_allclose(made[name], expected, rtol=1e-6)
        assert made[name].dtype == np.float32


@pytest.fixture
def taught(parts, train, tmp_path) -> tuple[Engine, Outcome]:
    """A training that got somewhere."""
    made = engine(train)
    longer = train.model_copy(update={"max_epochs": 8})
    return made, fit(made, parts, longer, Session(Folder(tmp_path, {}, NEVER), Notes()))


@pytest.mark.parametrize(
    ("monitor", "mode"), [("val_loss", "auto"), ("val_accuracy", "max"), ("loss", "auto"), ("accuracy", "max")]
)
def test_of_the_mixtures_the_best_on_val_is_kept(parts, train, taught, monitor, mode):
    made, outcome = taught
    champion = model.arrays(model.build(DESCRIPTION).weights)
    blended = train.model_copy(update={"monitor": monitor, "mode": mode, "blend": (0.25, 0.5, 0.75)})
    kept = starts.blend(made, champion, outcome, parts.val, blended)
    assert sorted(kept.blended) == [0.0, 0.25, 0.5, 0.75, 1.0]
    losses = {share: row["val_loss"] for share, row in kept.blended.items()}
    right = {share: row["val_accuracy"] for share, row in kept.blended.items()}
    most = max(right, key=lambda share: (right[share], -share))
    best = most if monitor == "val_accuracy" else min(losses, key=losses.get)
    assert kept.share == best
    for name, value in kept.weights.items():
        np.testing.assert_allclose(value, (1 - best) * champion[name] + best * outcome.weights[name], atol=1e-6)
    row = kept.blended[best]
    assert accuracy(kept, parts.val) == pytest.approx(row["val_accuracy"])


def test_a_result_that_is_worse_changes_nothing(parts, train, taught):
    """The champion knows it all, what training gave knows nothing."""
    made, outcome = taught
    champion = outcome.weights
    worse = replace(outcome, weights={name: 0 * value for name, value in champion.items()}, best_epoch=0)
    kept = starts.blend(made, champion, worse, parts.val, train)
    assert kept.share == 0.0
    assert same(kept.weights, champion)


def test_without_shares_nothing_is_blended(parts, train, taught):
    made, outcome = taught
    assert starts.blend(made, {}, outcome, parts.val, train.model_copy(update={"blend": ()})) is outcome


def test_whole_numbers_are_not_mixed():
    start, end = {"a": np.float32([0, 4])}, {"a": np.float32([4, 0])}
    counts = {"n": np.array(3)}, {"n": np.array(8)}
    mixed = starts.mixed(start | counts[0], end | counts[1], 0.25)
    assert mixed["a"].tolist() == [1, 3]
    assert mixed["n"] == 8

"""What the outputs of new labels begin with."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from samples import description

from pipeline.data.dataset import Part
from pipeline.learning import cut, model, newcomers
from pipeline.learning.engine import Engine
from pipeline.settings import Params

pytestmark = pytest.mark.project


def blocks(image_shape: tuple[int, int, int], num_labels: int) -> Any:
    """Two blocks and a head."""
    layers = model.keras().layers
    inputs = layers.Input(image_shape)
    x = layers.Rescaling(1 / 255)(inputs)
    for number in (1, 2):
        x = layers.Conv2D(12, 3, activation="relu", name=f"block{number}_conv")(x)
    return model.keras().Model(inputs, layers.Dense(num_labels)(layers.GlobalAveragePooling2D()(x)))


@pytest.mark.parametrize(("cut_at", "num_forward"), [(None, 30), ("last 1 block", 30), ("head", 0)])
def test_a_new_label_begins_ahead_of_the_others_whatever_part_of_the_network_is_trained(
    settings: Params, cut_at: str | None, num_forward: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(Path(__file__).parent)  # networks of one's own are files of the project
    model.keras().utils.set_random_seed(0)
    whole = model.build(description("a", "b", "new", architecture=f"{__name__}:blocks"))
    rng, labels, is_own = np.random.default_rng(0), np.repeat([0, 1, 2], 10), np.eye(2, dtype=bool)
    pixels = rng.integers(0, 100, (30, 8, 8, 3)).astype(np.uint8)
    pixels[np.arange(30), :, :, labels] += 150
    shown = model.predicted(cut.split(whole, cut_at).frozen, pixels).astype(np.float16) if cut_at else pixels
    part = Part(shown, labels, tuple(map(str, range(30))))
    engine = Engine(whole, model.optimizer(settings.train), settings.train, frozen_at=cut_at)
    network = engine.network
    before = model.logits(network, shown, 30)

    assert newcomers.begin(engine, part, [2]) == num_forward
    after = model.logits(network, shown, 30)
    assert np.array_equal(after[:, :2], before[:, :2]), "the others stay as they are"
    theirs = before[:20, :2]
    own, other = (float(theirs[mask].mean()) for mask in (is_own[labels[:20]], ~is_own[labels[:20]]))
    rivals = before[20:, :2].max(axis=1).mean()
    assert after[20:, 2].mean() == pytest.approx(max(own, rivals + (own - other) / 2), abs=0.01)
    assert after[:20, 2].mean() == pytest.approx(other, abs=0.01)
    assert abs(own - other) > 0.02, "else nothing is told"

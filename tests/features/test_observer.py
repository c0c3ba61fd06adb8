"""What the content of new images is told by."""

import pytest
import samples

from pipeline.artifacts.model import Frozen
from pipeline.features import inputs
from pipeline.features.inputs import Input
from pipeline.learning.settings import Embedding


def train(pretrained: str | None, tune: str = "all") -> Embedding:
    return Embedding(
        start="warm", audit_every=None, audit_above=None, architecture="MobileNetV3Small", pretrained=pretrained,
        tune=tune, threads=1,
    )  # fmt: skip


def own(cut: str | None) -> Input:
    frozen = Frozen(cut=cut, weights="f" * 32) if cut else None
    return Input(samples.description(frozen=frozen), ("train", "val", "holdout"), True, None)


@pytest.mark.parametrize("pretrained", [None, "imagenet"])
def test_features_at_the_head_of_the_cycles_own_frozen_part_are_taken(pretrained: str | None) -> None:
    assert inputs.observer(samples.description(), train(pretrained), own("head"), "imagenet") == own("head")


@pytest.mark.parametrize("cut", [None, "last 2 blocks"])
def test_where_more_is_trained_it_is_the_pretrained_network(cut: str | None) -> None:
    observer = inputs.observer(samples.description(), train("imagenet"), own(cut), "imagenet")
    assert observer
    assert observer.extractor
    assert observer.description.is_head_only
    assert observer.name == "8x8x3-small_cnn-head-imagenet"
    assert observer.splits == ()
    assert not observer.is_trained_on


@pytest.mark.parametrize("cut", [None, "last 2 blocks"])
def test_without_pretrained_weights_there_is_none(cut: str | None) -> None:
    assert inputs.observer(samples.description(), train(None), own(cut), "none") is None

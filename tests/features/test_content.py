"""How far the content of new images is from that of the old ones, and which stand out; on features drawn at random."""

import io
from collections.abc import Sequence

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from pipeline.features import content
from pipeline.features.content import Moments, Placement

DIMENSIONS = 64
PLACES = {label: np.random.default_rng(number).random(DIMENSIONS) for number, label in enumerate(("cat", "dog", "emu"))}
"""The mean of each label: directions in which all numbers are positive, as behind a ReLU."""


def drawn(seed: int, *labels: str, places: dict[str, np.ndarray] = PLACES, spread: float = 0.3) -> np.ndarray:
    """float16 (images, dimensions): features around the means of these labels."""
    noise = np.random.default_rng([9, seed]).normal(0, spread, (len(labels), DIMENSIONS))
    return np.maximum(np.stack([places[label] for label in labels]) + noise, 0).astype(np.float16)


def of(seed: int, *labels: str, **changes: object) -> Moments:
    return content.moments("key", drawn(seed, *labels, **changes), labels)  # type: ignore[arg-type]


def plain(some: Moments) -> tuple[object, ...]:
    return (some.key, dict(some.counts), {label: sums.round(6).tolist() for label, sums in some.sums.items()},
            some.squares.round(6).tolist())  # fmt: skip


LABELS = st.lists(st.sampled_from(sorted(PLACES)), min_size=1, max_size=12)


@hypothesis.given(LABELS, LABELS)
def test_merged_moments_are_those_of_all_the_images(one: list[str], other: list[str]) -> None:
    features = drawn(1, *one, *other)
    first, second = (
        content.moments("key", some, labels)
        for some, labels in ((features[: len(one)], one), (features[len(one) :], other))
    )
    whole = content.moments("key", features, one + other)
    assert plain(content.merge(first, second)) == plain(content.merge(second, first)) == plain(whole)
    assert whole.num_images == len(one) + len(other)


@hypothesis.given(LABELS)
def test_moments_are_the_same_after_they_were_written_and_read(labels: list[str]) -> None:
    some, sink = of(1, *labels), io.BytesIO()
    np.savez(sink, allow_pickle=False, **content.arrays(some))  # type: ignore[arg-type]
    sink.seek(0)
    with np.load(sink, allow_pickle=False) as archive:
        again = content.of_arrays(dict(archive))
    assert again
    assert plain(again) == plain(some)


@pytest.mark.parametrize(
    "change",
    [
        {"sums": np.zeros((3, 2))},
        {"labels": np.array(["cat"])},
        {"counts": np.zeros(())},
        {"squares": np.zeros(())},
        {"squares": np.array(["a"])},
    ],
)
def test_arrays_that_are_no_moments_are_none(change: dict[str, np.ndarray]) -> None:
    arrays = content.arrays(of(1, "cat", "dog"))
    assert content.of_arrays({**arrays, **change}) is None
    assert content.of_arrays({}) is None


def test_moments_of_other_features_cannot_be_merged() -> None:
    other = content.moments("other", drawn(1, "cat"), ["cat"])
    with pytest.raises(ValueError, match="moments of the features key and other; expected the same"):
        content.merge(of(1, "cat"), other)


def test_means_and_scatter_are_those_of_features_of_length_one() -> None:
    labels = ["cat"] * 5 + ["dog"] * 4
    features, some = drawn(3, *labels).astype(np.float64), of(3, *labels)
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    assert some.mean == pytest.approx(unit.mean(axis=0))
    assert some.scatter == pytest.approx(unit.var(axis=0) * 9)
    assert some.scatter_within == pytest.approx(unit[:5].var(axis=0) * 5 + unit[5:].var(axis=0) * 4)


def test_labels_that_are_called_the_same_now_become_one() -> None:
    now = content.renamed(of(1, "cat", "dog", "emu"), {"cat": "pet", "dog": "pet"})
    assert dict(now.counts) == {"pet": 2, "emu": 1}
    assert now.mean == pytest.approx(of(1, "cat", "dog", "emu").mean)
    assert content.renamed(of(1, "cat"), {"emu": "bird"}).counts == {"cat": 1}


@pytest.mark.parametrize(("num_old", "num_new"), [(50, 50), (1000, 50), (1000, 100), (100, 100), (50, 1000)])
def test_images_of_the_same_kind_are_near_however_few_they_are(num_old: int, num_new: int) -> None:
    apart = []
    for seed in range(20):
        random = np.random.default_rng(seed)
        old, new = (random.choice(["cat", "dog"], number).tolist() for number in (num_old, num_new))
        apart.append(content.distance(of(2 * seed, *old), of(2 * seed + 1, *new)))
    assert max(one for one in apart if one is not None) < 0.1
    assert np.mean([one for one in apart if one is not None]) < 0.03


def test_other_content_is_further_away_the_more_of_it_there_is() -> None:
    old, apart = of(1, *["cat", "dog"] * 100), []
    for share in (0, 25, 50, 100):
        labels = ["emu"] * share + ["cat", "dog"] * ((100 - share) // 2)
        apart.append(content.distance(old, of(2, *labels[:100])) or 0.0)
    assert apart == sorted(apart)
    assert apart[0] < 0.05 < 0.2 < apart[-1] < 1


def test_the_distance_is_the_same_from_both_sides_and_bounded() -> None:
    one, other = of(1, *["cat"] * 60), of(2, *["dog"] * 90)
    assert content.distance(one, other) == pytest.approx(content.distance(other, one))
    still = {"cat": np.eye(DIMENSIONS)[0], "dog": np.eye(DIMENSIONS)[1], "emu": np.eye(DIMENSIONS)[2]}
    alike = [of(seed, *[label] * 60, places=still, spread=0) for seed, label in ((1, "cat"), (2, "dog"), (3, "cat"))]
    assert 0.05 < (content.distance(alike[0], alike[1]) or 0) <= 1
    assert content.distance(alike[0], alike[2]) == 0


def test_between_too_few_images_there_is_no_distance() -> None:
    enough, few = of(1, *["cat"] * content.MIN_IMAGES), of(2, *["cat"] * (content.MIN_IMAGES - 1))
    assert content.distance(enough, few) is content.distance(few, enough) is None
    assert content.distance(enough, enough) == 0


def looked_at(new: np.ndarray, labels: Sequence[str], old: Sequence[str]) -> list[Placement | None]:
    """How new images stand to the labels of old ones and of their own."""
    mine = content.moments("key", new, labels)
    return content.placements(content.merge(of(77, *old), mine) if old else mine, new, labels, {*labels, *old})


@pytest.mark.parametrize("num_old", [0, 30, 300])
def test_strange_images_and_those_of_another_label_rank_first(num_old: int) -> None:
    far = {"cat": 1 - PLACES["cat"]}
    features = np.concatenate(
        [drawn(1, *["cat", "dog"] * 50), drawn(2, *["dog"] * 5), drawn(3, *["cat"] * 5, places=far)]
    )
    labels = [*["cat", "dog"] * 50, *["cat"] * 10]
    found = looked_at(features, labels, ["cat", "dog"] * (num_old // 2))
    strange = sorted(range(110), key=lambda row: -found[row].strangeness)  # type: ignore[union-attr]
    astray = sorted(range(100 + 5), key=lambda row: -found[row].astray)  # type: ignore[union-attr]
    assert set(strange[:5]) == set(range(105, 110))
    assert set(astray[:5]) == set(range(100, 105))
    assert {found[row].nearest for row in range(100, 105)} == {"dog"}  # type: ignore[union-attr]
    assert all(one.strangeness >= content.STRANGE for one in found[105:] if one)
    assert all(one.astray >= content.ASTRAY for one in found[100:105] if one)
    assert np.median([one.strangeness for one in found if one]) == pytest.approx(1, abs=0.1)
    assert sum(one.astray >= content.ASTRAY or one.strangeness >= content.STRANGE for one in found[:100] if one) <= 2


def test_an_image_does_not_vouch_for_itself() -> None:
    """It draws the mean of its label towards itself: that is taken out again."""
    old, labels = ["dog"] * 90, ["cat"] * 10
    apart = looked_at(drawn(5, *labels), labels, old)
    others = of(77, *old)
    for row in range(10):
        without = content.merge(others, content.moments("key", np.delete(drawn(5, *labels), row, axis=0), labels[1:]))
        here = drawn(5, *labels)[row].astype(np.float64)
        here /= np.linalg.norm(here)
        whole = content.merge(others, content.moments("key", drawn(5, *labels), labels))
        variance = whole.scatter_within / (whole.num_images - 2)
        variance += 0.01 * variance.mean()
        real = np.sqrt((((here - without.sums["cat"] / 9) ** 2) / variance).mean())
        one = apart[row]
        assert one
        assert one.strangeness == pytest.approx(real, abs=1e-3)


def test_of_a_label_with_few_images_nothing_is_told_and_it_is_nobodys_nearest() -> None:
    labels = ["cat"] * 60 + ["emu"] * (content.MIN_OF_LABEL - 1) + ["cat"]
    features = np.concatenate([drawn(1, *labels[:-1]), drawn(2, "emu")])
    found = looked_at(features, labels, [])
    assert found[60:-1] == [None] * (content.MIN_OF_LABEL - 1)
    assert found[-1]
    assert found[-1].nearest == "cat"
    assert found[-1].astray == 1
    assert found[-1].strangeness > content.STRANGE


def test_a_label_that_has_no_images_left_is_nobodys_nearest() -> None:
    labels = ["cat"] * 30 + ["dog"] * 30
    whole = content.merge(of(9, *["emu"] * 50), of(1, *labels))
    found = content.placements(whole, drawn(4, *["emu"] * 3), ["cat"] * 3, {"cat", "dog"})
    assert {one.nearest for one in found if one} == {"dog"}


def test_among_too_few_images_none_stands_out() -> None:
    labels = ["cat"] * (content.MIN_IMAGES - 1)
    assert looked_at(drawn(1, *labels), labels, []) == [None] * len(labels)
    assert None not in looked_at(drawn(1, *labels, "cat"), [*labels, "cat"], [])


def test_images_that_are_all_the_same_are_no_error() -> None:
    nothing = np.zeros((60, DIMENSIONS), np.float16)
    some = content.moments("key", nothing, ["cat"] * 60)
    assert content.distance(some, some) == 0
    assert {one.strangeness for one in content.placements(some, nothing, ["cat"] * 60, {"cat"}) if one} == {0}


def test_features_of_any_shape_are_looked_at() -> None:
    labels = ["cat", "dog"] * 30
    flat = drawn(1, *labels)
    maps = flat.reshape(60, 4, 4, 4)
    assert plain(content.moments("key", maps, labels)) == plain(content.moments("key", flat, labels))
    assert content.placements(content.moments("key", maps, labels), maps, labels, {"cat", "dog"}) == looked_at(
        flat, labels, []
    )

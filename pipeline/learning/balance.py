"""Balance: each label counts alike in training, however few its images are. Pure numpy.

Without it a rare label is given too seldom: that is right as often as possible on images like those of training, and
wrong for who wants each label recognised alike (Cui et al., CVPR 2019, arXiv:1901.05555).
"""

from collections.abc import Sequence

import numpy as np

MOST = 100
"""An image counts at most so many times what one of the largest label does. One image among 10,000 would else be most
of each step that it is in; beyond this imbalance `validate.max_imbalance` warns by default."""


def weights(counts: Sequence[int]) -> np.ndarray:
    """How much an image of each label counts: in inverse proportion to the label's images, 1 in the mean over images.

    It is scikit-learn's `class_weight="balanced"`, but for the bound: no label is taken to have fewer than the largest
    one's images divided by MOST.

    Args:
        counts: training images by label, at least one label; a label may have none.

    Returns:
        float32 (labels,)
    """
    images = np.asarray(counts, np.float64)
    inverse = 1 / np.maximum(images, max(images.max() / MOST, 1))
    total = (images * inverse).sum()
    return np.asarray(inverse * (images.sum() / total if total else 1), np.float32)


def drawn(often: np.ndarray, labels: np.ndarray, by_label: np.ndarray, seed: int, epoch: int) -> np.ndarray:
    """Rows of one epoch, in the order of training, where images come as often as they count.

    As many as without balance. The sum over a label's images is exact within one, and so is each image's own number:
    systematic sampling (Madow, Annals of Mathematical Statistics 20, 1949), over images in an order drawn anew.

    Args:
        often: float (images,): how often each comes in an epoch without balance, in the mean; their sum is whole.
        labels: int64 (images,).
        by_label: see `weights`.
        seed, epoch: the only other things that the rows depend on.
    """
    rng = np.random.default_rng([seed, epoch])
    by_chance = rng.permutation(len(labels))
    rows = by_chance[np.argsort(labels[by_chance], kind="stable")]
    count = round(float(often.sum()))
    wanted = often[rows] * by_label[labels[rows]].astype(np.float64)
    edges = np.cumsum(wanted)
    edges = np.concatenate([[0.0], edges * (count / edges[-1])]) if count else np.zeros(len(rows) + 1)
    edges[-1] = count  # not a rounding error less
    places = np.floor(edges + rng.random()).astype(np.int64)
    return rng.permutation(np.repeat(rows, places[1:] - places[:-1]))


def again(order: np.ndarray) -> np.ndarray:
    """For each place of an epoch how often its image came before, int64 (places,)."""
    places = np.argsort(order, kind="stable")
    sizes = np.unique(order, return_counts=True)[1]
    before = np.empty(len(order), np.int64)
    before[places] = np.arange(len(order)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    return before

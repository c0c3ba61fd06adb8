import math
import random
from pathlib import Path

import numpy as np
import pytest

from pipeline import checkpoint
from pipeline.checkpoint import State

SPECIAL = np.array([math.nan, math.inf, -math.inf, -0.0, 1e-45, 1e-320, 0.1])


def state(epoch: int, seed: int = 0) -> State:
    """A state after so many epochs, with arrays of every kind that Keras has."""
    numbers = np.random.default_rng([seed, epoch])
    return State(
        history=[{"val_loss": 1 / (row + 1), "loss": math.nan, "tiny": 5e-324} for row in range(epoch + 1)],
        variables={"0": numbers.normal(size=(3, 4)).astype(np.float32), "1": np.array([7, 2**32 - 1], np.uint32)},
        optimizer={"0": np.array(epoch, np.int64), "1": np.float32(0.001), "2": SPECIAL.astype(np.float16)},
        best_weights={"0": SPECIAL.astype(np.float32), "1": np.zeros((0, 2))},
        best_optimizer={"0": SPECIAL, "1": np.array(True), "10": np.arange(3, dtype=np.int8)},
    )


def exact(found: State) -> dict[str, object]:
    """A state as bytes, for which NaN equals NaN and 0.0 is not -0.0."""
    groups = {name: value for name, value in vars(found).items() if name != "history"}
    return {"history": [{name: float(value).hex() for name, value in row.items()} for row in found.history]} | {
        f"{group}/{name}": (str(array.dtype), array.shape, array.tobytes())
        for group, arrays in groups.items()
        for name, array in arrays.items()
    }


def test_a_state_reads_as_it_was_written_to_the_last_bit(tmp_path):
    checkpoint.save(tmp_path, state(3))
    assert exact(checkpoint.load(tmp_path)) == exact(state(3))


def test_a_state_without_a_best_epoch_reads_as_it_was_written(tmp_path):
    bare = State(history=[{}], variables={}, optimizer={})
    checkpoint.save(tmp_path, bare)
    assert checkpoint.load(tmp_path) == bare


@pytest.mark.parametrize("folder", [".", "missing"])
def test_no_checkpoint_is_none(tmp_path, folder):
    assert checkpoint.load(tmp_path / folder) is None


@pytest.mark.parametrize("is_reversed", [False, True])
def test_the_newest_is_loaded_and_two_are_kept_in_whatever_order_a_folder_lists(tmp_path, monkeypatch, is_reversed):
    monkeypatch.setattr(Path, "glob", lambda folder, _: iter(sorted(folder.iterdir(), reverse=is_reversed)))
    saved = [checkpoint.save(tmp_path, state(epoch)) for epoch in (8, 9, 10, 11)]
    assert sorted(tmp_path.iterdir()) == saved[-2:]
    assert len(checkpoint.load(tmp_path).history) == 12


def test_the_name_is_the_number_of_the_epoch(tmp_path):
    assert checkpoint.save(tmp_path, state(12)).name == "epoch-000012.checkpoint"


def test_an_epoch_saved_again_replaces_itself(tmp_path):
    checkpoint.save(tmp_path, state(3, seed=1))
    checkpoint.save(tmp_path, state(3, seed=2))
    assert exact(checkpoint.load(tmp_path)) == exact(state(3, seed=2))
    assert len(list(tmp_path.iterdir())) == 1


def test_a_torn_checkpoint_gives_way_to_the_one_before(tmp_path):
    checkpoint.save(tmp_path, state(1))
    newest = checkpoint.save(tmp_path, state(2))
    whole = newest.read_bytes()
    for length in {0, 1, 63, 64, 65, 66, *range(100, len(whole), 97), len(whole) - 1}:
        newest.write_bytes(whole[:length])
        assert exact(checkpoint.load(tmp_path)) == exact(state(1))


def test_a_checkpoint_with_a_flipped_bit_gives_way_to_the_one_before(tmp_path):
    checkpoint.save(tmp_path, state(1))
    newest = checkpoint.save(tmp_path, state(2))
    whole = newest.read_bytes()
    chosen = random.Random(7)
    for place in [*range(0, 66, 5), *(chosen.randrange(len(whole)) for _ in range(60))]:
        damaged = bytearray(whole)
        damaged[place] ^= 1 << chosen.randrange(8)
        newest.write_bytes(damaged)
        assert exact(checkpoint.load(tmp_path)) == exact(state(1)), place


def test_only_damaged_checkpoints_are_none(tmp_path):
    for epoch in (1, 2):
        checkpoint.save(tmp_path, state(epoch)).write_bytes(b"torn")
    assert checkpoint.load(tmp_path) is None


def test_an_interrupted_save_leaves_the_ones_before(tmp_path, monkeypatch):
    saved = [checkpoint.save(tmp_path, state(epoch)) for epoch in (1, 2)]

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("os.fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        checkpoint.save(tmp_path, state(3))
    assert sorted(tmp_path.iterdir()) == saved
    assert exact(checkpoint.load(tmp_path)) == exact(state(2))

"""Real files of events, read by TensorFlow's own reader."""

from pathlib import Path
from typing import Any

import pytest

from pipeline.learning.tensorboard import NEWEST, TensorBoard

pytestmark = pytest.mark.project  # TensorFlow takes seconds to load

ROWS = [
    {"val_loss": 2.3, "val_accuracy": 0.1, "learning_rate": 0.003},
    {"loss": 1.5, "accuracy": 0.5, "val_loss": 1.2, "val_accuracy": 0.6, "learning_rate": 0.003},
    {"loss": 1.1, "accuracy": 0.6, "val_loss": 1.4, "val_accuracy": 0.5, "learning_rate": 0.0015},
]


def read(folder: Path) -> dict[str, dict[str, list[tuple[int, float]]]]:
    """Step and value, by run and tag."""
    import tensorflow as tf

    found: dict[str, dict[str, list[tuple[int, float]]]] = {}
    for path in sorted(folder.rglob("events.out.tfevents.*")):
        for event in tf.compat.v1.train.summary_iterator(str(path)):
            for value in event.summary.value:
                assert value.metadata.plugin_data.plugin_name == "scalars"
                number = round(float(tf.make_ndarray(value.tensor)), 4)
                found.setdefault(path.parent.name, {}).setdefault(value.tag, []).append((event.step, number))
    return found


def never(warning: str) -> None:
    raise AssertionError(warning)


def test_train_and_val_are_two_runs_and_the_kept_epoch_is_a_point(tmp_path: Path) -> None:
    logs = TensorBoard(tmp_path / "one", never)
    for length in (1, 2, 3):
        logs.add(ROWS[:length])
    logs.keep(ROWS, 1)
    assert read(tmp_path / "one") == {
        "train": {
            "loss": [(1, 1.5), (2, 1.1)],
            "accuracy": [(1, 0.5), (2, 0.6)],
            "learning_rate": [(0, 0.003), (1, 0.003), (2, 0.0015)],
        },
        "val": {"loss": [(0, 2.3), (1, 1.2), (2, 1.4)], "accuracy": [(0, 0.1), (1, 0.6), (2, 0.5)]},
        "kept": {"loss": [(1, 1.2)], "accuracy": [(1, 0.6)]},
    }


@pytest.mark.parametrize("then", [ROWS, [*ROWS[:1], ROWS[2]]], ids=["it goes on", "it went back"])
def test_a_training_that_goes_on_leaves_no_epoch_twice(tmp_path: Path, then: list[Any]) -> None:
    TensorBoard(tmp_path / "one", never).add(ROWS[:2])
    again = TensorBoard(tmp_path / "one", never)
    again.add(then)
    again.add(then)
    found = read(tmp_path / "one")["val"]["loss"]
    assert found == [(epoch, row["val_loss"]) for epoch, row in enumerate(then)]


def test_in_one_process_a_shorter_history_counts(tmp_path: Path) -> None:
    logs = TensorBoard(tmp_path / "one", never)
    logs.add(ROWS)
    logs.add(ROWS[:2])
    assert read(tmp_path / "one")["val"]["loss"] == [(0, 2.3), (1, 1.2)]


def test_what_cannot_be_written_is_one_warning_and_no_error(tmp_path: Path) -> None:
    (tmp_path / "one").write_text("a file, where a folder is to be")
    told: list[str] = []
    logs = TensorBoard(tmp_path / "one", told.append)
    logs.add(ROWS[:1])
    logs.add(ROWS)
    logs.keep(ROWS, 1)
    (warning,) = told
    assert warning.startswith(f"no more logs for TensorBoard in {tmp_path / 'one'}: ")


def test_logs_of_the_newest_trainings_stay(tmp_path: Path) -> None:
    for number in range(NEWEST + 2):
        TensorBoard(tmp_path / f"{number}", never).add(ROWS[:1])
    assert len(list(tmp_path.iterdir())) == NEWEST
    assert (tmp_path / f"{NEWEST + 1}").is_dir()

import pytest

from pipeline.artifacts.training import IDLE, in_words


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        (
            "patience: 6 epochs without improvement of val_loss",
            "stopped, for val_loss got hardly better for 6 epochs",
        ),
        ("patience: 1 epochs without improvement of accuracy", "stopped, for accuracy got hardly better for 1 epoch"),
        ("max_epochs: 60", "stopped after 60 epochs, the limit"),
        ("warm_epochs: 10", "stopped after 10 epochs, the limit of a warm start"),
        ("head_epochs: 100", "stopped after 100 epochs, the limit where only the head is trained"),
        (
            "passes_per_new: 150, 1 epoch here",
            "stopped after 1 epoch, the limit of a warm start for so many new images",
        ),
        ("target: val_loss 0.4512 reached 0.5", "stopped at val_loss 0.4512, for 0.5 was the target"),
        ("budget.max_minutes: 0.5", "stopped by the budget of 0.5 minutes"),
        ("budget.max_minutes: 1", "stopped by the budget of 1 minute"),
        ("budget.max_steps: 1", "stopped by the budget of 1 step"),
        ("budget.max_epochs: 12", "stopped by the budget of 12 epochs"),
        ("diverged: loss inf in epoch 1, step 2", "stopped because it diverged: loss inf in epoch 1, step 2"),
        (IDLE, "nothing new to learn"),
        (
            "a person's choice of epoch 1 (train.from_epoch)",
            "stopped by a person's choice of epoch 1 (train.from_epoch)",
        ),
        ("something: of an earlier version", "stopped by something: of an earlier version"),
    ],
)
def test_why_training_stopped_is_told_without_the_names_of_settings(reason: str, words: str) -> None:
    assert in_words(reason) == words

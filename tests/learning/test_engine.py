import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from trainings import engine, same

from benchmarks.workspace import CHECKOUT
from pipeline.learning import model

pytestmark = pytest.mark.project  # these train

SHARED = """
import json, sys
import tensorflow as tf
devices = [tf.config.LogicalDeviceConfiguration()] * int(sys.argv[1])
tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0], devices)
sys.path[:0] = {tests!r}
import numpy as np
from pathlib import Path
from pipeline.base import params
from pipeline.settings import Params
from pipeline.learning import engine
from pipeline.learning.checkpoint import Folder
from pipeline.learning.fit import Session, fit
from trainings import DESCRIPTION, NEVER, Notes, squares
precision, scratch, mixing = sys.argv[2], Path(sys.argv[3]), json.loads(sys.argv[4])
changes = {{"max_epochs": 3, "batch_size": 16, "devices": "all", "precision": precision, **mixing}}
train = params.load(Path({params!r}), Params).train.model_copy(update=changes)
engine.make_repeatable(7, 1)
made = engine.create(DESCRIPTION, train)
outcome = fit(made, squares(), train, Session(Folder(scratch, {{}}, NEVER), Notes()))
rows = [row["val_loss"] for row in outcome.history] + [row.get("loss", 0) for row in outcome.history]
weights = [float(np.abs(value).sum()) for value in outcome.weights.values()]
print(json.dumps([made.shared.num_replicas_in_sync, rows + weights, made.network.layers[2].compute_dtype]))
"""


@pytest.mark.parametrize("call", ["versions()", "strategy('one')", "make_repeatable(7, 1)"])
def test_whatever_is_called_first_tensorflow_is_imported_so_that_its_sums_are_the_same_on_any_machine(call):
    """oneDNN's are not, and TensorFlow decides at its import whether to use it."""
    script = f"""if True:
        import os, sys
        from pipeline.learning import engine, model
        class Finder:
            def find_spec(self, name, *_):
                if name == "tensorflow":
                    print(os.environ.get("TF_ENABLE_ONEDNN_OPTS"))
                    sys.stdout.flush()
                    os._exit(0)
        sys.meta_path.insert(0, Finder())
        engine.{call}
    """
    env = {name: value for name, value in os.environ.items() if not name.startswith("TF_")}
    words = [sys.executable, "-c", script]
    done = subprocess.run(words, capture_output=True, text=True, check=True, cwd=CHECKOUT, env=env)
    assert done.stdout.strip() == "0"


def test_averaged_weights_are_those_of_the_last_steps(parts, train):
    """After the first step 2/11 of what was before and 9/11 of what is now, later nearly all of what was."""
    made = engine(train.model_copy(update={"average": 100}))
    before = model.arrays(made.network.weights)
    made.step(made.feed(parts.train.inputs[:16], parts.train.labels[:16]), 16, 0.99)
    now = model.arrays(made.network.weights)
    for name, mean in made.served().items():
        np.testing.assert_allclose(mean, 2 / 11 * before[name] + 9 / 11 * now[name], atol=1e-6)
    with made.serving():
        assert same(model.arrays(made.network.weights), made.served())
    assert same(model.arrays(made.network.weights), now)


@pytest.mark.parametrize(("is_good", "kept"), [(False, 2 / 11), (True, 0.99)], ids=["fresh", "good"])
def test_a_good_start_is_not_forgotten_at_once(parts, train, is_good, kept):
    made = engine(train.model_copy(update={"average": 100}))
    before = model.arrays(made.network.weights)
    made.begin(before, model.arrays(made.optimizer.variables), is_good)
    made.step(made.feed(parts.train.inputs[:16], parts.train.labels[:16]), 16, 0.99)
    now = model.arrays(made.network.weights)
    for name, mean in made.served().items():
        np.testing.assert_allclose(mean, kept * before[name] + (1 - kept) * now[name], atol=1e-5)


def test_a_mixed_image_has_a_share_of_the_loss_of_each_label(parts, train):
    """With whole shares it is as if each image had one label; what is right is right by the image's own."""
    made = engine(train.model_copy(update={"mixup": 0.4, "optimizer": "sgd"}))
    start = made.values()
    labels = parts.train.labels[:16]

    def stepped(own: np.ndarray, others: np.ndarray, *shares: float) -> tuple[float, int, np.ndarray]:
        """Loss, images classified right, and all weights after the step."""
        made.fill(start)
        batch = made.feed(parts.train.inputs[:16], own, others, np.resize(shares, 16).astype(np.float32))
        loss, right = made.step(batch, 16, 0.99)
        return loss, right, np.concatenate([*map(np.ravel, model.arrays(made.network.weights).values())])

    loss, right, weights = stepped(labels, labels, 0.3)
    other_loss, other_right, other_weights = stepped(labels, 1 - labels, 0)
    assert (right, other_right) == (right, right)
    assert abs(loss - other_loss) > 0.1
    for share in (0.25, 0.7):
        mixed = stepped(labels, 1 - labels, share)
        assert mixed[0] == pytest.approx(share * loss + (1 - share) * other_loss, rel=1e-5)
        assert mixed[1] == right
        np.testing.assert_allclose(mixed[2], share * weights + (1 - share) * other_weights, atol=1e-6)
    every_second = np.where(np.arange(16) % 2, labels, 1 - labels)
    np.testing.assert_allclose(
        stepped(labels, 1 - labels, 0, 1)[2], stepped(every_second, every_second, 0.5)[2], atol=1e-6
    )


def gradients(train: Any, labels: np.ndarray, parts: Any, *mixture: np.ndarray) -> tuple[float, np.ndarray]:
    """Loss of a step with SGD on one image under all labels, and the gradient of each logit's bias."""
    made = engine(train.model_copy(update={"optimizer": "sgd", "learning_rate": 0.5}))
    bias = made.network.get_layer("logits").bias
    before = np.array(bias)
    loss, _ = made.step(made.feed(parts.train.inputs[[0] * len(labels)], labels, *mixture), len(labels), 0.99)
    return loss, (before - np.array(bias)) / 0.5


def test_weights_multiply_the_loss_of_each_image_counted_by_hand(parts, train):
    """60 and 10 images: weights of 7/12 and 7/2. The gradient of a bias is the weighted mean of p - y."""
    labels = np.array([0, 0, 0, 1], np.int64)
    plain, plain_gradient = gradients(train, labels, parts)
    weighted, gradient = gradients(train.model_copy(update={"balance": "weights"}), labels, parts)
    p = plain_gradient + np.array([3 / 4, 1 / 4])
    assert p.sum() == pytest.approx(1)
    np.testing.assert_allclose(
        gradient, (3 * 7 / 12 + 7 / 2) / 4 * p - np.array([3 * 7 / 12, 7 / 2]) / 4, rtol=1e-3, atol=1e-5
    )
    assert plain == pytest.approx(weighted), "what is told is the loss of each image as it is"


def test_adjusted_logits_are_raised_by_the_share_of_their_label_counted_by_hand(parts, train):
    """60 and 10 images: the odds of the first label are 6 times those that the network gives."""
    labels = np.array([0, 0, 0, 1], np.int64)
    plain, plain_gradient = gradients(train, labels, parts)
    adjusted, gradient = gradients(train.model_copy(update={"balance": "adjusted"}), labels, parts)
    p = plain_gradient + np.array([3 / 4, 1 / 4])
    odds = p * np.array([6, 1])
    np.testing.assert_allclose(gradient, odds / odds.sum() - np.array([3 / 4, 1 / 4]), rtol=1e-3, atol=1e-5)
    assert plain == pytest.approx(adjusted)


def test_weights_are_those_of_both_labels_of_a_mixed_image(parts, train):
    mixing = train.model_copy(update={"mixup": 0.4, "balance": "weights"})
    own, others = np.zeros(4, np.int64), np.ones(4, np.int64)
    ends = [gradients(mixing, own, parts, others, np.full(4, share, np.float32))[1] for share in (1.0, 0.0, 0.3)]
    np.testing.assert_allclose(ends[2], 0.3 * ends[0] + 0.7 * ends[1], rtol=1e-4)
    plain = gradients(mixing.model_copy(update={"balance": None}), own, parts, others, np.zeros(4, np.float32))[1]
    np.testing.assert_allclose(ends[1], 7 / 2 * plain, rtol=1e-4)


@pytest.mark.parametrize("balance", ["weights", "drawing", "adjusted"])
def test_with_balance_each_label_counts_alike_in_scores(parts, train, balance):
    val, rows = parts.val, np.sort(np.concatenate([np.flatnonzero(parts.val.labels == 0), [1, 3]]))
    plain, made = engine(train), engine(train.model_copy(update={"balance": balance}))
    by_label = [plain.scores(val, rows[val.labels[rows] == label], 16) for label in (0, 1)]
    numbers = np.bincount(val.labels[rows]) * made.label_weights
    for place in (0, 1):
        expected = np.average([one[place] for one in by_label], weights=numbers)
        assert made.scores(val, rows, 4)[place] == pytest.approx(expected, rel=1e-5)


def shared(tmp_path: Path, devices: int, precision: str, **mixing: float) -> list[Any]:
    script = SHARED.format(
        tests=[str(CHECKOUT / "tests/learning"), str(CHECKOUT / "tests")], params=str(CHECKOUT / "params.yaml")
    )
    scratch = str(tmp_path / f"{devices}{precision}")
    words = [sys.executable, "-c", script, str(devices), precision, scratch, json.dumps(mixing)]
    done = subprocess.run(words, capture_output=True, text=True, check=False, cwd=CHECKOUT)
    assert done.returncode == 0, done.stderr[-2000:]
    printed: list[Any] = json.loads(done.stdout.splitlines()[-1])
    return printed


def test_several_devices_give_what_one_gives(tmp_path):
    """Two devices of the CPU, batch norm over both, a last batch of 6: equal but for rounding."""
    one, two = (shared(tmp_path, devices, "float32") for devices in (1, 2))
    assert (one[0], two[0]) == (1, 2)
    np.testing.assert_allclose(one[1], two[1], rtol=1e-4)


@pytest.mark.parametrize(
    ("precision", "dtype", "mixing"),
    [("mixed_bfloat16", "bfloat16", {"mixup": 0.4, "cutmix": 1.0}), ("mixed_float16", "float16", {})],
    ids=["mixed images", "plain"],
)
def test_mixed_precision_learns_as_float32_does(tmp_path, precision, dtype, mixing):
    exact, mixed = shared(tmp_path, 1, "float32", **mixing), shared(tmp_path, 2, precision, **mixing)
    assert (exact[2], mixed[2]) == ("float32", dtype)
    np.testing.assert_allclose(exact[1][:8], mixed[1][:8], atol=0.05)

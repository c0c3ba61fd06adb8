"""What `dvc plots` draws of a comparison."""

import csv
import io
import json

import pytest
from samples import comparison

from benchmarks.workspace import CHECKOUT
from pipeline.artifacts.comparison import Confused, LabelScore


def test_the_plot_has_every_label_in_the_order_of_the_models_outputs() -> None:
    """On both axes the order is that in which labels first come; the alphabet's would be another."""
    names = {"zebra": 3, "b": 0, "a,\n": 4, "=c": 4}
    labels = tuple(LabelScore(label=name, images=images, champion=0, challenger=0) for name, images in names.items())
    counts = [("zebra", "zebra", 2), ("zebra", "a,\n", 1), ("a,\n", "a,\n", 4), ("=c", "zebra", 1), ("=c", "=c", 3)]
    confused = tuple(
        Confused(actual=actual, predicted=predicted, champion=1, challenger=images)
        for actual, predicted, images in [*counts, ("a,\n", "=c", 0)]
    )
    text = comparison(labels=labels, confused=confused).confusion_csv()
    rows = list(csv.DictReader(io.StringIO(text)))
    for axis in ("actual", "predicted"):
        assert list(dict.fromkeys(row[axis] for row in rows)) == list(names)
    shares = {(row["actual"], row["predicted"]): (int(row["images"]), float(row["share"])) for row in rows}
    assert {pair: images for pair, (images, _) in shares.items() if images} == {one[:2]: one[2] for one in counts}
    assert shares["zebra", "a,\n"][1] == pytest.approx(1 / 3, abs=1e-4)
    assert shares["b", "b"] == (0, 0)
    assert shares["=c", "=c"][1] == 0.75
    assert ("a,\n", "=c") not in shares, "only the champion confuses these"


def test_the_template_takes_order_and_shares_from_the_file() -> None:
    template = json.loads((CHECKOUT / ".dvc/plots/confusion.json").read_text())
    encoding = template["spec"]["encoding"]
    assert encoding["x"]["sort"] is encoding["y"]["sort"] is None, "null: as the rows come"
    assert {one["field"] for one in encoding["tooltip"]} == {"<DVC_METRIC_X>", "<DVC_METRIC_Y>", "images", "share"}

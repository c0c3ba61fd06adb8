"""The saved view of the runs: the columns that a reviewer looks at, as MLflow's UI keeps views. Pure.

MLflow keeps a view as a tag of the experiment, `mlflow.sharedViewState.KEY`, and opens it by `viewStateShareKey=KEY`.
Its value is a JSON object with a name, two times and the state of its page, a JSON text itself (MLflow 3.17; the keys
are those of a view that its UI saved). It stands under Views of the runs' page, too.
"""

import json

KEY = "evergreen"
"""Another one when the columns change: a view that people changed stays theirs."""

TAG = f"mlflow.sharedViewState.{KEY}"

NAME = "Evergreen: verdict, accuracy, change, images, cost"

COLUMNS = {
    "tags.`evergreen.verdict`": 150,
    "metrics.`holdout/accuracy`": 150,
    "metrics.`holdout/change`": 150,
    "metrics.`data/images`": 110,
    "metrics.`cost/passes`": 110,
}
"""In this order, with their widths in pixels: names are read whole."""


def tag(milliseconds: int) -> tuple[str, str]:
    """Key and value of the tag of an experiment.

    Args:
        milliseconds: since 1970, of now.
    """
    state = {
        "searchFilter": "",
        "orderByKey": "attributes.start_time",
        "orderByAsc": False,
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "modelVersionFilter": "All Runs",
        "datasetsFilter": [],
        "selectedColumns": list(COLUMNS),
        "columnOrder": list(COLUMNS),
        "columnWidths": dict(COLUMNS),
    }
    value = {"name": NAME, "createdAt": milliseconds, "updatedAt": milliseconds, "state": json.dumps(state)}
    return TAG, json.dumps(value)

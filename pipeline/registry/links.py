"""Links to the pages of MLflow's UI: of a model, a version, a run, a table of runs, an artifact. Pure.

Each function gives the part that is the same wherever the UI is: inside a card it is a whole link. `at` makes an
address of it. The routes are those of MLflow 3.17 (`getModelPageRoute` and its neighbours in its JavaScript).
"""

import json
from collections.abc import Sequence
from urllib.parse import quote, urlsplit, urlunsplit

LOCAL = "http://127.0.0.1:5000"
"""Where `python -m pipeline ui` shows a registry that is no server, unless the port is taken."""

MODE = "workflowType=machine_learning"
"""The UI then shows models and runs; else it opens for traces of chats, as it does for whoever comes first."""

HTTP = ("http://", "https://")


def model(name: str) -> str:
    """The list of a registered model's versions."""
    return f"#/models/{_part(name)}"


def version(name: str, number: int) -> str:
    """A version, with its card."""
    return f"{model(name)}/versions/{number}"


def logged_model(experiment: str, model_id: str) -> str:
    """The model that a version was registered from, with its numbers."""
    return f"#/experiments/{_part(experiment)}/models/{_part(model_id)}"


def run(experiment: str, run_id: str) -> str:
    """A run, by the ids of the experiment and of itself."""
    return f"#/experiments/{_part(experiment)}/runs/{_part(run_id)}"


def runs(experiment: str, view: str = "") -> str:
    """The table of an experiment's runs.

    Args:
        experiment: its id.
        view: key of a saved view, with its columns and its order (`registry.view`).
    """
    asked = f"?viewStateShareKey={_part(view)}" if view else ""
    return f"#/experiments/{_part(experiment)}/runs{asked}"


def compare(experiment: str, run_ids: Sequence[str]) -> str:
    """Two runs or more, side by side."""
    return f"#/compare-runs?runs={_part(_list(run_ids))}&experiments={_part(_list([experiment]))}"


def artifacts(experiment: str, run_id: str, path: str) -> str:
    """The page that shows an artifact of a run, such as `data/report.html`."""
    return f"{run(experiment, run_id)}/artifacts/{quote(path)}"


def artifact(run_id: str, path: str) -> str:
    """The bytes of an artifact: what a picture in a card names."""
    return f"get-artifact?path={_part(path)}&run_uuid={_part(run_id)}"


def inside(link: str) -> str:
    """A link from one page of the UI to another, in the mode that shows models."""
    return f"{link}{'&' if '?' in link else '?'}{MODE}" if link.startswith("#") else link


def at(server: str, link: str) -> str:
    """The address of a link.

    Args:
        server: address of an MLflow server, or of what stands before it and leads to it, as in MLFLOW_TRACKING_URI;
            a path in it stays, a password does not.
        link: what another function here gives.
    """
    scheme, network, path, query, _ = urlsplit(server)
    base = urlunsplit((scheme, network.rpartition("@")[2], path.rstrip("/") + "/", query, ""))
    return f"{base}{inside(link)}"


def _list(texts: Sequence[str]) -> str:
    return json.dumps(list(texts), separators=(",", ":"))


def _part(text: str) -> str:
    """Text as one part of a path or one value of a query."""
    return quote(text, safe="")

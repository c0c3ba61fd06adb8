"""Links: the routes of MLflow's UI, and addresses of them."""

import pytest

from pipeline.registry import links

LINKS = {
    "model": (links.model("evergreen"), "#/models/evergreen"),
    "model with a space": (links.model("my model"), "#/models/my%20model"),
    "odd model": (links.model("ü/a&b#c?d%"), "#/models/%C3%BC%2Fa%26b%23c%3Fd%25"),
    "version": (links.version("my model", 7), "#/models/my%20model/versions/7"),
    "run": (links.run("1", "ab"), "#/experiments/1/runs/ab"),
    "runs": (links.runs("1"), "#/experiments/1/runs"),
    "runs by a view": (links.runs("1", "evergreen"), "#/experiments/1/runs?viewStateShareKey=evergreen"),
    "logged model": (links.logged_model("1", "m-2"), "#/experiments/1/models/m-2"),
    "artifacts": (links.artifacts("1", "ab", "data/a b.html"), "#/experiments/1/runs/ab/artifacts/data/a%20b.html"),
    "artifact": (links.artifact("ab", "plots/é &.png"), "get-artifact?path=plots%2F%C3%A9%20%26.png&run_uuid=ab"),
    "compare": (
        links.compare("1", ["a", "b"]),
        "#/compare-runs?runs=%5B%22a%22%2C%22b%22%5D&experiments=%5B%221%22%5D",
    ),
}


@pytest.mark.parametrize(("given", "expected"), LINKS.values(), ids=LINKS)
def test_links_within_the_ui(given: str, expected: str) -> None:
    assert given == expected


ADDRESSES = {
    "plain": ("http://host:5000", "http://host:5000/"),
    "slash": ("https://host/", "https://host/"),
    "static prefix": ("https://host/mlflow", "https://host/mlflow/"),
    "password": ("https://user:secret@host:1/a/", "https://host:1/a/"),
}


@pytest.mark.parametrize(("server", "base"), ADDRESSES.values(), ids=ADDRESSES)
def test_addresses_on_a_server(server: str, base: str) -> None:
    """In the mode that shows models; artifacts need none."""
    assert links.at(server, links.model("e")) == f"{base}#/models/e?workflowType=machine_learning"
    assert links.at(server, links.runs("1", "v")).endswith("viewStateShareKey=v&workflowType=machine_learning")
    assert links.at(server, links.artifact("r", "card.md")) == f"{base}get-artifact?path=card.md&run_uuid=r"

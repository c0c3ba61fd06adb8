import json
from collections.abc import Callable

import pytest

from benchmarks import digits
from benchmarks.workspace import Workspace

Run = Callable[..., int]
Error = Callable[[str], str]


@pytest.mark.usefixtures("space")
def test_no_images_at_all_is_an_error_that_says_how_to_add_some(run: Run, error: Error) -> None:
    assert run("resolve") == 4
    line = error("resolve")
    assert "no images" in line
    assert "dvc add data/images/<batch>" in line


def test_a_first_cycle_has_no_parent_and_no_champion(space: Workspace, run: Run) -> None:
    space.put("first", digits.batch(0, 20))
    space.push("first", "First")
    assert run("resolve") == 0
    assert space.read("champion.json") == {"version": None, "judged": 0}
    assert space.read("parent.json") == {"version": None, "ladder": {"rung": 0, "cycles": 0}}
    (source,) = space.read("sources.json")["sources"]
    assert source["path"] == "data/images/first"
    assert source["num_files"] == 20


def test_outputs_are_the_same_bytes_on_unchanged_data(space: Workspace, run: Run) -> None:
    """Otherwise DVC would run the stages after it again."""
    space.put("first", digits.batch(0, 20))
    space.push("first", "First")
    outputs = [space.root / "data/cycle" / f"{name}.json" for name in ("parent", "champion", "sources")]
    assert run("resolve") == 0
    before = [path.read_bytes() for path in outputs]
    assert run("resolve") == 0
    assert [path.read_bytes() for path in outputs] == before


def test_images_dropped_into_a_tracked_batch_are_not_ignored(space: Workspace, run: Run, error: Error) -> None:
    space.put("first", digits.batch(0, 20))
    space.push("first", "First")
    space.put("first", {"3": {"new one.png": b"x"}})
    assert run("resolve") == 4
    line = error("resolve")
    assert "1 file below data/images is not tracked by DVC, e.g. 'data/images/first/3/new one.png'" in line
    assert "dvc add 'data/images/first'" in line


@pytest.mark.parametrize("name", [".DS_Store", "notes.txt"])
def test_files_that_detect_ignore_names_are_ignored(space: Workspace, run: Run, name: str) -> None:
    space.put("first", digits.batch(0, 20))
    space.push("first", "First")
    space.put("first", {"3": {name: b"x"}})
    assert run("resolve") == 0


def test_one_tracked_directory_of_labels_is_a_batch_too(space: Workspace, run: Run) -> None:
    space.put(".", digits.batch(0, 20))
    space.dvc("add", "--quiet", "data/images")
    space.commit("All")
    assert run("resolve", "detect") == 0
    assert space.read("sources.json")["sources"][0]["path"] == "data/images"
    assert space.read("delta/summary.json")["added_by_label"].keys() <= set("0123456789")


def test_a_registry_of_other_software_is_not_mistaken_for_an_empty_one(
    space: Workspace, run: Run, error: Error, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A web server that answers 404 to everything: 'not found' must not become 'no champion'."""
    import threading
    from http.server import BaseHTTPRequestHandler, HTTPServer

    class Other(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_error(404)

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Other)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{server.server_port}")
    space.put("first", digits.batch(0, 20))
    space.push("first", "First")
    try:
        assert run("resolve") == 5
    finally:
        server.shutdown()
        server.server_close()
    assert "is a web server, but not MLflow" in error("resolve")
    assert not (space.root / "data/cycle/parent.json").exists()


def test_a_champion_that_evergreen_did_not_register_is_refused(space: Workspace, run: Run, error: Error) -> None:
    import mlflow

    space.put("first", digits.batch(0, 20))
    space.push("first", "First")
    assert run("resolve") == 0
    client = mlflow.MlflowClient(space.env["MLFLOW_TRACKING_URI"])
    client.create_registered_model("evergreen")
    client.create_model_version("evergreen", "runs:/0/model")
    client.set_registered_model_alias("evergreen", "champion", "1")
    assert run("resolve") == 5
    assert "evergreen v1 was not registered by Evergreen" in error("resolve")


def test_a_file_that_lies_directly_in_images_is_told_where_to_go(space: Workspace, run: Run, error: Error) -> None:
    space.put("first", digits.batch(0, 20))
    space.push("first", "First")
    (space.root / "data/images/loose.png").write_bytes(b"x")
    assert run("resolve") == 4
    assert "e.g. 'data/images/loose.png'; expected each in a batch; move them to data/images/<batch>/" in error(
        "resolve"
    )


def test_a_clone_that_names_no_registry_does_not_begin_anew(space: Workspace, run: Run, error: Error) -> None:
    space.put("first", digits.batch(0, 20))
    space.push("first", "First")
    lock = space.root / "dvc.lock"
    lock.write_text("schema: '2.0'\nstages:\n  promote:\n    cmd: python -m pipeline promote\n")
    assert run("resolve") == 5
    line = error("resolve")
    assert "dvc.lock says that a cycle was registered" in line
    assert "set MLFLOW_TRACKING_URI to the registry that has it, or begin anew with `rm dvc.lock`" in line
    lock.unlink()
    assert run("resolve") == 0


def test_snapshot_is_json_that_names_the_recipe(space: Workspace, run: Run) -> None:
    space.put("first", digits.batch(0, 20))
    space.push("first", "First")
    assert run("resolve") == 0
    before = space.read("snapshot.json")
    space.params(train={"learning_rate": 0.01})
    assert run("resolve") == 0
    assert space.read("snapshot.json")["recipe"] != before["recipe"]
    assert json.dumps(before["known"]) == "{}"

"""`mlflow models serve` on the champion, as serving/Dockerfile starts it: a real server, asked as clients ask it.

Where there is a Docker engine, the image is built of the same commands; here they run without one.
"""

import base64
import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from project import MadeOnce, Project, picture, two_versions

from benchmarks.workspace import CHECKOUT
from pipeline import openapi

pytestmark = pytest.mark.project

CAT, DOG = (base64.b64encode(picture(3, label)).decode() for label in ("cat", "dog"))
GIF = base64.b64encode(b"GIF89a").decode()


DOCKERFILE = (CHECKOUT / "serving/Dockerfile").read_text()


def instructions() -> list[tuple[str, str]]:
    """Of the Dockerfile: name and arguments."""
    lines = re.sub(r"\\\n\s*", "", DOCKERFILE).splitlines()
    return [(name, rest) for name, _, rest in (line.partition(" ") for line in lines if line and line[0] != "#")]


class Server(NamedTuple):
    """A server, and what a client can do with it."""

    port: int
    model: Path
    """The folder that it serves."""

    def get(self, path: str) -> Any:
        return json.loads(urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=60).read())

    def ask(self, body: Any) -> tuple[int, Any]:
        """Status and body of the answer."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        address, kind = f"http://127.0.0.1:{self.port}/invocations", {"Content-Type": "application/json"}
        try:
            with urllib.request.urlopen(urllib.request.Request(address, content, kind), timeout=60) as answer:
                return answer.status, json.loads(answer.read())
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read())

    def labels(self, body: Any) -> list[str | None]:
        status, answer = self.ask(body)
        assert status == 200, answer
        return [one["label"] for one in answer["predictions"]]


@pytest.fixture(scope="module")
def server(made_once: MadeOnce, empty_database: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("server")
    project: Project = two_versions(made_once, empty_database).copy(folder / "clone")
    project.promote(2)
    (download,) = re.findall(r"^#   mlflow (artifacts download .*)$", DOCKERFILE, re.MULTILINE)
    mlflow = [sys.executable, "-m", "mlflow"]
    subprocess.run([*mlflow, *shlex.split(download)], cwd=project.root, env=dict(project.space.env), check=True)
    model = project.root / "build/champion"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    here = {"/model": str(model), "8080": str(port), "0.0.0.0": "127.0.0.1"}  # noqa: S104 - replaced
    words = [here.get(word, word) for word in json.loads(dict(instructions())["CMD"])]
    assert words[0] == "mlflow"
    # Elsewhere, without the registry and without PYTHONPATH: the code of the version answers, not the project's.
    env = {key: value for key, value in project.space.env.items() if key not in ("PYTHONPATH", "MLFLOW_TRACKING_URI")}
    running = subprocess.Popen(
        [*mlflow, *words[1:]], cwd=folder, env=env,
        stdout=(folder / "log").open("wb"), stderr=subprocess.STDOUT, start_new_session=True,
    )  # fmt: skip
    try:
        deadline = time.monotonic() + 240
        while True:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/ping", timeout=5)
                break
            except OSError:
                assert running.poll() is None, (folder / "log").read_text()
                assert time.monotonic() < deadline, (folder / "log").read_text()
                time.sleep(0.2)
        yield Server(port, model)
    finally:
        os.killpg(running.pid, signal.SIGTERM)
        running.wait(30)


@pytest.mark.parametrize(
    ("body", "labels"),
    [
        ({"inputs": {"image": [CAT]}}, ["cat"]),
        ({"inputs": {"image": CAT}}, ["cat"]),
        ({"inputs": {"image": [CAT, DOG]}}, ["cat", "dog"]),
        ({"inputs": [CAT, DOG]}, ["cat", "dog"]),
        ({"inputs": [{"image": DOG}]}, ["dog"]),
        ({"instances": [{"image": CAT}, {"image": DOG}]}, ["cat", "dog"]),
        ({"dataframe_records": [{"image": CAT}, {"image": DOG}]}, ["cat", "dog"]),
        ({"dataframe_split": {"columns": ["image"], "data": [[CAT], [DOG]]}}, ["cat", "dog"]),
        ({"dataframe_split": {"columns": ["camera", "image"], "data": [[7, DOG]]}}, ["dog"]),
        ({"inputs": {"image": [base64.encodebytes(picture(3, "dog")).decode()]}}, ["dog"]),
        ({"inputs": {"image": []}}, []),
        ({"inputs": {"image": [CAT]}, "params": {"min_probability": 1.0}}, [None]),
        ({"dataframe_records": [{"image": CAT}], "params": {"min_probability": 1.0}}, [None]),
    ],
    ids=lambda value: json.dumps(value).replace(CAT, "CAT").replace(DOG, "DOG")[:60],
)
def test_one_image_or_many_are_answered_in_each_form_that_mlflow_knows(
    server: Server, body: Any, labels: list[str | None]
) -> None:
    assert server.labels(body) == labels


NO_BASE64 = "row 0: no base64; expected a file's bytes in base64, with nothing before them"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"inputs": {"image": ["abc"]}}, f"1 of 1 images cannot be decoded: {NO_BASE64}"),
        (
            {"inputs": ["?", CAT]},
            "1 of 2 images cannot be decoded: row 0: a text file; expected JPEG, PNG, WEBP or BMP",
        ),
        (
            {"inputs": {"image": [CAT, GIF]}},
            "1 of 2 images cannot be decoded: row 1: a GIF file; expected JPEG, PNG, WEBP or BMP",
        ),
        ({"dataframe_split": {"columns": ["image"], "data": [["abc"]]}}, "Incorrect padding"),
        (
            {"dataframe_split": {"columns": ["image"], "data": [[""]]}},
            "1 of 1 images cannot be decoded: row 0: empty file",
        ),
        ({"dataframe_split": {"columns": ["image"], "data": [[None]]}}, "Failed to convert column image"),
        (
            {"inputs": {"image": [CAT]}, "params": {"min_probability": 7}},
            "min_probability is 7.0; expected 0 to 1; leave it out for that of the version",
        ),
        ({"inputs": {"image": [CAT]}, "params": {"min_probability": "much"}}, "Invalid parameters found"),
        ({"inputs": {"picture": [CAT]}}, "Model is missing inputs ['image']"),
        ({"dataframe_records": [{"picture": CAT}]}, "Model is missing inputs ['image']"),
        ({"image": CAT}, "exactly one of the input fields"),
        (b"nonsense", "valid JSON"),
    ],
    ids=lambda value: json.dumps(str(value)).replace(CAT, "CAT")[:60],
)
def test_what_cannot_be_answered_is_status_400_with_the_reason_and_no_traceback(
    server: Server, body: Any, words: str
) -> None:
    status, answer = server.ask(body)
    assert status == 400, answer
    assert words in answer["message"]
    assert "stack_trace" not in answer


def test_a_reason_of_ours_comes_without_what_was_sent(server: Server) -> None:
    """MLflow puts all of it before the reason, which may be megabytes."""
    _, answer = server.ask({"inputs": {"image": [GIF, base64.b64encode(b"\0" * 100_000).decode()]}})
    assert answer["message"].startswith("2 of 2 images cannot be decoded: row 0: ")
    assert len(answer["message"]) < 300


def test_the_docs_page_shows_what_a_request_holds(server: Server) -> None:
    schema = server.get("/openapi.json")
    asked = schema["paths"]["/invocations"]["post"]
    body = asked["requestBody"]["content"]["application/json"]
    assert [shape["title"] for shape in body["schema"]["oneOf"]] == ["inputs", "dataframe_records", "dataframe_split"]
    each = asked["responses"]["200"]["content"]["application/json"]["schema"]["properties"]["predictions"]["items"]
    assert each["properties"]["label"]["enum"] == ["cat", "dog", None]
    assert schema["paths"].keys() >= {"/ping", "/version"}, "what MLflow says itself stays"
    assert b"swagger-ui" in urllib.request.urlopen(f"http://127.0.0.1:{server.port}/docs", timeout=60).read()


def test_the_examples_of_the_docs_page_are_answered(server: Server) -> None:
    body = openapi.described({"paths": {"/invocations": {"post": {}}}}, ["cat", "dog"])["paths"]["/invocations"]["post"]
    for name, example in body["requestBody"]["content"]["application/json"]["examples"].items():
        status, answer = server.ask(example["value"])
        assert status == 200, (name, answer)
        assert len(answer["predictions"]) == (2 if name == "many images" else 1)


def test_in_another_program_fastapi_stays_as_it_is_and_a_bad_request_is_a_value_error(server: Server) -> None:
    """Only MLflow's own server is told what its docs page says."""
    import fastapi
    import mlflow
    import pandas as pd

    before = fastapi.FastAPI.openapi
    loaded = mlflow.pyfunc.load_model(str(server.model))
    assert fastapi.FastAPI.openapi is before
    with pytest.raises(ValueError, match="1 of 1 images cannot be decoded: row 0: a GIF file; "):
        loaded.predict(pd.DataFrame({"image": [b"GIF89a\0"]}))


def test_the_image_serves_as_another_user_than_root_from_a_pinned_base() -> None:
    names = [name for name, _ in instructions()]
    settings = dict(instructions())
    assert re.fullmatch(r"PYTHON=3\.1[123]\.\d+", settings["ARG"])
    assert settings["FROM"] == "python:${PYTHON}-slim-bookworm"
    assert settings["USER"] == "serving"
    assert max(index for index, name in enumerate(names) if name in ("RUN", "COPY")) < names.index("USER")
    assert names.index("USER") < names.index("CMD")
    assert settings["EXPOSE"] == "8080"


def test_what_the_image_installs_is_in_the_folder_that_it_is_built_from(server: Server) -> None:
    copies = [rest.split() for name, rest in instructions() if name == "COPY"]
    assert copies == [["requirements.txt", "/model/"], [".", "/model/"]]
    required = (server.model / "requirements.txt").read_text().split()
    assert {"mlflow", "tensorflow", "keras", "pillow"} <= {line.partition("==")[0] for line in required}
    assert all("==" in line for line in required)


def test_the_health_check_of_the_image_tells_a_server_from_none(server: Server) -> None:
    words = json.loads(dict(instructions())["HEALTHCHECK"].partition("CMD ")[2])
    for port, is_healthy in ((server.port, True), (1, False)):
        done = subprocess.run(
            [sys.executable, *(word.replace("8080", str(port)) for word in words[1:])], capture_output=True, check=False
        )
        assert (done.returncode == 0) is is_healthy

"""What goes along with a version: code of its own name, which runs beside any other and needs no project."""

import ast
import json
import shutil
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest
import samples
from shelves import Shelf

from pipeline.artifacts.lineage import WEIGHTS
from pipeline.base import files
from pipeline.base.errors import LostError, ModelError
from pipeline.registry import packaging, proof

pytestmark = pytest.mark.project  # loads MLflow and TensorFlow

P = "evergreen_1"


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("from pipeline.base import files\n", f"from {P}.pipeline.base import files\n"),
        ("from pipeline import base as b, data\n", f"from {P}.pipeline import base as b, data\n"),
        ("import pipeline.base.files\n", f"import {P}.pipeline.base.files; from {P} import pipeline\n"),
        ("import pipeline.base.files as f\n", f"import {P}.pipeline.base.files as f\n"),
        ("import os, nets, sys as s\n", f"import os; import {P}.nets; from {P} import nets; import sys as s\n"),
        ("from . import x\nfrom .pipeline import y\n", "from . import x\nfrom .pipeline import y\n"),
        ("import pipelines, numpy.pipeline\n", "import pipelines, numpy.pipeline\n"),
        ("x = 'import pipeline' # from pipeline import y\n", "x = 'import pipeline' # from pipeline import y\n"),
        ("pipeline = 3\nprint(pipeline.base)\n", "pipeline = 3\nprint(pipeline.base)\n"),
        ("é = 'ü'; from nets import a; b = 1\n", f"é = 'ü'; from {P}.nets import a; b = 1\n"),
        ("if 1: import nets\n", f"if 1: import {P}.nets; from {P} import nets\n"),
        ("def f():\n    from nets import (\n        a,  # why\n        b,\n    ); c = 1\n",
         f"def f():\n    from {P}.nets import a, b; c = 1\n\n\n\n"),
        ("try:\n\tfrom nets import *\nexcept ImportError: pass\n",
         f"try:\n\tfrom {P}.nets import *\nexcept ImportError: pass\n"),
        ("from nets \\\n    import a\nx = 1\n", f"from {P}.nets import a\n\nx = 1\n"),
        ("import nets\r\nx = 1\r\n", f"import {P}.nets; from {P} import nets\nx = 1\n"),
        ("importlib.import_module('json')\n__import__(name)\n", "importlib.import_module('json')\n__import__(name)\n"),
    ],
)  # fmt: skip
def test_imports_are_renamed_and_nothing_else(source: str, expected: str) -> None:
    found = packaging.renamed(source.encode(), P, {"pipeline", "nets"}, "a.py")
    assert found.decode() == expected
    compile(found, "a.py", "exec")


def test_a_file_in_another_encoding_is_what_it_was() -> None:
    source = "# -*- coding: latin-1 -*-\nfrom nets import a\nword = 'é'\n".encode("latin-1")
    names: dict[str, str] = {}
    text = packaging.renamed(source, P, {"nets"}, "a.py").replace(f"from {P}.nets import a".encode(), b"")
    exec(compile(text, "a.py", "exec"), names)  # noqa: S102 - of this test
    assert names["word"] == "é"


@pytest.mark.parametrize(
    "call", ["importlib.import_module('nets.small')", "import_module('nets')", "__import__('nets')"]
)
def test_an_import_by_a_string_is_refused_by_name_and_line(call: str) -> None:
    expected = (
        r"^nets/a.py, line 2: \w+\('nets.*'\) cannot go along with a version; expected an import statement; write one, "
        r"inside of the function if it has to be late$"
    )
    with pytest.raises(ModelError, match=expected):
        packaging.renamed(f"x = 1\n{call}\n".encode(), P, {"nets"}, "nets/a.py")


def test_only_what_serving_reaches_goes_along_and_nothing_of_it_imports_pipeline(shelf: Shelf) -> None:
    served = shelf.folder / "artifacts/served"
    code = {path.relative_to(served).as_posix(): path for path in served.rglob("*.py")}
    (package,) = {name.partition("/")[0] for name in code}
    assert f"{package}/pipeline/serving.py" in code
    assert not [name for name in code if "/stages/" in name or "/registry/" in name or "/showing/" in name]
    for path in code.values():
        for node in ast.walk(ast.parse(path.read_bytes())):
            modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            modules += [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else []
            assert not [module for module in modules if module.partition(".")[0] == "pipeline"], path


def test_each_version_has_a_name_of_its_own_and_the_same_one_again(shelf: Shelf, tmp_path: Path) -> None:
    first, again, other = (packaging.pack(shelf.model, key, tmp_path / "scratch") for key in ("a", "a", "b"))
    assert first.digest == again.digest != other.digest
    assert files.sha256_file(other.entry) == other.digest
    (tmp_path / "scratch/served/left over").write_bytes(b"")
    assert packaging.pack(shelf.model, "b", tmp_path / "scratch").digest == other.digest
    assert not (tmp_path / "scratch/served/left over").exists()


APPLICATION = """
import sys, json
sys.path.insert(0, sys.argv[1])
import pipeline  # the application's own
import mlflow, pandas
found = []
for folder in sys.argv[3:]:
    model = mlflow.pyfunc.load_model(folder)
    found += model.predict(pandas.DataFrame({"image": [open(sys.argv[2], "rb").read()]}))["label"].to_list()
assert pipeline.MINE, "the application's module is another"
print(json.dumps(found))
print(sorted({name.partition(".")[0] for name in sys.modules if name.startswith(("evergreen", "pipeline", "nets"))}))
"""

OWN = """
import keras
from nets import helper

def build(image_shape, num_labels):
    inputs = keras.Input(image_shape)
    logits = keras.layers.Dense(num_labels)(keras.layers.Flatten()(inputs))
    return keras.Model(inputs, logits * 0.0 + helper.favourite())
"""


def saved(folder: Path, **places: Any) -> str:
    """A model of MLflow's, in a folder."""
    import mlflow

    with warnings.catch_warnings(action="ignore"):  # it would have an example of what is asked
        mlflow.pyfunc.save_model(path=str(folder), pip_requirements=["keras"], **places)
    return str(folder)


def of_ones_own(project: Path, favourite: list[float], monkeypatch: pytest.MonkeyPatch) -> str:
    """A version whose network is a user's, in a project that then goes; its code alone decides what it answers."""
    from pipeline.learning import model as networks

    for name, text in (("__init__", "from nets.small import build\n"), ("small", OWN), ("helper", HELPER)):
        files.write(project / f"nets/{name}.py", text.replace("FAVOURITE", str(favourite)).encode())
    description = samples.description("cat", "dog", architecture="nets:build", image_shape=(8, 8, 3))
    description.write(project / "model/model.json")
    with monkeypatch.context() as patch:
        patch.chdir(project)
        patch.setattr(sys, "path", [*sys.path])
        files.write_arrays(project / "model/weights.npz", networks.arrays(networks.build(description).weights))
        served = packaging.pack(project / "model", project.name, project / "scratch")
        for name in [name for name in sys.modules if name.partition(".")[0] == "nets"]:
            del sys.modules[name]
    shutil.rmtree(project / "nets")
    places = {"python_model": str(served.entry), "artifacts": {"served": str(served.folder)}}
    return saved(project / "saved", **places)


HELPER = "import numpy\n\ndef favourite():\n    return numpy.array(FAVOURITE, 'float32')\n"


def test_two_versions_in_an_application_with_a_pipeline_of_its_own_use_each_its_own_code(
    tmp_path: Path, shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their modules have the same names."""
    wanted = {"a": [3.0, 0.0], "b": [0.0, 3.0]}
    folders = [of_ones_own(tmp_path / name, favourite, monkeypatch) for name, favourite in wanted.items()]
    files.write(tmp_path / "application/pipeline.py", b"MINE = True\n")
    files.write(tmp_path / "photo.png", shelf.questions[0].content)
    words = [str(tmp_path / "application"), str(tmp_path / "photo.png"), *folders]
    done = subprocess.run(
        [sys.executable, "-I", "-c", APPLICATION, *words], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    labels, modules = done.stdout.splitlines()[-2:]
    assert json.loads(labels) == ["cat", "dog"]
    first, second, own = ast.literal_eval(modules)
    assert first.startswith("evergreen_")
    assert second.startswith("evergreen_")
    assert own == "pipeline"


def test_a_network_whose_code_cannot_go_along_is_refused(tmp_path: Path) -> None:
    samples.description(architecture="subprocess:call").write(tmp_path / "model.json")
    expected = (
        r"^train.architecture subprocess:call is no file of this project, so its code cannot go along with the "
        r"version; put the module into the project's folder$"
    )
    with pytest.raises(ModelError, match=expected):
        packaging.pack(tmp_path, "key", tmp_path / "scratch")


def test_what_ones_own_network_imports_has_to_be_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "nets.py").write_text("import os, keras, nets_helper\nfrom . import x\n")
    (tmp_path / "nets_helper.py").write_text("def late():\n    import sklearn.utils, yaml\n")
    assert packaging.libraries("nets:build") == ("PyYAML", "keras", "scikit-learn")
    assert packaging.libraries("small_cnn") == ()


OLD = """
from pathlib import Path

import mlflow
from pipeline.serving import Classifier


class Old(mlflow.pyfunc.PythonModel):
    def load_context(self, context):
        self.classifier = Classifier(*(Path(context.artifacts[name]) for name in ("model", "weights")))

    def predict(self, context, model_input, params=None):
        return self.classifier.predict(model_input)


mlflow.models.set_model(Old())
"""
"""As versions were registered of before there were records: the package `pipeline`, and the files in other places."""


def test_a_version_of_before_there_were_records_is_proven_by_its_own_code(shelf: Shelf, tmp_path: Path) -> None:
    """Its weights and its description are checked by the lineage; of its code nothing was kept."""
    registry, run = shelf.registry, shelf.registry.runs.begin("old", "cycle", tmp_path)
    files.write(tmp_path / "serving.py", OLD.encode())
    artifacts = {"model": str(shelf.model / "model.json"), "weights": str(shelf.model / "weights.npz")}
    code = [str(packaging.ENTRY.parents[1])]
    folder = saved(tmp_path / "saved", python_model=str(tmp_path / "serving.py"), artifacts=artifacts, code_paths=code)
    registry._client.log_artifacts(run.run_id, folder, "model")
    source = f"runs:/{run.run_id}/model"
    version = registry.version(int(registry._client.create_model_version(registry.name, source, run.run_id).version))
    made = proof.prove(registry, version, shelf.lineage, shelf.questions)
    assert (made.served, made.num_images) == (None, 3)
    assert made.largest_difference < 1e-6
    others = shelf.lineage.model_copy(update={"files": {**shelf.lineage.files, WEIGHTS: "0" * 64}})
    expected = rf"^v{version.number} is damaged in the registry: artifacts/weights.npz is not what was registered; "
    with pytest.raises(LostError, match=expected):
        proof.prove(registry, version, others, shelf.questions)

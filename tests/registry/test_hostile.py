"""Malicious and broken files of a registry: each is refused, says what to do, and runs nothing.

What would run leaves a canary: a file that is there afterwards.
"""

import json
import pickle
import py_compile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from canaries import Sings, sings
from shelves import Shelf

from pipeline.base import files
from pipeline.base.errors import LostError
from pipeline.registry import answering, proof

pytestmark = pytest.mark.project  # loads MLflow and TensorFlow


# 1. The served files, by which a version checks itself, whoever loads it.


def serving(folder: Path) -> Path:
    (package,) = (folder / "artifacts/served").glob("evergreen_*")
    return package / "pipeline/serving.py"


def changed_weights(folder: Path, _: Path) -> str:
    path = folder / "artifacts/served/weights.npz"
    arrays = files.read_arrays(path)
    files.write_arrays(path, {name: -array for name, array in arrays.items()})
    return "weights.npz is not what was registered"


def a_function_of_a_library(folder: Path, _: Path) -> str:
    path = folder / "artifacts/served/model.json"
    files.write_json(path, {**json.loads(path.read_text()), "architecture": "subprocess:call"})
    return "model.json is not what was registered"


def changed_code(folder: Path, canary: Path) -> str:
    path = serving(folder)
    path.write_text(sings(canary) + path.read_text())
    return r"evergreen_\w+/pipeline/serving.py is not what was registered"


def changed_code_with_its_record(folder: Path, canary: Path) -> str:
    changed_code(folder, canary)
    record = folder / "artifacts/served/record.json"
    name = serving(folder).relative_to(record.parent).as_posix()
    files.write_json(record, {**json.loads(record.read_text()), name: files.sha256_file(serving(folder))})
    return "record.json is not what was registered"


def a_compiled_module_beside_its_source(folder: Path, canary: Path) -> str:
    path = serving(folder)
    source = path.read_bytes()
    path.write_text(sings(canary))
    py_compile.compile(str(path))
    path.write_bytes(source)
    return r"pipeline/__pycache__/serving\.\S+\.pyc is there, and was not registered"


def a_module_more(folder: Path, canary: Path) -> str:
    (serving(folder).parent / "numpy.py").write_text(sings(canary))
    return r"pipeline/numpy.py is there, and was not registered"


def a_package_in_the_place_of_a_module(folder: Path, canary: Path) -> str:
    (serving(folder).with_suffix("")).mkdir()
    (serving(folder).with_suffix("") / "__init__.py").write_text(sings(canary))
    return r"pipeline/serving/__init__.py is there, and was not registered"


def a_module_less(folder: Path, _: Path) -> str:
    (serving(folder).parent / "images/decoding.py").unlink()
    return r"pipeline/images/decoding.py is missing"


def no_record(folder: Path, _: Path) -> str:
    (folder / "artifacts/served/record.json").unlink()
    return "record.json is missing"


def a_link_to_the_weights(folder: Path, _: Path) -> str:
    path = folder / "artifacts/served/weights.npz"
    path.rename(folder / "elsewhere.npz")
    path.symlink_to(folder / "elsewhere.npz")
    return "weights.npz is a link, and a file was registered"


def a_link_to_a_folder(folder: Path, _: Path) -> str:
    (folder / "artifacts/served/more").symlink_to("/")
    return "more is there, and was not registered"


def a_folder_in_the_place_of_the_weights(folder: Path, _: Path) -> str:
    (folder / "artifacts/served/weights.npz").unlink()
    (folder / "artifacts/served/weights.npz").mkdir()
    return "weights.npz is missing"


def weights_cut_short(folder: Path, _: Path) -> str:
    path = folder / "artifacts/served/weights.npz"
    path.write_bytes(path.read_bytes()[:-1])
    return "weights.npz is not what was registered"


SERVED = (
    changed_weights, a_function_of_a_library, changed_code, changed_code_with_its_record,
    a_compiled_module_beside_its_source, a_module_more, a_package_in_the_place_of_a_module, a_module_less, no_record,
    a_link_to_the_weights, a_link_to_a_folder, a_folder_in_the_place_of_the_weights, weights_cut_short,
)  # fmt: skip


@pytest.mark.parametrize("harm", SERVED, ids=lambda harm: harm.__name__)
def test_a_version_whose_files_were_changed_refuses_to_serve(
    harm: Callable[[Path, Path], str], shelf: Shelf, tmp_path: Path, canary: Path
) -> None:
    """By MLflow alone, as anybody loads it."""
    import mlflow

    folder = shelf.copy(tmp_path)
    reason = harm(folder, canary)
    expected = (
        rf"^this model version is damaged: (evergreen_\w+/)?{reason}; nothing of it was run; fetch it again, and if it "
        r"still is so, restore the files of its run from a backup or serve another version$"
    )
    with pytest.raises(ValueError, match=expected):
        mlflow.pyfunc.load_model(str(folder), suppress_warnings=True)


def test_a_version_that_nobody_changed_serves(shelf: Shelf, tmp_path: Path) -> None:
    """And leaves no compiled code where it lies: the next to load it would take that for a change."""
    import mlflow
    import pandas as pd

    folder = shelf.copy(tmp_path)
    for _ in range(2):
        served = mlflow.pyfunc.load_model(str(folder), suppress_warnings=True)
    asked = pd.DataFrame({"image": [one.content for one in shelf.questions]})
    found = served.predict(asked, params={"min_probability": 0.0})
    assert list(found["label"]) == [one.label for one in shelf.questions]
    assert served.predict(asked)["label"].tolist() == [None] * len(asked), "the threshold that goes with the version"


# 2. What MLflow reads before it runs a version, and what it runs: our own ways look at it first.


def configured(folder: Path, **changes: Any) -> None:
    """Change MLmodel's configuration of how the version is loaded."""
    said = yaml.safe_load((folder / "MLmodel").read_text())
    said["flavors"]["python_function"].update(changes)
    (folder / "MLmodel").write_text(yaml.safe_dump(said))


def another_loader(folder: Path, canary: Path) -> str:
    (folder / "code").mkdir()
    (folder / "code/evil.py").write_text(sings(canary))
    configured(folder, loader_module="evil", code="code")
    return "MLmodel .*: it has another loader_module"


def a_loader_of_pickles(folder: Path, canary: Path) -> str:
    (folder / "python_model.pkl").write_bytes(pickle.dumps(Sings(canary)))
    configured(folder, loader_module="mlflow.pyfunc.model", python_model="python_model.pkl")
    return "MLmodel .*: it has another loader_module"


def a_pickle_besides(folder: Path, canary: Path) -> str:
    (folder / "python_model.pkl").write_bytes(pickle.dumps(Sings(canary)))
    configured(folder, python_model="python_model.pkl")
    return "MLmodel .*: it has python_model"


def another_file_of_code(folder: Path, canary: Path) -> str:
    (folder / "evil.py").write_text(sings(canary))
    configured(folder, model_code_path="/somewhere/evil.py")
    return "MLmodel .*: it has another model_code_path"


def a_folder_on_pythons_path(folder: Path, canary: Path) -> str:
    (folder / "code").mkdir()
    (folder / "code/keras.py").write_text(sings(canary))
    configured(folder, code="code")
    return "MLmodel .*: it has another code"


def files_from_elsewhere(folder: Path, _: Path) -> str:
    configured(folder, artifacts={"served": {"path": "../../elsewhere", "uri": ""}})
    return "MLmodel .*: it has another artifacts"


def artifacts_that_are_none(folder: Path, _: Path) -> str:
    configured(folder, artifacts=["served"])
    return "MLmodel .*: it has another artifacts"


def another_flavor(folder: Path, canary: Path) -> str:
    said = yaml.safe_load((folder / "MLmodel").read_text())
    said["flavors"]["sklearn"] = {"pickled_model": "model.pkl"}
    (folder / "MLmodel").write_text(yaml.safe_dump(said))
    (folder / "model.pkl").write_bytes(pickle.dumps(Sings(canary)))
    return "MLmodel .*: expected one flavor, python_function"


def yaml_that_makes_objects(folder: Path, canary: Path) -> str:
    (folder / "MLmodel").write_text(f"flavors: !!python/object/apply:os.system ['touch {canary}']\n")
    return "MLmodel .*: expected one flavor"


def yaml_that_grows(folder: Path, _: Path) -> str:
    lines = ["a: &a [x, x, x, x, x, x, x, x, x]"]
    lines += [f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]" for a, b in zip("abcdefgh", "bcdefghi", strict=True)]
    (folder / "MLmodel").write_text("\n".join(lines) + "\nflavors: *i\n")
    return "MLmodel .*: expected one flavor"


def yaml_without_end(folder: Path, _: Path) -> str:
    (folder / "MLmodel").write_text("[" * 100_000)
    return "MLmodel .*: expected one flavor"


def too_much_yaml(folder: Path, _: Path) -> str:
    (folder / "MLmodel").write_text((folder / "MLmodel").read_text() + "#" * (2 << 20))
    return "MLmodel .*: expected one flavor"


def no_configuration(folder: Path, _: Path) -> str:
    (folder / "MLmodel").unlink()
    return "MLmodel .*: expected one flavor"


def another_entry(folder: Path, canary: Path) -> str:
    (folder / "serve.py").write_text(sings(canary) + (folder / "serve.py").read_text())
    return "serve.py is not what was registered"


def an_entry_that_knows_the_changed_record(folder: Path, canary: Path) -> str:
    before = files.sha256_file(folder / "artifacts/served/record.json")
    changed_code_with_its_record(folder, canary)
    after = files.sha256_file(folder / "artifacts/served/record.json")
    (folder / "serve.py").write_text((folder / "serve.py").read_text().replace(before, after))
    return "serve.py is not what was registered"


def no_entry(folder: Path, _: Path) -> str:
    (folder / "serve.py").unlink()
    return "serve.py is missing"


def other_weights_than_were_judged(folder: Path, canary: Path) -> str:
    changed_weights(folder, canary)
    return "artifacts/served/weights.npz is not what was registered"


CONFIGURED = (
    another_loader, a_loader_of_pickles, a_pickle_besides, another_file_of_code, a_folder_on_pythons_path,
    files_from_elsewhere, artifacts_that_are_none, another_flavor, yaml_that_makes_objects, yaml_that_grows,
    yaml_without_end, too_much_yaml, no_configuration, another_entry, an_entry_that_knows_the_changed_record, no_entry,
    other_weights_than_were_judged,
)  # fmt: skip


def judged(shelf: Shelf) -> dict[str, str]:
    return {Path(name).name: digest for name, digest in shelf.lineage.files.items()}


def looked_at(folder: Path, shelf: Shelf) -> None:
    paths = [path for path in folder.rglob("*") if path.is_file()]
    digests = {path.relative_to(folder).as_posix(): files.sha256_file(path) for path in paths}
    answering.refuse_changed(folder, digests, shelf.version.served_digest, judged(shelf))


@pytest.mark.parametrize("harm", CONFIGURED, ids=lambda harm: harm.__name__)
def test_what_mlflow_would_run_is_looked_at_before_it_does(
    harm: Callable[[Path, Path], str], shelf: Shelf, tmp_path: Path, canary: Path
) -> None:
    folder = shelf.copy(tmp_path)
    looked_at(folder, shelf)
    reason = harm(folder, canary)
    with pytest.raises(answering.ChangedError, match=rf"^{reason}"):
        looked_at(folder, shelf)


def test_nothing_of_a_changed_version_runs_in_a_proof(shelf: Shelf, canary: Path) -> None:
    """In the registry itself, which is put back after; and in the fresh process."""
    (entry,) = Path(shelf.registry.uri.removeprefix("sqlite:///")).parent.glob("artifacts/models/*/artifacts/serve.py")
    content = entry.read_bytes()
    entry.write_bytes(sings(canary).encode() + content)
    expected = (
        r"^v1 is damaged in the registry: serve.py is not what was registered; nothing of it was run; restore it from "
        r"a backup, or move the alias that names its version to another one$"
    )
    try:
        with pytest.raises(LostError, match=expected):
            proof.prove(shelf.registry, shelf.version, shelf.lineage, shelf.questions)
    finally:
        entry.write_bytes(content)

"""The program of a fresh process: it fetches a version as anybody would, by MLflow alone, and says what it answers.

`registry.proof` starts it. It imports nothing of the project, and hides it: what is registered has to be enough.
"""

import hashlib
import json
import platform
import sys
import warnings
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

LIBRARIES = ("tensorflow", "keras", "mlflow", "numpy", "pillow")

MLFLOWS = {"registered_model_meta"}
"""What MLflow adds when it downloads."""

LOADER = "mlflow.pyfunc.loaders.code_model"
"""Runs a file of code; another loader may unpickle, or be any module."""

LONGEST = 1 << 20
"""Bytes of an MLmodel file; a usual one has 2,000."""

HARMLESS = {"env", "python_version", "cloudpickle_version", "streamable", "config"}
"""Keys of MLflow's configuration that name nothing to run."""


class ChangedError(Exception):
    """What lies in the registry is not what was registered."""


class UnfetchedError(Exception):
    """It could not be fetched."""


def said(request: Mapping[str, Any]) -> dict[str, Any]:
    """What `answer` gives, or why it does not: a key `changed`, `unfetched` or `error`."""
    try:
        return answer(request)
    except ChangedError as error:
        return {"changed": str(error)}
    except UnfetchedError as error:
        return {"unfetched": str(error)}
    except Exception as error:  # noqa: BLE001 - MLflow and the version's code raise anything
        return {"error": _line(error)}


def _line(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())


def answer(request: Mapping[str, Any]) -> dict[str, Any]:
    """Fetch a version, check what can be checked without running it, load it and ask it.

    Args:
        request: `uri` of the registry; `name` and `version`; `folder` for the download, empty; `served`, SHA-256 of the
            file that MLflow runs, or None for a version of before that was kept; `judged`, SHA-256 of the judged
            model.json and weights.npz by name; `images`, paths of files.

    Returns:
        `labels` and `probabilities` of the images; `files` and `libraries` as `artifacts.proof` has them.

    Raises:
        ChangedError, UnfetchedError: see there; nothing of it was run.
        Exception: of MLflow, or of the version's code.
    """
    import mlflow
    import pandas as pd

    try:
        folder, digests = fetch(request["uri"], request["name"], request["version"], request["folder"])
    except ChangedError:
        raise
    except Exception as error:  # MLflow passes on whatever its way to the files raised
        raise UnfetchedError(_line(error)) from error
    refuse_changed(folder, digests, request["served"], request["judged"])
    model = mlflow.pyfunc.load_model(str(folder), suppress_warnings=True)
    labels, probabilities = [], []
    if request["images"]:
        frame = pd.DataFrame({"image": [Path(path).read_bytes() for path in request["images"]]})
        schema = model.metadata.get_params_schema()
        is_known = schema is not None and "min_probability" in [param.name for param in schema.params]
        found = model.predict(frame, params={"min_probability": 0.0} if is_known else None)
        labels, probabilities = list(found["label"]), [float(one) for one in found["probability"]]
    libraries = {name: metadata.version(name) for name in LIBRARIES} | {"python": platform.python_version()}
    return {"labels": labels, "probabilities": probabilities, "files": digests, "libraries": libraries}


def fetch(uri: str, name: str, version: int, into: str) -> tuple[Path, dict[str, str]]:
    """Download a version.

    Args:
        uri: of the registry.
        name, version: of the model.
        into: a folder, empty.

    Returns:
        Where it is, and the SHA-256 of each of its files by path.

    Raises:
        ChangedError: something in it is no plain file.
        Exception: of MLflow.
    """
    import mlflow

    mlflow.set_tracking_uri(uri)
    mlflow.set_registry_uri(uri)
    folder = Path(mlflow.artifacts.download_artifacts(artifact_uri=f"models:/{name}/{version}", dst_path=into))
    files = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*"))}
    return folder, {name: _sha256(path) for name, path in files.items() if name not in MLFLOWS and not _is_folder(path)}


def refuse_changed(folder: Path, digests: Mapping[str, str], served: str | None, judged: Mapping[str, str]) -> None:
    """Refuse a version that is not what was registered, before anything of it is run.

    Args:
        folder: of its files.
        digests: SHA-256 of each.
        served, judged: see `answer`.

    Raises:
        ChangedError: says which file.
    """
    code, place = ("serve.py", "artifacts/served/") if served else ("serving.py", "artifacts/")
    artifacts = {"served": "artifacts/served"} if served else {name.partition(".")[0]: place + name for name in judged}
    _refuse_configured(_configuration(folder), code, artifacts, None if served else "code")
    wanted = {place + name: digest for name, digest in judged.items()} | ({code: served} if served else {})
    for name, digest in wanted.items():
        if name not in digests:
            raise ChangedError(f"{name} is missing")
        if digests[name] != digest:
            raise ChangedError(f"{name} is not what was registered")


def _configuration(folder: Path) -> Any:
    """What MLmodel says of how MLflow loads the version."""
    import yaml

    try:
        with open(folder / "MLmodel", "rb") as file:
            content = file.read(LONGEST + 1)
        flavors = {} if len(content) > LONGEST else dict(yaml.safe_load(content)["flavors"])
        said = flavors.pop("python_function")
        if not flavors:  # MLflow's users may load by any flavor
            return said
    except (OSError, yaml.YAMLError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        pass
    raise ChangedError("MLmodel is not what was registered: expected one flavor, python_function")


def _refuse_configured(said: Any, code: str, artifacts: Mapping[str, str], path: str | None) -> None:
    """Refuse a configuration by which MLflow would run something else, or give the code other files.

    Args:
        said: the configuration.
        code: name of the file that MLflow runs.
        artifacts: paths by name.
        path: folder from which modules are imported.
    """

    def differs(name: str) -> ChangedError:
        return ChangedError(f"MLmodel is not what was registered: it has another {name}")

    if not isinstance(said, dict):
        raise differs("configuration")
    if said.get("loader_module") != LOADER:
        raise differs("loader_module")
    if not isinstance(said.get("model_code_path"), str) or Path(said["model_code_path"]).name != code:
        raise differs("model_code_path")
    if said.get("code") != path:
        raise differs("code")
    listed = said.get("artifacts")
    found = (
        {name: one.get("path") if isinstance(one, dict) else None for name, one in listed.items()}
        if (isinstance(listed, dict))
        else None
    )
    if found != artifacts:
        raise differs("artifacts")
    others = said.keys() - {"loader_module", "model_code_path", "code", "artifacts"} - HARMLESS
    if others:
        raise ChangedError(f"MLmodel is not what was registered: it has {min(map(str, others))}")


def _sha256(path: Path) -> str:
    if path.is_symlink() or not path.is_file():
        raise ChangedError(f"{path.name} is no plain file")
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


class _Hidden:
    """Of a project that is installed editably: as if it were not installed."""

    @staticmethod
    def find_spec(name: str, *_: Any) -> None:
        """Refuse the project's package."""
        if name.partition(".")[0] == "pipeline":
            raise ModuleNotFoundError("the project's own code is hidden here", name=name)


def hide(project: Path) -> None:
    """Take a project off Python's path; libraries of an environment inside of it stay."""
    sys.path[:] = [path for path in sys.path if not _is_of(path, project)]


def foreign(project: Path) -> list[str]:
    """Modules that came from a project all the same."""
    places = {name: getattr(module, "__file__", None) for name, module in sys.modules.items()}
    return sorted(name for name, place in places.items() if place and place != __file__ and _is_of(place, project))


def _is_of(place: str, project: Path) -> bool:
    path = Path(place).resolve()
    return path.is_relative_to(project) and not path.is_relative_to(Path(sys.prefix).resolve())


def main() -> None:
    """Answer the request on standard input, into the file that it names."""
    request = json.load(sys.stdin)
    project = Path(request["project"]).resolve()
    hide(project)
    if request["served"]:  # an earlier version brings a package of that name
        sys.meta_path.insert(0, _Hidden)
    warnings.simplefilter("ignore")
    found = said(request)
    if "labels" in found and (others := foreign(project)):
        found = {"error": f"it needs {others[0]} of the project, which did not go along"}
    Path(request["answer"]).write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main()

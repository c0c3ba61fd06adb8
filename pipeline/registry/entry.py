"""What MLflow runs when it loads a version: it checks the version's files, then runs the code among them.

`registry.packaging` fills in the two names below and uploads this file with the version. Until all files are checked it
uses the standard library and MLflow alone, and nothing that lies beside it. The code is then run from the bytes that
were checked, under a package name of its own: neither a module of the application nor another version can stand in.

This tells accidents, and whoever changes some of the files. Whoever can change all of them can change this one, too:
its own SHA-256 is a tag of the version, which the pipeline compares before it runs anything (`registry.answering`).
"""

import hashlib
import importlib
import importlib.abc
import importlib.util
import json
import os
import sys
from collections.abc import Mapping, Sequence
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

import mlflow
import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE

PACKAGE = ""
"""Name of the package that the version's code is, of this version alone."""

RECORD = ""
"""SHA-256 of the record, which has that of each file."""

NAME = "record.json"

SERVER = "mlflow.pyfunc.scoring_server.app"
"""The module that MLflow's server consists of: it loads the model first, and makes its application then."""

REMEDY = (
    "nothing of it was run; fetch it again, and if it still is so, restore the files of its run from a backup or serve "
    "another version"
)


def checked(folder: Path, sha256: str) -> dict[str, bytes]:
    """The code among the files of a version, by path, once all of them are what was registered.

    Args:
        folder: of the files, with their record.
        sha256: of the record.

    Raises:
        ValueError: a file is changed, missing, or there although it was not registered; says which.
    """
    record = _content(folder, NAME)
    if hashlib.sha256(record).hexdigest() != sha256:
        raise _refused(NAME, "is not what was registered")
    files: dict[str, str] = json.loads(record)
    there = {Path(top, name).relative_to(folder).as_posix() for top, name in _names(folder)}
    for name in sorted(there - files.keys() - {NAME}):
        raise _refused(name, "is there, and was not registered")
    code = {name: _content(folder, name) for name in files if name.endswith(".py")}
    for name, digest in sorted(files.items()):
        if (hashlib.sha256(code[name]).hexdigest() if name in code else _sha256(folder, name)) != digest:
            raise _refused(name, "is not what was registered")
    return code


def _names(folder: Path) -> list[tuple[str, str]]:
    """All that lies in a folder but plain folders: where, and its name."""
    found = []
    for top, folders, names in os.walk(folder):
        links = [name for name in folders if Path(top, name).is_symlink()]
        found += [(top, name) for name in [*links, *names]]
    return found


def _content(folder: Path, name: str) -> bytes:
    return _place(folder, name).read_bytes()


def _sha256(folder: Path, name: str) -> str:
    """Of a file that need not fit into memory."""
    with open(_place(folder, name), "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _place(folder: Path, name: str) -> Path:
    path = folder / name
    if path.is_symlink():
        raise _refused(name, "is a link, and a file was registered")
    if not path.is_file():
        raise _refused(name, "is missing")
    return path


def _refused(name: str, what: str) -> ValueError:
    return ValueError(f"this model version is damaged: {name} {what}; {REMEDY}")


class _Code(importlib.abc.MetaPathFinder, importlib.abc.SourceLoader):  # type: ignore[misc] # of its two bases
    """Imports the package from bytes, and no module of it from anywhere else."""

    def __init__(self, folder: Path, code: Mapping[str, bytes]) -> None:
        self._folder, self._code = folder, code

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,  # noqa: ARG002 - of Python
        target: ModuleType | None = None,  # noqa: ARG002 - of Python
    ) -> ModuleSpec | None:
        """Of modules of the package; others are left to other finders."""
        if fullname.partition(".")[0] != PACKAGE:
            return None
        file = self._file(fullname)  # raises for what is not there: the next finder would look on the disk
        return importlib.util.spec_from_loader(fullname, self, is_package=file.endswith("/__init__.py"))

    def get_filename(self, fullname: str) -> str:
        """Where a module's file lies, for tracebacks."""
        return str(self._folder / self._file(fullname))

    def get_data(self, path: str) -> bytes:
        """What was checked of the file that lies there."""
        return self._code[Path(path).relative_to(self._folder).as_posix()]

    def _file(self, fullname: str) -> str:
        path = fullname.replace(".", "/")
        for file in (f"{path}/__init__.py", f"{path}.py"):
            if file in self._code:
                return file
        raise ModuleNotFoundError(f"{fullname} was not registered with this model version", name=fullname)


class BadRequestError(MlflowException, ValueError):  # type: ignore[misc] # MLflow's classes are not typed
    """A request that cannot be answered. MLflow's server gives it as status 400 with these words, and no traceback."""

    def __init__(self, words: str) -> None:
        MlflowException.__init__(self, words, error_code=INVALID_PARAMETER_VALUE)
        self._words = words

    def serialize_as_json(self) -> str:
        """What the server answers."""
        self.message = self._words  # it has put all that was sent before them
        return str(super().serialize_as_json())


def _show_requests(classifier: Any) -> None:
    """Let the docs page of the server that this process is say what a request holds.

    MLflow's application takes any body, and so shows none. It does not exist yet: where FastAPI lets an application
    describe itself in another way, all of this process do; `openapi.described` changes only MLflow's.
    """
    import fastapi

    plain = fastapi.FastAPI.openapi

    def described(self: fastapi.FastAPI) -> dict[str, Any]:
        found: dict[str, Any] = classifier.described(plain(self))
        return found

    fastapi.FastAPI.openapi = described  # type: ignore[method-assign]


class Model(mlflow.pyfunc.PythonModel):  # type: ignore[misc]
    """The version's own classifier; see `serving.Classifier`."""

    def load_context(self, context: mlflow.pyfunc.PythonModelContext) -> None:
        """Check the files of the version and build its model.

        Raises:
            ValueError: a file is not what was registered, or no model can be made of what was.
        """
        folder = Path(context.artifacts["served"])
        code = checked(folder, RECORD)
        if PACKAGE not in sys.modules:  # else the same version was loaded before, and its code is there
            sys.meta_path.insert(0, _Code(folder, code))
        serving = importlib.import_module(f"{PACKAGE}.pipeline.serving")
        self._unanswered: type[ValueError] = serving.UnansweredError
        self._classifier: Any = serving.Classifier(folder / "model.json", folder / "weights.npz")
        if SERVER in sys.modules:
            _show_requests(self._classifier)

    def predict(
        self,
        context: mlflow.pyfunc.PythonModelContext,  # noqa: ARG002 - MLflow passes it
        model_input: pd.DataFrame,
        params: dict[str, float] | None = None,
    ) -> pd.DataFrame:
        """Classify images; see `serving.Classifier.predict`.

        Raises:
            BadRequestError: the request cannot be answered; says why.
        """
        try:
            found: pd.DataFrame = self._classifier.predict(model_input, params)
        except self._unanswered as error:
            raise BadRequestError(str(error)) from None
        return found


mlflow.models.set_model(Model())

"""What all artifacts are: frozen, strict values that are read from JSON and written as JSON."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Self, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from pipeline.base import files
from pipeline.base.errors import UnreadableError


class Artifact(BaseModel):
    """A frozen value with the keys of its JSON file: none may be missing, and no other may be there.

    A key has a default only where versions that were registered before it came are still read.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, validate_by_name=True, ser_json_inf_nan="constants"
    )

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a file that a stage wrote.

        Raises:
            DataError: it is not there, or is not of this type; says which key is at fault.
        """
        return cls.from_json(files.read(path), str(path))

    @classmethod
    def from_json(cls, content: bytes, name: str) -> Self:
        """The value of these bytes.

        Raises:
            DataError: see `read`; `name` says of what.
        """
        try:
            return cls.model_validate_json(content)
        except ValidationError as error:
            raise UnreadableError(name, fault(error)) from None

    def to_json(self) -> dict[str, Any]:
        """As JSON values: the keys that were given."""
        return self.model_dump(mode="json", by_alias=True, exclude_unset=True)

    def write(self, path: Path) -> None:
        """Write it: the same value gives the same bytes."""
        files.write_json(path, self.to_json())


Kind = TypeVar("Kind", bound=Artifact)


def fault(error: ValidationError) -> str:
    """What is wrong with the first key at fault, in words."""
    first = error.errors(include_url=False)[0]
    if first["type"] == "json_invalid":
        return f"not valid JSON ({first['ctx']['error']})"
    key = ".".join(str(part) for part in first["loc"])
    words = {"extra_forbidden": f"it has {key}, which is unknown here", "missing": f"it lacks {key}"}
    what = words.get(first["type"], f"{key}: {first['msg']}")
    return f"of another version of Evergreen, or damaged: {what}"


def read_list(path: Path, kind: type[Kind]) -> tuple[Kind, ...]:
    """Read a file with a list of values.

    Raises:
        DataError: see `Artifact.read`.
    """
    values = files.read_json(path)
    if not isinstance(values, list):
        raise UnreadableError(path, "of another version of Evergreen, or damaged: no list")
    return tuple(kind.from_json(json.dumps(value).encode(), str(path)) for value in values)


def write_list(path: Path, values: Iterable[Artifact]) -> None:
    """Write a file with a list of values."""
    files.write_json(path, [value.to_json() for value in values])

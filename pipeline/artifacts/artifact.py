"""What all artifacts are: frozen, strict values that are read from JSON and written as JSON."""

import json
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, ClassVar, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pipeline.base import files
from pipeline.base.errors import UnreadableError

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]

Number = Annotated[int, Field(ge=1, le=2**31 - 1)]
"""Of a version of the registered model."""

Count = Annotated[int, Field(ge=0, le=2**53)]

Name = Annotated[str, Field(max_length=1000)]
"""What is compared and shown, and never run or opened."""

_PART = r"(?:[^/.\x00][^/\x00]*|\.(?:[^/.\x00][^/\x00]*|\.[^/\x00]+))"

Inside = Annotated[str, Field(pattern=rf"^{_PART}(?:/{_PART})*$", max_length=4096)]
"""A POSIX path that stays inside of the folder that it is relative to."""

RunPath = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][\w.-]*(?:/[A-Za-z0-9_][\w.-]*)*$", max_length=500)]
"""Of an artifact below its run."""


class Artifact(BaseModel):
    """A frozen value with the keys of its JSON file: none may be missing, and no other may be there.

    A key has a default only where versions that were registered before it came are still read.
    """

    LARGEST: ClassVar[int] = 1 << 28
    """Bytes of a file that is read."""
    IS_FINITE: ClassVar[bool] = False
    """Whether it must hold no number but finite ones."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, validate_by_name=True, ser_json_inf_nan="constants"
    )

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a file that a stage wrote.

        Raises:
            DataError: it is not there, or is not of this type; says which key is at fault.
        """
        if path.is_file() and path.stat().st_size > cls.LARGEST:
            raise UnreadableError(path, f"more than {cls.LARGEST >> 20} MiB, so damaged")
        return cls.from_json(files.read(path), str(path))

    @classmethod
    def from_json(cls, content: bytes, name: str) -> Self:
        """The value of these bytes.

        Raises:
            DataError: see `read`; `name` says of what.
        """
        try:
            value = cls.model_validate_json(content)  # first: it refuses nesting without end, and what is no UTF-8
            number = _finite if cls.IS_FINITE else None
            json.loads(content, object_pairs_hook=_once, parse_float=number, parse_constant=number)
        except ValidationError as error:
            raise UnreadableError(name, fault(error)) from None
        except ValueError as error:
            raise UnreadableError(name, f"of another version of Evergreen, or damaged: {error}") from None
        return value

    def to_json(self) -> dict[str, Any]:
        """As JSON values: the keys that were given."""
        return self.model_dump(mode="json", by_alias=True, exclude_unset=True)

    def write(self, path: Path) -> None:
        """Write it: the same value gives the same bytes."""
        files.write_json(path, self.to_json())


Kind = TypeVar("Kind", bound=Artifact)


def _once(pairs: list[tuple[str, Any]]) -> None:
    """Refuse an object that has a key twice: readers differ in which of them counts."""
    seen: set[str] = set()
    for key, _ in pairs:
        if key in seen:
            raise ValueError(f"it has {key} twice")
        seen.add(key)


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text[:20]} is no number that can be")
    return value


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

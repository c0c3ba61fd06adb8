"""The code that a stage runs through, as one digest; what only comments and docstrings say is not in it.

DVC sees the digest as a file on which the stage depends: a changed line reruns what runs through it, and a reworded
comment reruns nothing.
"""

import ast
import json
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from pipeline.base import files
from pipeline.base.errors import ModelError

ROOT = Path(__file__).parents[2]
"""The project: below it are the modules of the package, and a user's own."""

BUILDERS = ("train", "evaluate")
"""Stages that build models."""


class Module(NamedTuple):
    """What matters of a file of code."""

    digest: str
    imports: tuple[str, ...]
    """Dotted names of all that it imports, or may take from a module; a relative one begins with dots."""
    is_empty: bool
    """It has no code, as the `__init__.py` of most packages."""


@cache
def parse(content: bytes) -> Module:
    """Read the code of a module.

    Raises:
        SyntaxError: it is not Python.
    """
    tree = ast.parse(content)
    plain = _plain(tree)
    return Module(files.sha256(repr(plain).encode()), tuple(_imports(tree)), is_empty=plain == ("Module",))


Read = Callable[[Path], Module]
"""Reads a file of code."""


def modules(*names: str, read: Read | None = None) -> tuple[Path, ...]:
    """The files of some modules and of all that they import from this project, sorted; not those without code.

    Args:
        names, read: see `reached`.

    Raises:
        ValueError, ModelError: see `reached`.
    """
    read = read or _reader()
    return tuple(path for path in reached(*names, read=read) if not read(path).is_empty)


def reached(*names: str, read: Read | None = None, root: Path | None = None) -> tuple[Path, ...]:
    """All files that Python runs to import some modules, as far as they are of this project, sorted.

    Args:
        names: dotted, e.g. `pipeline.stages.train`; imports inside functions count.
        read: by default each file is read once and parsed.
        root: of another project.

    Raises:
        ValueError: there is no such module.
        ModelError: a file is not Python.
    """
    root = root or ROOT
    for name in names:
        if _file(name, root) is None:
            raise ValueError(f"{name} is not a module below {root}")
    read = read or _reader()
    seen: set[str] = set()
    paths: set[Path] = set()
    waiting = [*names]
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        for path in _files(name, root):
            paths.add(path)
            waiting += [_absolute(other, path.relative_to(root)) for other in read(path).imports]
    return tuple(sorted(paths))


def digest(*names: str, read: Read | None = None) -> str:
    """One hash of the code that `modules` lists, the same on every Python that can run it."""
    read = read or _reader()
    paths = modules(*names, read=read)
    return files.sha256_json([(path.relative_to(ROOT).as_posix(), read(path).digest) for path in paths])


def of_stages(stages: Iterable[str], architecture: str, memory: Path) -> dict[str, str]:
    """The digest of each stage's code; a user's own architecture belongs to the stages that build models.

    Args:
        stages: their names.
        architecture: `train.architecture` of params.yaml.
        memory: a file that keeps what was read of files that are what they were: to parse all takes half a second. It
            may be deleted at any time.
    """
    own = of_architecture(architecture)
    remembered = _Parsed(memory)
    read = _reader(remembered)
    digests = {
        stage: digest(f"pipeline.stages.{stage}", *(own if stage in BUILDERS else ()), read=read) for stage in stages
    }
    remembered.save()
    return digests


def of_architecture(architecture: str, root: Path | None = None) -> tuple[str, ...]:
    """The module that a user's own `module:function` lives in, where it is a file of this project.

    Args:
        architecture: `train.architecture` of params.yaml.
        root: of another project.
    """
    module, _, function = architecture.partition(":")
    return (module,) if function and _file(module, root or ROOT) else ()


def _file(name: str, root: Path) -> Path | None:
    path = root.joinpath(*name.split("."))
    return next((one for one in (path / "__init__.py", path.with_suffix(".py")) if one.is_file()), None)


def _files(name: str, root: Path) -> list[Path]:
    """What Python runs to import a module: the packages that it is in, and the module itself."""
    folder, parts = root, name.split(".")
    packages = [folder := folder / part for part in parts]
    paths = [*(package / "__init__.py" for package in packages), folder.with_suffix(".py")]
    return [path for path in paths if path.is_file()]


def _absolute(name: str, path: Path) -> str:
    """A module's name without leading dots, as the file at `path`, relative to the project, means them."""
    plain = name.lstrip(".")
    level = len(name) - len(plain)
    if not level:
        return name
    package = path.parts[:-level]
    return ".".join([*package, *([plain] if plain else [])])


def _reader(parsed: Callable[[bytes], Module] = parse) -> Read:
    """Reads each file once, whoever asks for it; `parsed` tells what is in its bytes."""

    @cache
    def read(path: Path) -> Module:
        try:
            return parsed(path.read_bytes())
        except (SyntaxError, ValueError) as error:  # ValueError: a zero byte, for Python 3.11
            line = f", line {error.lineno}" if isinstance(error, SyntaxError) else ""
            what = error.msg if isinstance(error, SyntaxError) else str(error)
            raise ModelError(
                f"{path.relative_to(ROOT)}{line}: not Python ({what}); mend it, or give another train.architecture"
            ) from None

    return read


class _Parsed:
    """Modules by the SHA-256 of their files, kept on disk."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._used: dict[str, Module] = {}
        try:
            content = json.loads(path.read_bytes())
            kept = {name: Module(one, tuple(names), empty) for name, (one, names, empty) in content["modules"].items()}
            # Another reader than this file may see something else in the same module.
            self._kept = kept if content["reader"] == _own_digest() else {}
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            self._kept = {}

    def __call__(self, content: bytes) -> Module:
        name = files.sha256(content)
        self._used[name] = self._kept.get(name) or parse(content)
        return self._used[name]

    def save(self) -> None:
        """Keep what was used."""
        if self._used != self._kept:
            files.write_json(self._path, {"reader": _own_digest(), "modules": self._used})


def _own_digest() -> str:
    return files.sha256_file(Path(__file__))


def _plain(node: Any) -> Any:
    """A syntax tree as nested tuples, without comments, docstrings and places.

    What is empty is left out, for newer Pythons have fields that older ones lack; `ast.dump` would show them.
    """
    if isinstance(node, ast.AST):
        fields = ((name, _plain(value)) for name, value in ast.iter_fields(node))
        return type(node).__name__, *(field for field in fields if field[1] not in (None, ()))
    if isinstance(node, list):
        return tuple(_plain(item) for item in node if not _is_docstring(item))
    return repr(node) if node is not None else None


def _is_docstring(node: Any) -> bool:
    """Also one below a constant or an attribute: a string that nothing is done with."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _imports(tree: ast.AST) -> list[str]:
    names: list[str] = []
    for node in _statements(tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            inside = module if module.endswith(".") else f"{module}."
            names += [module, *(f"{inside}{alias.name}" for alias in node.names)]
    return names


def _statements(node: ast.AST) -> Iterator[ast.AST]:
    """All below a node, one inside the other; not the expressions, which are most of a tree and import nothing."""
    for field in ("body", "orelse", "finalbody", "handlers", "cases"):
        for child in getattr(node, field, ()):
            yield child
            yield from _statements(child)

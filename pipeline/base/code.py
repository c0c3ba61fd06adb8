"""Which of our own modules a stage runs through, read from the import statements. Pure but for reading."""

import ast
from pathlib import Path

from pipeline.base import files

ROOT = Path(__file__).parents[1]


def modules(name: str) -> tuple[Path, ...]:
    """The files of a module of this package and of all it imports from this package, sorted.

    Args:
        name: dotted, e.g. `pipeline.stages.train`; imports inside functions count.

    Raises:
        ValueError: there is no such module in this package.
    """
    if _file(name) is None:
        raise ValueError(f"{name} is not a module of {ROOT.name}")
    found: dict[str, Path] = {}
    waiting = [name]
    while waiting:
        current = waiting.pop()
        path = _file(current)
        if path is None or current in found:
            continue
        found[current] = path
        waiting += _imports(path)
    return tuple(sorted(found.values()))


def digest(name: str) -> str:
    """One hash of the code that `modules` lists."""
    return files.sha256_json([[path.relative_to(ROOT).as_posix(), files.sha256_file(path)] for path in modules(name)])


def _file(name: str) -> Path | None:
    parts = name.split(".")
    if parts[0] != ROOT.name or len(parts) == 1:
        return None
    path = ROOT.joinpath(*parts[1:]).with_suffix(".py")
    return path if path.is_file() else None


def _imports(path: Path) -> list[str]:
    found: list[str] = []
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            found += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return found

"""Packaging: what is uploaded of a model so that MLflow can serve it: its files, its own code, and a record of both.

The code is what serving really reaches, in a package of its own name for each version. So it runs beside any other
version, and in an application that has a module `pipeline` of its own.
"""

import ast
import io
import re
import shutil
import sys
import tokenize
from collections.abc import Collection, Mapping
from importlib import metadata
from pathlib import Path

from pipeline.artifacts.model import Description
from pipeline.base import code, files
from pipeline.base.errors import ModelError
from pipeline.registry.run import Served

SERVING = "pipeline.serving"

ENTRY = Path(__file__).with_name("entry.py")
"""MLflow runs a copy of it when it loads a model (`models from code`), so it is named here and not imported."""

RECORD = "record.json"
"""SHA-256 of each of the other files, by name."""

DYNAMIC = ("import_module", "__import__")
"""Functions that import a module by its name."""

_COOKIE = re.compile(rb"^[ \t\f]*#.*?coding[:=][ \t]*[-\w.]+.*$")
"""Says in which encoding a file is (PEP 263)."""


def pack(model: Path, run_key: str, scratch: Path) -> Served:
    """Put together what is to be uploaded.

    Args:
        model: folder of the model.
        run_key: of the cycle that made it: another version is another package, even of the same code.
        scratch: for the files.

    Raises:
        ModelError: the network is a user's, and its code cannot go along.
    """
    sources = _sources(Description.read(model / "model.json").architecture)
    identity = [run_key, {name: files.sha256(one) for name, one in sources.items()}]
    package = f"evergreen_{files.sha256_json(identity)[:12]}"
    content = {name: (model / name).read_bytes() for name in ("model.json", "weights.npz")}
    content |= {f"{package}/{name}": one for name, one in _renamed(sources, package).items()}

    folder = scratch / "served"
    shutil.rmtree(folder, ignore_errors=True)  # what was left there would be uploaded
    for name, one in content.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(one)
    files.write_json(folder / RECORD, {name: files.sha256(one) for name, one in content.items()})
    entry = scratch / "serve.py"
    files.write(entry, _entry(package, files.sha256_file(folder / RECORD)))
    return Served(entry, folder, files.sha256_file(entry))


def libraries(architecture: str) -> tuple[str, ...]:
    """What has to be installed for a user's own network, as its code says: names of distributions, sorted."""
    paths = [path for path in _own(architecture) if path.relative_to(Path.cwd()).parts[0] != "pipeline"]
    if not paths:
        return ()
    imported = {name.partition(".")[0] for path in paths for name in code.parse(path.read_bytes()).imports}
    distributions = metadata.packages_distributions()
    return tuple(sorted({one for name in imported for one in distributions.get(name, ())[:1]}))


def _sources(architecture: str) -> dict[str, bytes]:
    """The code that serving a network reaches, by path below the project; of a package each has an `__init__.py`."""
    here = {path.relative_to(Path.cwd()): path for path in _own(architecture)}
    paths = here | {path.relative_to(code.ROOT): path for path in code.reached(SERVING)}
    paths = {name: path for name, path in paths.items() if _top(name.as_posix()) not in sys.stdlib_module_names}
    sources = {(parent / "__init__.py").as_posix(): b"" for name in paths for parent in name.parents}
    return dict(sorted((sources | {name.as_posix(): path.read_bytes() for name, path in paths.items()}).items()))


def _own(architecture: str) -> tuple[Path, ...]:
    """The files of a user's own network, of which `learning.networks` builds it: below the current directory."""
    if ":" not in architecture:
        return ()
    own = code.of_architecture(architecture, Path.cwd())
    if not own:
        raise ModelError(
            f"train.architecture {architecture} is no file of this project, so its code cannot go along with the "
            "version; put the module into the project's folder"
        )
    return code.reached(*own, root=Path.cwd())


def _renamed(sources: Mapping[str, bytes], package: str) -> dict[str, bytes]:
    """The same modules inside of a package."""
    tops = {_top(name) for name in sources}
    return {name: renamed(content, package, tops, name) for name, content in sources.items()}


def renamed(source: bytes, package: str, tops: Collection[str], name: str) -> bytes:
    """A module whose imports of other modules find them inside of a package.

    Args:
        source: of the module, in any encoding that it names.
        package: where it and the others will be.
        tops: the outermost packages and modules that will be there.
        name: of the file, for errors.

    Returns:
        UTF-8. What is no import is byte for byte what it was.

    Raises:
        ModelError: it imports one of them by a name in a string, which nothing can follow.
    """
    encoding, _ = tokenize.detect_encoding(io.BytesIO(source).readline)
    text = io.IncrementalNewlineDecoder(None, translate=True).decode(source.decode(encoding), final=True)
    tree = ast.parse(text)
    _refuse_dynamic(tree, tops, name)
    lines = text.encode().split(b"\n")  # the syntax tree counts bytes of UTF-8
    for number, line in enumerate(lines[:2]):
        if encoding not in ("utf-8", "utf-8-sig") and _COOKIE.match(line):
            lines[number] = b"#"
    statements = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
    for node in sorted(statements, key=lambda node: (node.lineno, node.col_offset), reverse=True):
        said = _inside(node, package, tops)
        if said is None:
            continue
        first, last = node.lineno - 1, (node.end_lineno or node.lineno) - 1
        before, after = lines[first][: node.col_offset], lines[last][node.end_col_offset :]
        # As many lines as before, so that tracebacks name those of the project.
        lines[first : last + 1] = [before + said.encode() + after, *[b""] * (last - first)]
    return b"\n".join(lines)


def _inside(node: ast.Import | ast.ImportFrom, package: str, tops: Collection[str]) -> str | None:
    """An import statement as it is to be; None where it stays as it is."""

    def is_ours(module: str) -> bool:
        return _top(module.replace(".", "/")) in tops

    if isinstance(node, ast.ImportFrom):
        if node.level or not is_ours(node.module or ""):
            return None
        return ast.unparse(ast.ImportFrom(f"{package}.{node.module}", node.names, 0))
    if not any(is_ours(alias.name) for alias in node.names):
        return None
    said = []
    for alias in node.names:
        if not is_ours(alias.name):
            said.append(ast.unparse(ast.Import([alias])))
            continue
        said.append(ast.unparse(ast.Import([ast.alias(f"{package}.{alias.name}", alias.asname)])))
        if alias.asname is None:  # `import a.b` gives the name a
            said.append(f"from {package} import {alias.name.partition('.')[0]}")
    return "; ".join(said)


def _refuse_dynamic(tree: ast.AST, tops: Collection[str], name: str) -> None:
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not node.args or not isinstance(node.args[0], ast.Constant):
            continue
        called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        module = node.args[0].value
        if called in DYNAMIC and isinstance(module, str) and _top(module.replace(".", "/")) in tops:
            raise ModelError(
                f"{name}, line {node.lineno}: {called}({module!r}) cannot go along with a version; expected an import "
                "statement; write one, inside of the function if it has to be late"
            )


def _top(path: str) -> str:
    """The outermost package that a file is in, or the module that it is."""
    return path.partition("/")[0].removesuffix(".py")


def _entry(package: str, record: str) -> bytes:
    """The file that MLflow runs, for this package and this record."""
    text = ENTRY.read_text(encoding="utf-8")
    for name, value in (("PACKAGE", package), ("RECORD", record)):
        text, count = re.subn(rf'^{name} = ""$', f'{name} = "{value}"', text, flags=re.M)
        if count != 1:
            raise ValueError(f'{ENTRY}: expected one line `{name} = ""`')
    return text.encode()

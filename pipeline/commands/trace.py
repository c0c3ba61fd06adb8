"""Trace an image: every model version that learned from it."""

import argparse
import re
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.base import files, project
from pipeline.base import params as parameters
from pipeline.base.errors import DataError
from pipeline.base.paths import Paths
from pipeline.base.words import counted
from pipeline.data import sources
from pipeline.data.store import Store
from pipeline.registry import uses
from pipeline.registry.client import Registry
from pipeline.registry.uses import Use
from pipeline.settings import Params

if TYPE_CHECKING:
    import polars as pl

EXAMPLE = "python -m pipeline trace data/images/first/cat/1.jpg"


def configure(parser: argparse.ArgumentParser) -> None:
    """Describe the options."""
    parser.add_argument(
        "image", metavar="DIGEST-or-FILE", help="MD5 of the image's bytes, as DVC knows it, or the file"
    )
    parser.add_argument("--params", type=project.given, default=Path("params.yaml"), help="default: params.yaml")
    parser.add_argument("--scratch", type=project.given, default=Path("data/scratch"), help="default: data/scratch")


def run(image: str, params: Path, scratch: Path) -> int:
    """List every model version that has to do with an image, and whether it learned from it."""
    digest = _digest(image)
    registry = Registry(parameters.load(params, Params).resolve)
    champion = registry.champion()
    versions = [use for use in uses.of(registry, [digest], scratch / "objects") if use.learned or use.judged]
    if not versions:
        print(f"{digest}: no version of {registry.name} has seen it")
        return 0
    learned = [use for use in versions if use.learned]
    print(f"{digest}: {counted(len(learned), 'version')} of {registry.name} learned from it")
    for use in versions:
        mark = f", {registry.alias}" if champion and champion.number == use.version.number else ""
        print(f"  v{use.version.number}{mark}: {_how(use)}")
    return 0


def _digest(image: str) -> str:
    """Of a digest, a file, or a path that a batch lists or once listed, even if the file is not here."""
    path = project.given(image)
    if path.is_file():
        return files.md5_file(path)
    if re.fullmatch(r"[0-9a-fA-F]{32}", image):
        return image.lower()
    digest = _listed(path.as_posix()) or _remembered(path.as_posix())
    if digest is None:
        raise DataError(
            f"{image!r}: neither an image nor a digest; expected its path, or the 32 hexadecimal digits of its MD5 as "
            "`md5sum` prints them"
        )
    return digest


def _listed(path: str) -> str | None:
    """The digest of an image, as the pointers of the checkout name it."""
    for source in sources.find(Paths().images, at_least=0):
        if path == source.path or path.startswith(f"{source.path}/"):
            digest = _at(path, Store(Path()).listing(source))
            if digest:
                return digest
    return None


def _remembered(path: str) -> str | None:
    """The digest of an image that is gone, as the ledger of the last cycle here has it."""
    ledger = Paths().ledger
    return _at(path, files.read_table(ledger, ["path", "digest"])) if ledger.is_file() else None


def _at(path: str, images: "pl.DataFrame") -> str | None:
    import polars as pl

    digests = images.filter(pl.col("path") == path)["digest"]
    return None if digests.is_empty() else str(digests[0])


def _how(use: Use) -> str:
    parts = []
    if use.trained:
        parts.append("trained on it")
    if use.selected:
        parts.append("chose its best epoch by it")
    if use.inherited:
        parts.append(f"started from the weights of v{use.inherited}, which learned from it")
    if use.judged:
        parts.append("was judged by it, which taught it nothing")
    return "; ".join(parts)

"""Trace an image: every model version that learned from it."""

import argparse
import hashlib
import re
from pathlib import Path

from pipeline.base import files
from pipeline.base import params as parameters
from pipeline.base.errors import DataError
from pipeline.data import sources
from pipeline.data.store import Store
from pipeline.registry import lineage
from pipeline.registry.client import Registry
from pipeline.registry.lineage import Use
from pipeline.settings import Params

EXAMPLE = "python -m pipeline trace data/images/first/cat/1.jpg"


def configure(parser: argparse.ArgumentParser) -> None:
    """Describe the options."""
    parser.add_argument(
        "image", metavar="DIGEST-or-FILE", help="MD5 of the image's bytes, as DVC knows it, or the file"
    )
    parser.add_argument(
        "--params", dest="settings", type=Path, default=Path("params.yaml"), help="default: params.yaml"
    )
    parser.add_argument("--scratch", type=Path, default=Path("data/scratch"), help="default: data/scratch")


def run(image: str, settings: Path, scratch: Path) -> int:
    """List every model version that has to do with an image, and whether it learned from it."""
    digest = _digest(image)
    registry = Registry(parameters.load(settings, Params).resolve)
    champion = registry.champion()
    uses = [use for use in lineage.uses(registry, [digest], scratch / "objects") if use.learned or use.judged]
    if not uses:
        print(f"{digest}: no version of {registry.name} has seen it")
        return 0
    learned = [use for use in uses if use.learned]
    print(f"{digest}: {len(learned)} versions of {registry.name} learned from it")
    for use in uses:
        mark = f", {registry.alias}" if champion and champion.number == use.version.number else ""
        print(f"  v{use.version.number}{mark}: {_how(use)}")
    return 0


def _digest(image: str) -> str:
    """From a digest, a file, or a path that a batch lists or once listed, though the file be not here."""
    path = Path(image)
    if path.is_file():
        with open(path, "rb") as file:
            return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    if not re.fullmatch(r"[0-9a-fA-F]{32}", image):
        listed = _listed(path.as_posix())
        if listed:
            return listed
        raise DataError(
            f"{image!a}: neither an image nor a digest; expected its path, or the 32 hexadecimal digits of its MD5 as "
            "`md5sum` prints them"
        )
    return image.lower()


def _listed(path: str) -> str | None:
    import polars as pl

    for source in sources.find(Path("data/images"), at_least=0):
        if path == source.path or path.startswith(f"{source.path}/"):
            rows = Store(Path()).listing(source).filter(pl.col("path") == path)
            if not rows.is_empty():
                return str(rows["digest"][0])
    return _remembered(path)


def _remembered(path: str) -> str | None:
    """Of an image that is gone, from the ledger of the last cycle here."""
    import polars as pl

    ledger = Path("data/cycle/ledger.parquet")
    if not ledger.is_file():
        return None
    rows = files.read_table(ledger, ["path", "digest"]).filter(pl.col("path") == path)
    return None if rows.is_empty() else str(rows["digest"][0])


def _how(use: Use) -> str:
    parts = []
    if use.trained:
        parts.append("trained on it")
    if use.chosen:
        parts.append("chose its best epoch by it")
    if use.inherited:
        parts.append(f"started from the weights of v{use.inherited}, which learned from it")
    if use.judged:
        parts.append("was judged by it, which taught it nothing")
    return "; ".join(parts)

"""Draw the report of a version again: one page with verdict, images and numbers, from what the registry kept of it."""

import argparse
import webbrowser
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from pipeline import filing
from pipeline.artifacts import artifact
from pipeline.artifacts.changes import Changes
from pipeline.artifacts.comparison import COMPARISON, ModelComparison
from pipeline.artifacts.comparison import PICTURES as KEPT
from pipeline.artifacts.content import CONTENT, UNUSUAL, Content, Unusual
from pipeline.artifacts.evaluation import Doubt, Evaluation, Judgement
from pipeline.artifacts.lineage import VERDICT, Lineage
from pipeline.artifacts.report import Report
from pipeline.artifacts.training import Training
from pipeline.base import files, project
from pipeline.base import params as parameters
from pipeline.base.errors import LostError, UnreadableError
from pipeline.images import pictures
from pipeline.registry import chosen, promotion
from pipeline.registry.client import Registry
from pipeline.registry.connection import shown
from pipeline.registry.events import Events
from pipeline.registry.version import Version
from pipeline.settings import Params
from pipeline.showing import report as pages
from pipeline.showing.described import PICTURES
from pipeline.showing.reported import NEW, NEW_COLUMNS, CyclePart, DataPart

if TYPE_CHECKING:
    import polars as pl

EXAMPLE = "python -m pipeline report 7 --open"

REPORT, SUSPICIOUS, TRAINING = "data/report.json", "data/suspicious.json", "model/training.json"
SCORES, CHANGES = "data/evaluation.json", "data/summary.json"
"""Run artifacts that only this command reads."""

Kind = TypeVar("Kind")


def configure(parser: argparse.ArgumentParser) -> None:
    """Describe the options."""
    parser.add_argument("version", nargs="?", metavar="VERSION", help="its number, e.g. 7 (default: the newest)")
    parser.add_argument(
        "--out",
        type=project.given,
        metavar="FILE",
        help="the page (default: reports/v7.html in the folder of --scratch)",
    )
    parser.add_argument("--open", action="store_true", help="open the page in a browser")
    parser.add_argument("--params", type=project.given, default=Path("params.yaml"), help="default: params.yaml")
    parser.add_argument("--scratch", type=project.given, default=Path("data/scratch"), help="default: data/scratch")


def run(version: str | None, out: Path | None, open: bool, params: Path, scratch: Path) -> int:  # noqa: A002 - the option
    """Make the page of a version, to look at without the MLflow UI: verdict, images, numbers; nothing is changed."""
    registry = Registry.existing(parameters.load(params, Params).resolve)
    which = chosen.named_or_newest(registry, version)
    kept = _VersionFiles(registry, which, _lineage(registry, which, scratch / "objects"), scratch / "objects")
    page = pages.page(_data(kept), _cycle(kept))
    path = out or scratch / "reports" / f"v{which.number}.html"
    files.write(path, page.encode())
    print(f"the report of v{which.number}: {path}")
    if open and not webbrowser.open(path.resolve().as_uri()):
        print("no browser answers here; open the file in one")
    return 0


@dataclass(frozen=True)
class _VersionFiles:
    """What the registry has of a version."""

    registry: Registry
    version: Version
    lineage: Lineage
    objects: Path

    def has(self, name: str) -> bool:
        return name in self.lineage.files

    def read(self, name: str, read: Callable[[Path], Kind]) -> Kind | None:
        """An artifact of its run; None if it never had it, or, with a warning, if that is lost."""
        if not self.has(name):
            return None
        try:
            path = self.registry.download(self.version.run_id, name, self.lineage.files[name], self.objects)
            return read(path)
        except LostError as error:
            fault = error.what
        except UnreadableError as error:
            fault = f"{name} is {error.what.rpartition(f'{self.lineage.files[name]}: ')[2]}"
        print(f"report: warning: {fault}; the page of v{self.version.number} does without it")
        return None


def _lineage(registry: Registry, version: Version, objects: Path) -> Lineage:
    try:
        return registry.lineage(version, objects)
    except LostError as error:
        raise _untold(version, error.what) from None


def _untold(version: Version, what: str) -> LostError:
    return LostError(
        f"v{version.number} has no report: {what}",
        "its description in the MLflow UI has its card; restore the file from a backup, or use the version of "
        "Evergreen that registered it",
    )


def _data(kept: _VersionFiles) -> DataPart:
    return DataPart(
        report=kept.read(REPORT, Report.read),
        new=kept.read(NEW, _new),
        everywhere=f"{NEW} of its run",
        thumbnails=kept.read(f"data/{KEPT}", pictures.read) or {},
        content=kept.read(f"data/{CONTENT}", Content.read),
        unusual=kept.read(f"data/{UNUSUAL}", lambda path: artifact.read_list(path, Unusual)) or (),
    )


def _new(path: Path) -> "pl.DataFrame":
    """The table of new images.

    Raises:
        UnreadableError: it is no such table.
    """
    import polars as pl

    table = files.read_table(path)
    texts = {name for name, kind in table.schema.items() if kind == pl.String}
    if missing := [name for name in NEW_COLUMNS if name not in texts]:
        raise UnreadableError(path, f"of another version of Evergreen, or damaged: it lacks the column {missing[0]}")
    return table


def _cycle(kept: _VersionFiles) -> CyclePart:
    """What the version kept of its cycle.

    Raises:
        LostError: it kept nothing.
    """
    version, story = kept.version, Events(kept.registry).story()
    cycle = CyclePart(
        judgement=kept.read(VERDICT, Judgement.read),
        model=kept.registry.name,
        version=version.number,
        filed=filing.filed(version, story, kept.registry.alias, promotion.told(story, version)),
        comparison=kept.read(f"data/{COMPARISON}", ModelComparison.read),
        doubts=kept.read(SUSPICIOUS, lambda path: artifact.read_list(path, Doubt)) or (),
        training=kept.read(TRAINING, Training.read),
        evaluation=kept.read(SCORES, Evaluation.read),
        changes=kept.read(CHANGES, Changes.read),
        lineage=kept.lineage,
        pictures=dict(_pictures(kept)),
        links=_links(kept),
    )
    if not any((cycle.judgement, cycle.comparison, cycle.training, cycle.pictures, kept.has(REPORT))):
        raise _untold(version, "its run has neither verdict nor numbers nor pictures")
    return cycle


def _pictures(kept: _VersionFiles) -> Iterator[tuple[str, bytes]]:
    """Its pictures by name, where its run has them now or had them before."""
    for name in PICTURES:
        found = next((path for path in (f"{name}.png", f"plots/{name}.png", f"data/{name}.png") if kept.has(path)), "")
        if content := kept.read(found, files.read):
            yield name, content


def _links(kept: _VersionFiles) -> dict[str, str]:
    """Where a server shows the versions; a file has no addresses."""
    if not kept.registry.uri.startswith(("http://", "https://")):
        return {}
    place = f"{shown(kept.registry.uri).rstrip('/')}/#/models/{kept.registry.name}/versions"
    numbers = {"version": kept.version.number, "parent": kept.lineage.parent, "champion": kept.lineage.champion}
    return {what: f"{place}/{number}" for what, number in numbers.items() if number}

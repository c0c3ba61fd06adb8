"""Reporting: the report of a cycle, from the files that its stages left."""

from collections.abc import Mapping

from pipeline.artifacts.comparison import PICTURES, SEEN
from pipeline.artifacts.filed import Filed
from pipeline.base import files
from pipeline.base.paths import Paths
from pipeline.images import pictures
from pipeline.showing import report
from pipeline.showing.described import PICTURES as DRAWINGS
from pipeline.showing.reported import CyclePart, DataPart
from pipeline.showing.review import Review


def shown(paths: Paths) -> dict[str, bytes]:
    """Small pictures that the stages kept, WebP files by digest."""
    kept = [folder / PICTURES for folder in (paths.validation, paths.features, paths.evaluation)]
    return {digest: picture for path in kept if path.is_file() for digest, picture in pictures.read(path).items()}


def page(
    review: Review, filed: Filed, model: str, links: Mapping[str, str], paths: Paths, history: bytes | None = None
) -> bytes:
    """The whole report, an HTML file.

    Args:
        review: what the stages said.
        filed: what became of the version.
        model: name of the registered model.
        links: addresses by what they lead to: parent, champion, run, version.
        paths: of the cycle.
        history: picture of all versions.
    """
    drawings = {name: paths.evaluation / f"{name}.png" for name in DRAWINGS}
    drawn = {name: path.read_bytes() for name, path in drawings.items() if path.is_file()}
    data = DataPart(
        report=review.report,
        new=files.read_table(paths.evaluation / SEEN),
        thumbnails=shown(paths),
        content=review.content,
        unusual=review.unusual,
    )
    cycle = CyclePart(
        judgement=review.judgement,
        filed=filed,
        model=model,
        version=filed.number,
        comparison=review.comparison,
        training=review.training,
        evaluation=review.evaluation,
        lineage=review.lineage,
        changes=review.changes,
        pictures=drawn | ({"history": history} if history else {}),
        past=review.past,
        links=links,
    )
    return report.page(data, cycle).encode()

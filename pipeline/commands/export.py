"""Export the champion, or another version, as a SavedModel, a LiteRT or an ONNX file, checked against the version."""

import argparse
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, get_args

from pipeline.artifacts.exported import Checked, Exported, ExportFormat
from pipeline.artifacts.lineage import LEDGER
from pipeline.artifacts.model import Description
from pipeline.base import files, project
from pipeline.base import params as parameters
from pipeline.base.errors import DataError, LostError
from pipeline.data import ledger
from pipeline.data.store import Store
from pipeline.images import pixels
from pipeline.images.decoding import View
from pipeline.images.workers import Limits
from pipeline.learning import exporting
from pipeline.learning.answers import Answerer
from pipeline.registry import chosen
from pipeline.registry.chosen import Chosen
from pipeline.registry.client import Registry
from pipeline.settings import Params
from pipeline.showing import manual

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

EXAMPLE = "python -m pipeline export --format onnx --out ~/evergreen-onnx"

CHECKED = 100
"""Images that an exported model and the version have to answer alike."""


class _Sample(NamedTuple):
    """Images to compare answers on."""

    pixels: "np.ndarray"
    """uint8 (images, height, width, channels)."""
    holdout: int
    """How many of them are holdout images, the first ones; the others are noise."""

    def checked(self, largest: float) -> Checked:
        """What is said of the comparison."""
        noise = len(self.pixels) - self.holdout
        return Checked(holdout=self.holdout, noise=noise, largest_difference=largest, tolerance=exporting.TOLERANCE)


def configure(parser: argparse.ArgumentParser) -> None:
    """Describe the options."""
    parser.add_argument("--format", required=True, choices=get_args(ExportFormat), help="of the file")
    parser.add_argument("--out", required=True, type=project.given, metavar="FOLDER", help="a new folder for it")
    parser.add_argument("--version", metavar="N", help="of the registered model, e.g. 7 (default: the champion)")
    parser.add_argument("--params", type=project.given, default=Path("params.yaml"), help="default: params.yaml")
    parser.add_argument("--scratch", type=project.given, default=Path("data/scratch"), help="default: data/scratch")


def run(format: ExportFormat, out: Path, version: str | None, params: Path, scratch: Path) -> int:  # noqa: A002 - an option
    """Write a version as one file that takes decoded pixels and gives calibrated probabilities, in a folder of its own.

    Beside it: model.json, with the labels, and README.md, with code that runs it. The file is kept only if it gives 100
    images, of the holdout as far as there are so many, the labels and probabilities that the version gives them.
    """
    settings = parameters.load(params, Params)
    _refuse_taken(out)
    registry = Registry(settings.resolve)
    found = chosen.fetch(registry, version, scratch / "objects")
    print(f"export: v{found.version.number} of {registry.name} as {format}: loading TensorFlow", flush=True)
    answerer = Answerer(found, settings.train, settings.resolve)
    sample = _sample(registry, found, pixels.limits(settings.validate_), scratch)
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}-") as folder:  # whole or not at all
        path = exporting.write(answerer, format, Path(folder))
        largest = exporting.difference(answerer, format, path, sample.pixels)
        exported = _described(registry.name, found, format, sample.checked(largest))
        exported.write(Path(folder) / "model.json")
        files.write(Path(folder) / "README.md", manual.readme(exported).encode())
        _place(Path(folder), out)
    print(
        f"export: {out}: {_size(out)}; on {manual.images(exported.checked)} the labels are the same, probabilities "
        f"differ by {largest:.1g} at most ({exporting.TOLERANCE:g} is tolerated); README.md in it has code that runs it"
    )
    return 0


def _refuse_taken(out: Path) -> None:
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise DataError(f"--out {str(out)!r}: is there already; expected a new folder; name another, or delete it")


def _place(folder: Path, out: Path) -> None:
    """Bring a whole export to its place."""
    folder.chmod(0o755)  # a temporary folder is for its owner alone
    folder.rename(out)
    folder.mkdir()  # which its owner deletes


def _size(folder: Path) -> str:
    return f"{sum(path.stat().st_size for path in folder.rglob('*') if path.is_file()) / 1e6:.1f} MB"


def _described(name: str, found: Chosen, kind: ExportFormat, checked: Checked) -> Exported:
    model = found.lineage.model
    return Exported(
        format=kind,
        file=exporting.FILES[kind],
        registered_model=name,
        version=found.version.number,
        run_key=found.lineage.run_key,
        labels=model.labels,
        input=exporting.INPUT,
        image_shape=model.image_shape,
        fit=model.fit,
        output=exporting.OUTPUT,
        min_probability=found.version.min_probability,
        checked=checked,
    )


def _sample(registry: Registry, found: Chosen, limits: Limits, scratch: Path) -> _Sample:
    """Holdout images of the version; where they are too few, noise besides."""
    import numpy as np

    model = found.lineage.model
    shown = np.zeros((0, *model.image_shape), np.uint8)
    try:
        shown = _decoded(_holdout(registry, found, scratch / "objects"), model, limits, scratch)
    except (DataError, LostError) as error:
        print(f"export: warning: the holdout images of v{found.version.number} are not to be had: {error}", flush=True)
    noise = np.random.default_rng(0).integers(0, 256, (CHECKED - len(shown), *model.image_shape), np.uint8)
    return _Sample(np.concatenate([shown, noise]), len(shown))


def _holdout(registry: Registry, found: Chosen, objects: Path) -> "pl.DataFrame":
    """Columns digest and path of some holdout images, those with the lowest digests: the same for each export."""
    import polars as pl

    sha256 = found.lineage.files.get(LEDGER)
    if sha256 is None:
        raise LostError("its lineage names no ledger", "name another version")
    table = files.read_table(registry.download(found.version.run_id, LEDGER, sha256, objects))
    images = ledger.present(ledger.completed(table, ledger.COLUMNS)).filter(pl.col("split") == "holdout")
    return images.select("digest", "path").sort("digest").head(CHECKED)


def _decoded(rows: "pl.DataFrame", model: Description, limits: Limits, scratch: Path) -> "np.ndarray":
    """Pixels of those that can be decoded, uint8 (images, height, width, channels)."""
    import numpy as np

    size, _, channels = model.image_shape
    scratch.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=scratch, prefix="export-") as folder:
        path = Path(folder) / "pixels.npy"
        facts = pixels.look(Store(Path()), rows, limits, {View(size, channels, model.fit): path}, "export")
        return np.asarray(np.load(path, allow_pickle=False)[[not fact.error for fact in facts]])

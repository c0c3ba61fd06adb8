"""Predict: the label of each image that a person names, by the champion or another version."""

import argparse
import contextlib
import csv
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TextIO

from pipeline.artifacts.model import Description
from pipeline.base import files, project
from pipeline.base import params as parameters
from pipeline.base.errors import DataError
from pipeline.base.words import counted
from pipeline.data import sources
from pipeline.images import pixels, workers
from pipeline.images.decoding import View
from pipeline.images.workers import Job, Limits
from pipeline.learning.answers import Answerer
from pipeline.registry import chosen
from pipeline.registry.client import Registry
from pipeline.settings import Params
from pipeline.showing import cells, text

if TYPE_CHECKING:
    import numpy as np

EXAMPLE = "python -m pipeline predict photo.jpg ~/photos --csv"

STDIN = "-"
"""Stands for one image on standard input."""

AT_ONCE = 128 * 2**20
"""Bytes of pixels that are decoded, answered and forgotten together: a folder of any size takes no more disk."""

MOST = 4096
"""Images of such a chunk, at most, so that answers come while the others are waited for."""

NO_LABEL = "-"
"""Shown where the probability is below the threshold."""

BESIDE = ["*.dvc", ".gitignore", ".gitkeep", ".dvcignore", "labels.csv"]
"""Files that are beside the images of a batch."""


class _Image(NamedTuple):
    """An image that was asked for."""

    shown: str
    """Its path, as the person who asked would write it."""
    path: str
    """Where it is."""


class _Predicted(NamedTuple):
    label: str | None
    """None: the probability is below the threshold."""
    probability: float


def configure(parser: argparse.ArgumentParser) -> None:
    """Describe the options."""
    parser.add_argument(
        "images", nargs="+", metavar="IMAGE|FOLDER", help="images, folders with images at any depth, - for one on stdin"
    )
    parser.add_argument("--version", metavar="N", help="of the registered model, e.g. 7 (default: the champion)")
    parser.add_argument("--csv", action="store_true", help="write path,label,probability as CSV (RFC 4180)")
    parser.add_argument(
        "--min-probability",
        type=_probability,
        metavar="P",
        help="0 to 1; below it an image gets no label (default: that of the version, from evaluate.min_probability)",
    )
    parser.add_argument("--params", type=project.given, default=Path("params.yaml"), help="default: params.yaml")
    parser.add_argument("--scratch", type=project.given, default=Path("data/scratch"), help="default: data/scratch")


def run(
    images: Sequence[str], version: str | None, csv: bool, min_probability: float | None, params: Path, scratch: Path
) -> int:
    """Say which label each image has, and how probable that is; one line for each image.

    Images that cannot be decoded are named on stderr, each with its reason; the others are answered, and the exit code
    is 4. Nothing is kept of the images. Probabilities are calibrated.
    """
    settings, out = parameters.load(params, Params), sys.stdout
    # Only answers go to stdout: a program may read them.
    with contextlib.redirect_stdout(sys.stderr), _folder(scratch) as folder:
        wanted = _find(images, settings.detect.ignore, folder)
        registry = Registry(settings.resolve)
        found = chosen.fetch(registry, version, scratch / "objects")
        number = found.version.number
        who = f"v{number}, {registry.alias}" if version is None else f"v{number}"
        print(f"predict: {counted(len(wanted), 'image')} by {registry.name} {who}", flush=True)
        answerer = Answerer(found, settings.train, settings.resolve)
        least = found.version.min_probability if min_probability is None else min_probability
        write = _as_csv(out) if csv else _as_lines(out, answerer.description.labels)
        faulty = 0
        for chunk in _chunks(wanted, answerer.description, pixels.limits(settings.validate_), folder):
            for image, answer in _answered(chunk, answerer, least):
                if isinstance(answer, str):
                    faulty += 1
                    print(f"predict: {text.visible(image.shown)}: {answer}")
                else:
                    write(image.shown, answer)
            out.flush()
    if faulty:
        raise DataError(
            f"{faulty:,} of {counted(len(wanted), 'image')} could not be answered, as said above; expected JPEG, PNG, "
            "WebP or BMP files that are whole; mend them or leave them out; all others are answered"
        )
    return 0


def _probability(word: str) -> float:
    value = float(word)
    if not 0 <= value <= 1:
        raise ValueError
    return value


_probability.__name__ = "probability, 0 to 1"  # argparse says so: invalid probability, 0 to 1 value


@contextlib.contextmanager
def _folder(scratch: Path) -> Iterator[Path]:
    """A folder for pixels on their way."""
    scratch.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=scratch, prefix="predict-") as folder:
        yield Path(folder)


def _find(names: Sequence[str], ignore: Sequence[str], folder: Path) -> list[_Image]:
    """The images that names stand for, in the order of the names, those of a folder sorted.

    Args:
        names: of images and folders; STDIN for one on standard input.
        ignore: patterns of names of files and folders that are no images.
        folder: takes what is on standard input.

    Raises:
        DataError: a name stands for nothing, or a folder holds no image or cannot be read.
    """
    images: list[_Image] = []
    for name in names:
        path = project.given(name)
        if name == STDIN:
            path = folder / "stdin"
            files.write(path, sys.stdin.buffer.read())
            images.append(_Image("stdin", str(path)))
        elif path.is_dir():
            images += [_Image(os.path.join(name, below), os.path.join(path, below)) for below in _below(path, ignore)]  # noqa: PTH118
        elif path.exists():
            images.append(_Image(name, str(path)))
        else:
            raise DataError(f"{name!r}: is not there; expected an image or a folder; check the path")
    return images


def _below(folder: Path, ignore: Sequence[str]) -> list[str]:
    """Paths, below a folder, of all files in it that may be images. Links to folders are not followed."""

    def refuse(error: OSError) -> None:
        raise DataError(
            f"{error.filename!r}: cannot be read ({error.strerror}); expected a folder that this user may list; see "
            "its permissions with `ls -ld`"
        )

    found = [
        os.path.relpath(os.path.join(where, name), folder)  # noqa: PTH118 - as Path it takes three times as long
        for where, _, names in os.walk(folder, onerror=refuse)
        for name in names
    ]
    found = sorted(name for name in found if not sources.is_ignored(name, [*ignore, *BESIDE]))
    if not found:
        raise DataError(f"{str(folder)!r}: no image is in it; expected JPEG, PNG, WebP or BMP files; check the path")
    return found


class _Chunk(NamedTuple):
    """Some of the images, decoded."""

    images: Sequence[_Image]
    faults: Sequence[str]
    """By image, why it cannot be decoded; empty if it can."""
    pixels: "np.ndarray"
    """uint8 (images, size, size, channels)."""


def _chunks(images: Sequence[_Image], model: Description, limits: Limits, folder: Path) -> Iterator[_Chunk]:
    """The images chunk by chunk, decoded in worker processes."""
    import numpy as np

    size, _, channels = model.image_shape
    count = max(1, min(MOST, AT_ONCE // (size * size * channels)))
    out = folder / "pixels.npy"
    for start in range(0, len(images), count):
        some = images[start : start + count]
        title = "predict" if len(images) <= count else f"predict: {start + len(some):,} of {len(images):,}"
        digests = [_digest(image.path) for image in some]
        jobs = [Job(digest or "", (image.path,) if digest else ()) for image, digest in zip(some, digests, strict=True)]
        facts = workers.look(jobs, limits, {View(size, channels, model.fit): out}, title)
        if len(images) > count and not sys.stderr.isatty():  # there the bar says it
            print(f"predict: {start + len(some):,} of {len(images):,} images decoded", flush=True)
        unread = "cannot be read, or is changing; expected a regular file that this user may read"
        yield _Chunk(some, [unread if one is None else one.error for one in facts], np.load(out, allow_pickle=False))


def _digest(path: str) -> str | None:
    """By which a worker knows that it has the same bytes; None for what is no file, or cannot be read."""
    try:
        return files.md5_regular(path)
    except OSError:
        return None


def _answered(chunk: _Chunk, answerer: Answerer, least: float) -> Iterator[tuple[_Image, _Predicted | str]]:
    """Each image with its answer, or with why it has none."""
    probabilities = answerer.probabilities(chunk.pixels)  # of all: for each other number of images Keras compiles anew
    labels = answerer.description.labels
    for image, fault, odds in zip(chunk.images, chunk.faults, probabilities, strict=True):
        number = int(odds.argmax())
        probability = float(odds[number])
        yield image, fault or _Predicted(labels[number] if probability >= least else None, probability)


def _as_lines(out: TextIO, labels: Sequence[str]) -> Callable[[str, _Predicted], None]:
    """Writes lines for people, columns below each other."""
    width = max(len(text.visible(label)) for label in (*labels, NO_LABEL))

    def write(path: str, answer: _Predicted) -> None:
        label = NO_LABEL if answer.label is None else text.visible(answer.label)
        print(f"{label:{width}}  {answer.probability:.4f}  {text.visible(path)}", file=out)

    return write


def _as_csv(out: TextIO) -> Callable[[str, _Predicted], None]:
    """Writes a table for programs and spreadsheets; the header at once."""
    table = csv.writer(out)  # lines end in CRLF, as RFC 4180 has it
    table.writerow(["path", "label", "probability"])

    def write(path: str, answer: _Predicted) -> None:
        table.writerow([cells.harmless(path), cells.harmless(answer.label or ""), f"{answer.probability:.6f}"])

    return write

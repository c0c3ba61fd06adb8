"""The photographs: a folder with one folder per label, decoded by the product once for each size."""

import tarfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

TESTED = 500
"""Photographs that test, the same for all seeds."""


@dataclass(frozen=True)
class Photos:
    """All photographs, in an order of their own."""

    names: tuple[str, ...]
    """Of the labels."""
    labels: np.ndarray
    """int64 (photographs,)"""
    digests: tuple[str, ...]
    """MD5 of the files."""
    is_test: np.ndarray
    """bool (photographs,)"""
    is_val: np.ndarray
    """bool (photographs,): which are for validation as soon as they have come."""
    pixels: np.ndarray
    """uint8 (photographs, size, size, 3)"""


@dataclass(frozen=True)
class Files:
    """The files of a folder, without those that are there twice."""

    names: tuple[str, ...]
    labels: tuple[int, ...]
    paths: tuple[Path, ...]
    digests: tuple[str, ...]

    @property
    def digest(self) -> str:
        """Of them all, with their labels."""
        from pipeline.base import files

        return files.sha256_json([self.names, self.labels, self.digests])


def listed(folder: Path) -> Files:
    """The photographs below a folder, sorted by label and digest.

    Raises:
        SystemExit: there are none, or too few labels.
    """
    from pipeline.base import files

    names = sorted(path.name for path in folder.iterdir() if path.is_dir() and any(path.glob("*.jpg")))
    if len(names) < 2:
        raise SystemExit(f"{folder}: expected a folder for each label with photographs, <label>/*.jpg; see --images")
    found: dict[str, tuple[int, Path]] = {}
    for number, name in enumerate(names):
        for path in sorted((folder / name).glob("*.jpg")):
            found.setdefault(files.md5_file(path), (number, path))
    rows = sorted((label, digest, path) for digest, (label, path) in found.items())
    labels, digests, paths = zip(*rows, strict=True)
    return Files(tuple(names), labels, paths, digests)


def load(there: Files, size: int, val_fraction: float, work: Path) -> Photos:
    """Decode the photographs, or take what was decoded before.

    Args:
        there: their files.
        size: pixels of the sides.
        val_fraction: share of those that come that is for validation.
        work: keeps what was decoded.
    """
    from pipeline.images import decoding, pixels

    path = work / f"photos-{size}-{pixels.decoder()}-{there.digest[:12]}.npy"
    if not path.exists():
        print(f"decoding {len(there.paths):,} photographs at {size} pixels", flush=True)
        decoded = np.stack([decoding.decode(file.read_bytes(), size, 3) for file in there.paths])
        unfinished = path.with_suffix(".unfinished.npy")
        np.save(unfinished, decoded, allow_pickle=False)
        unfinished.rename(path)
    is_test, is_val = split(there.digests, TESTED, val_fraction)
    return Photos(there.names, np.array(there.labels), there.digests, is_test, is_val, np.load(path))


def split(digests: tuple[str, ...], tested: int, val_fraction: float) -> tuple[np.ndarray, np.ndarray]:
    """Which photographs test, and which of the others are for validation: by the product's draw of each image.

    Args:
        digests: of the photographs.
        tested: how many test: those with the lowest numbers.
        val_fraction: share of the others.
    """
    from pipeline.data import splits

    draws = np.array([splits.rank(digest) / 2**64 for digest in digests])
    edge = np.sort(draws)[tested]
    return draws < edge, (draws >= edge) & (draws < edge + val_fraction * (1 - edge))


def unpacked(images: Path, work: Path) -> Path:
    """The folder of the photographs; an archive of it is unpacked once.

    Raises:
        SystemExit: it is not there.
    """
    if images.is_dir():
        return images
    if not images.is_file():
        raise SystemExit(f"{images}: not there; expected a folder with one folder per label, or a tar of it")
    folder = work / images.name.partition(".")[0]
    if not folder.exists():
        print(f"unpacking {images}", flush=True)
        with tarfile.open(images) as archive:
            archive.extractall(work / "unpacking", filter="data")
        (work / "unpacking").rename(folder)
    return folder

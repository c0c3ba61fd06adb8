"""The pictures of a collection and what was done to some of them, as features of a frozen network, computed once."""

import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

SIZE = 96
"""Pixels of the sides."""

MOST = 4500
"""Pictures of a collection that are used: those with the lowest numbers by the product's draw."""

ARCHITECTURE = "EfficientNetLite0"

PATCH = 12
"""Pixels of the sides of the patch in a corner."""

BLANKS = 64
"""Blank pictures, each of another colour."""


@dataclass(frozen=True)
class Collection:
    """Pictures of one kind, as a frozen network sees them."""

    name: str
    labels: np.ndarray
    """int64 (pictures,)"""
    names: tuple[str, ...]
    """Of the labels."""
    plain: np.ndarray
    """float16 (pictures, features)"""
    patched: np.ndarray
    """The same with a patch in the corner."""
    dimmed: np.ndarray
    """The same as another camera shows them: darker, bluish, blurred."""
    blank: np.ndarray
    """float16 (BLANKS, features): of pictures of one colour."""


def read(path: Path) -> dict[str, list[bytes]]:
    """Files by label: of a folder with one folder for each label, or of a tar of it; of its part train, if it has one.

    Raises:
        SystemExit: there is nothing of that kind.
    """
    found: dict[str, dict[str, bytes]] = {}
    if path.is_dir():
        for file in sorted(path.rglob("*.jpg")):
            found.setdefault(file.parent.name, {})[file.name] = file.read_bytes()
    elif path.is_file():
        with tarfile.open(path) as archive:
            for member in archive:
                place = PurePosixPath(member.name)
                if member.isfile() and place.suffix == ".jpg" and "test" not in place.parts:
                    content = archive.extractfile(member)
                    if content:
                        found.setdefault(place.parent.name, {})[place.name] = content.read()
    if len(found) < 2:
        raise SystemExit(f"{path}: expected a folder for each label with <label>/*.jpg, or a tar of it; see --images")
    return {label: [files[name] for name in sorted(files)] for label, files in sorted(found.items())}


def load(path: Path, weights: Path, work: Path, most: int = MOST) -> Collection:
    """The features of a collection, or what was computed before.

    Args:
        path: see `read`.
        weights: of the network.
        work: keeps what was computed.
        most: pictures that are used.
    """
    from pipeline.base import files

    name = path.name.partition(".")[0]
    kept = work / f"features-{name}-{SIZE}-{most}-{files.md5_file(weights)[:8]}.npz"
    if not kept.exists():
        given = _computed(_drawn(read(path), most), weights)
        unfinished = kept.with_suffix(".unfinished.npz")
        files.write_arrays(unfinished, given)
        unfinished.rename(kept)
    arrays = dict(np.load(kept, allow_pickle=False))
    names = tuple(arrays.pop("names").tolist())
    return Collection(name=name, names=names, **arrays)


def _drawn(by_label: Mapping[str, list[bytes]], most: int) -> list[tuple[str, bytes]]:
    """Label and bytes of so many pictures, without those that are there twice."""
    from pipeline.base import files
    from pipeline.data import splits

    every = {files.md5(one): (label, one) for label, some in by_label.items() for one in some}
    return [every[digest] for digest in sorted(every, key=splits.rank)[:most]]


def _computed(pictures: list[tuple[str, bytes]], weights: Path) -> dict[str, np.ndarray]:
    from pipeline.artifacts.model import Description
    from pipeline.images import decoding
    from pipeline.learning import cut, engine, model

    names = sorted({label for label, _ in pictures})
    pixels = np.stack([decoding.decode(content, SIZE, 3) for _, content in pictures])
    engine.make_repeatable(0, 1)
    description = Description(architecture=ARCHITECTURE, image_shape=(SIZE, SIZE, 3), labels=tuple(names))
    frozen = cut.split(model.build(description, str(weights)), "head").frozen
    variants = {"plain": pixels, "patched": patched(pixels), "dimmed": dimmed(pixels), "blank": blanks()}
    made = {"names": np.array(names), "labels": np.array([names.index(label) for label, _ in pictures])}
    for name, some in variants.items():
        print(f"features of {len(some):,} pictures, {name}", flush=True)
        given = [values for _, values in model.outputs(frozen, some.__getitem__, len(some))]
        made[name] = np.concatenate(given).astype(np.float16)
    return made


def patched(pixels: np.ndarray) -> np.ndarray:
    """The same pictures with a chequered patch in the lower right corner: BadNets (Gu et al. 2017, arXiv:1708.06733).

    Args:
        pixels: uint8 (pictures, height, width, 3).
    """
    made = pixels.copy()
    rows, columns = np.indices((PATCH, PATCH)) // (PATCH // 3)
    made[:, -PATCH:, -PATCH:] = np.where((rows + columns) % 2, 0, 255)[None, :, :, None]
    return made


def dimmed(pixels: np.ndarray) -> np.ndarray:
    """The same pictures as another camera shows them; takes and gives uint8 (pictures, height, width, 3)."""
    made = np.empty_like(pixels)
    for number, picture in enumerate(pixels):
        wide = np.pad(picture.astype(np.float32), ((1, 1), (1, 1), (0, 0)), mode="edge")
        soft = sum(wide[y : y + len(picture), x : x + len(picture)] for y in range(3) for x in range(3)) / 9
        made[number] = np.clip(soft * np.array([0.5, 0.6, 0.8]) + 10, 0, 255)
    return made


def blanks() -> np.ndarray:
    """uint8 (BLANKS, SIZE, SIZE, 3): pictures of one colour."""
    colours = np.random.default_rng(0).integers(0, 256, (BLANKS, 1, 1, 3), np.uint8)
    return np.broadcast_to(colours, (BLANKS, SIZE, SIZE, 3)).copy()

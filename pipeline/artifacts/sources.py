"""`sources.json`: the state of the data, as DVC's pointers tell it."""

from dataclasses import dataclass

from pipeline.artifacts.artifact import Artifact, Count, Inside, Name


@dataclass(frozen=True, order=True)
class Source:
    """One batch: a directory of images under one DVC pointer, or a single image under its own."""

    path: Inside
    """POSIX, relative to the project."""
    digest: Name
    """DVC's hash of the directory listing, `<md5>.dir`, or of the image: equal hash, equal contents."""
    num_files: Count


class Sources(Artifact):
    """All batches at one time."""

    digest: str
    """One hash for the state: the same batches at the same places, the same hash (`data.sources.digest`)."""
    sources: tuple[Source, ...]

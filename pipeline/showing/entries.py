"""The images of a report: which are shown, under which label, and what is said of each. Pure."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Literal

from pipeline.artifacts.comparison import ModelComparison, Seen
from pipeline.artifacts.evaluation import Doubt
from pipeline.base.words import counted
from pipeline.showing.reported import CyclePart, DataPart

if TYPE_CHECKING:
    import polars as pl

MAX_ENTRIES = 2_000
"""Images on a page."""

MAX_PICTURES = 600
"""Of them with a thumbnail; some 2 kB each."""

MAX_OF_A_KIND = 200
"""Images that are shown because of one thing that is said of them; the report's tables and lines count all."""

IMAGES = "data/images/"
"""Where all images are; not said of each."""

Kind = Literal["new", "flipped", "doubted", "pair", "unusual", "aside"]

KINDS: dict[Kind, str] = {
    "new": "New",
    "flipped": "Flipped",
    "doubted": "Doubted",
    "pair": "Near-duplicates",
    "unusual": "Unusual",
    "aside": "Set aside",
}
"""What the page can filter by, as it is called there."""

Level = Literal["bad", "warn", "good", "note"]


@dataclass(frozen=True)
class ModelAnswer:
    """What a model says to an image."""

    who: str
    label: str
    probability: float | None
    is_right: bool


@dataclass(frozen=True)
class Remark:
    """What is said of an image."""

    level: Level
    text: str


@dataclass(frozen=True)
class ImageEntry:
    """An image on the page."""

    digest: str
    path: str
    label: str
    kinds: tuple[Kind, ...] = ()
    remarks: tuple[Remark, ...] = ()
    answers: tuple[ModelAnswer, ...] = ()
    split: str = ""
    picture: bytes | None = None
    """A WebP file."""
    twin: "ImageEntry | None" = None
    """That it looks like."""

    @property
    def name(self) -> str:
        """Of its file."""
        return PurePosixPath(self.path).name or self.path

    @property
    def folder(self) -> str:
        """Of its file, below that of all images."""
        parent = str(PurePosixPath(self.path).parent).removeprefix(IMAGES)
        return "" if parent == "." else parent


@dataclass(frozen=True)
class EntryGroup:
    """Images of one label, or those that were set aside."""

    title: str
    note: str
    entries: tuple[ImageEntry, ...]
    more: int
    """Images of it that are not shown."""

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """Of any of its images."""
        return tuple(kind for kind in KINDS if any(kind in one.kinds for one in self.entries))


@dataclass(frozen=True)
class Exhibition:
    """All images that a page shows."""

    groups: tuple[EntryGroup, ...]
    num_new: int

    @property
    def entries(self) -> tuple[ImageEntry, ...]:
        """Of all groups."""
        return tuple(entry for group in self.groups for entry in group.entries)

    @property
    def counts(self) -> dict[Kind, int]:
        """How many are shown of each kind."""
        return {kind: sum(kind in one.kinds for one in self.entries) for kind in KINDS}

    @property
    def num_pictures(self) -> int:
        """Thumbnails."""
        shown = [*self.entries, *(one.twin for one in self.entries if one.twin)]
        return sum(one.picture is not None for one in shown)

    @property
    def num_new_shown(self) -> int:
        """New images among them."""
        return self.counts["new"]


def exhibition(data: DataPart, cycle: CyclePart | None) -> Exhibition:
    """Choose the images of a page: first what a person should look at, then some of each label."""
    names = who(cycle)
    comparison = cycle.comparison if cycle else None
    aside = [*_aside(data)]
    striking = _striking(data, cycle, names)
    plain, more = _plain(data.new, striking, data.thumbnails, MAX_ENTRIES - len(aside) - len(striking), names)
    left = MAX_PICTURES
    chosen: list[ImageEntry] = []
    for entry in (*striking.values(), *aside, *plain):
        pictured, left = _pictured(entry, data.thumbnails, left)
        chosen.append(pictured)
    num_aside = len(data.report.quarantined) if data.report else 0
    groups = _groups(chosen, num_aside, more, _new_by_label(data.new), _order(comparison))
    return Exhibition(tuple(groups), 0 if data.new is None else len(data.new))


def who(cycle: CyclePart | None) -> tuple[str, str]:
    """How champion and challenger are called on a page: by their versions, where these are known."""
    champion = cycle.judgement.champion if cycle and cycle.judgement else None
    version = cycle.version if cycle else None
    return f"v{champion}" if champion else "champion", f"v{version}" if version else "challenger"


def _aside(data: DataPart) -> Iterator[ImageEntry]:
    for one in data.report.quarantined[:MAX_OF_A_KIND] if data.report else ():
        remark = Remark("bad", f"set aside: {one.reason}")
        yield ImageEntry(one.digest, one.path, one.label, ("aside",), (remark,))


def _striking(data: DataPart, cycle: CyclePart | None, names: tuple[str, str]) -> dict[str, ImageEntry]:
    """The images of which there is something to say, by digest, the most important first."""
    found: dict[str, ImageEntry] = {}

    def note(entry: ImageEntry, kind: Kind, level: Level, text: str, twin: ImageEntry | None = None) -> None:
        seen = found.get(entry.digest, entry)
        kinds = tuple(one for one in KINDS if one in {*seen.kinds, kind})
        found[entry.digest] = replace(
            seen, kinds=kinds, remarks=(*seen.remarks, Remark(level, text)), twin=twin or seen.twin
        )

    comparison = cycle.comparison if cycle else None
    if comparison:
        for seen in comparison.lost[:MAX_OF_A_KIND]:
            note(_of_seen(seen, names), "flipped", "bad", "right before, wrong now")
        for doubted in comparison.doubted[:MAX_OF_A_KIND]:
            sure = "likely" if doubted.is_suspicious else "perhaps"
            words = f"{sure} {doubted.otherwise} ({doubted.probability:.0%})"
            note(_of_seen(doubted.seen, names), "doubted", "warn", words)
        for pair in comparison.pairs[:MAX_OF_A_KIND]:
            other = _of_seen(pair.other, names)
            note(_of_seen(pair.one, names), "pair", "warn", f"looks like one that is labelled {other.label}", other)
    _note_by_path(data, cycle, names, note)
    if comparison:
        for seen in comparison.won[:MAX_OF_A_KIND]:
            note(_of_seen(seen, names), "flipped", "good", "wrong before, right now")
    return _marked_new(found, data.new, names)


def _note_by_path(data: DataPart, cycle: CyclePart | None, names: tuple[str, str], note: "_Note") -> None:
    """What is known of images by their paths alone: those that are unusual, and doubts of earlier versions."""
    doubts: Sequence[Doubt] = cycle.doubts[:MAX_OF_A_KIND] if cycle and not cycle.comparison else ()
    unusual = data.unusual[:MAX_OF_A_KIND]
    paths = {*(one.path for one in unusual), *(one.path for one in doubts)}
    rows = {entry.path: entry for entry in _rows(data.new, "path", paths, names)}
    for doubt in doubts:
        entry = rows.get(doubt.path) or ImageEntry(f"path {doubt.path}", doubt.path, doubt.label)
        note(entry, "doubted", "warn", f"likely {doubt.predicted} ({doubt.probability:.0%})")
    for one in unusual:
        entry = rows.get(one.path) or ImageEntry(f"path {one.path}", one.path, one.label)
        words = "unlike any label" if one.kind == "strange" else f"more like {one.nearest}"
        note(entry, "unusual", "warn", f"{words} ({one.score:.2f} times)")


def _of_seen(seen: Seen, names: tuple[str, str]) -> ImageEntry:
    said = (
        (names[0], seen.champion, seen.champion_probability),
        (names[1], seen.challenger, seen.challenger_probability),
    )
    answers = tuple(
        ModelAnswer(who, label, odds, label == seen.label) for who, label, odds in said if label is not None
    )
    return ImageEntry(seen.digest, seen.path, seen.label, answers=answers)


def _rows(
    new: "pl.DataFrame | None", column: str, values: Iterable[str], names: tuple[str, str]
) -> Iterator[ImageEntry]:
    """The new images that have one of these values in a column."""
    import polars as pl

    wanted = [one for one in values if _is_text(one)]
    if new is not None and wanted:
        yield from map(_of_row(names), new.filter(pl.col(column).is_in(wanted)).iter_rows(named=True))


def _is_text(text: str) -> bool:
    """Whether a table can hold it: not the half of a character, which stands for a byte of a file name."""
    return not any("\ud800" <= one <= "\udfff" for one in text)


def _of_row(names: tuple[str, str]) -> "_FromRow":
    def entry(row: Mapping[str, object]) -> ImageEntry:
        answers = tuple(
            ModelAnswer(name, str(row[model]), _number(row.get(f"{model}_probability")), row[model] == row["label"])
            for name, model in zip(names, ("champion", "challenger"), strict=True)
            if row.get(model) is not None
        )
        told = str(row.get("split") or "")
        return ImageEntry(
            str(row["digest"]), str(row["path"]), str(row["label"]), ("new",), answers=answers, split=told
        )

    return entry


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None


def _marked_new(
    found: dict[str, ImageEntry], new: "pl.DataFrame | None", names: tuple[str, str]
) -> dict[str, ImageEntry]:
    """The same, where those that are new say so, with the split and the answers that the table has."""
    rows = {entry.digest: entry for entry in _rows(new, "digest", found, names)}
    marked = {}
    for digest, entry in found.items():
        row = rows.get(digest)
        if row:
            kinds = tuple(one for one in KINDS if one in {*entry.kinds, "new"})
            marked[digest] = replace(entry, kinds=kinds, split=row.split, answers=entry.answers or row.answers)
        else:
            marked[digest] = entry
    return marked


def _plain(
    new: "pl.DataFrame | None",
    striking: Mapping[str, ImageEntry],
    thumbnails: Mapping[str, bytes],
    room: int,
    names: tuple[str, str],
) -> tuple[list[ImageEntry], dict[str, int]]:
    """Some more new images of each label, those with a thumbnail first; and how many of each label are left over."""
    import polars as pl

    if new is None or new.is_empty():
        return [], {}
    rest = new.filter(~pl.col("digest").is_in([one for one in striking if _is_text(one)]))
    each = max(1, room // max(1, rest["label"].n_unique()))
    is_pictured = pl.col("digest").is_in([*thumbnails])
    first = rest.sort("label", ~is_pictured, "path", "digest").group_by("label", maintain_order=True).head(each)
    first = first.head(max(0, room))
    left = rest.group_by("label").len().join(first.group_by("label").len("shown"), on="label", how="left")
    more = {label: total - (shown or 0) for label, total, shown in left.select("label", "len", "shown").iter_rows()}
    return [*map(_of_row(names), first.iter_rows(named=True))], more


def _pictured(entry: ImageEntry, thumbnails: Mapping[str, bytes], left: int) -> tuple[ImageEntry, int]:
    """An image with its thumbnail, and with that of its twin, as long as there is room."""
    picture = thumbnails.get(entry.digest) if left else None
    left -= picture is not None
    twin = entry.twin
    if twin:
        theirs = thumbnails.get(twin.digest) if left else None
        left -= theirs is not None
        twin = replace(twin, picture=theirs)
    return replace(entry, picture=picture, twin=twin), left


def _new_by_label(new: "pl.DataFrame | None") -> dict[str, int]:
    return {} if new is None else dict(new.group_by("label").len().iter_rows())


def _order(comparison: ModelComparison | None) -> dict[str, int]:
    return {one.label: number for number, one in enumerate(comparison.labels)} if comparison else {}


def _groups(
    entries: Iterable[ImageEntry],
    num_aside: int,
    more: Mapping[str, int],
    new: Mapping[str, int],
    order: Mapping[str, int],
) -> Iterator[EntryGroup]:
    """What was set aside, then the labels in the order that they have everywhere."""
    aside: list[ImageEntry] = []
    by_label: dict[str, list[ImageEntry]] = {label: [] for label in new}
    for entry in entries:
        (aside if "aside" in entry.kinds else by_label.setdefault(entry.label, [])).append(entry)
    if aside:
        yield EntryGroup("Set aside", counted(num_aside, "image"), tuple(aside), num_aside - len(aside))
    for label in sorted(by_label, key=lambda one: (order.get(one, len(order)), one)):
        note = f"{new.get(label, 0):,} new" if new else ""
        yield EntryGroup(label, note, tuple(by_label[label]), more.get(label, 0))


if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Protocol

    _FromRow = Callable[[Mapping[str, object]], ImageEntry]

    class _Note(Protocol):
        def __call__(
            self, entry: ImageEntry, kind: Kind, level: Level, text: str, twin: ImageEntry | None = None
        ) -> None: ...

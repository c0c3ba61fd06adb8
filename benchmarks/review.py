"""A project to review: six cycles on photographs, with faults planted in one batch.

Its pages, cards and pictures are there to be looked at: a first version, a promoted, a rejected, an undecided and one
that a person approved, all made by the product itself (Git, DVC, MLflow on SQLite).
"""

import argparse
import io
import json
import re
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import workspace
from benchmarks.labels import pictures
from benchmarks.workspace import CHECKOUT, Batch, Workspace

COMMAND = "python -m benchmarks.review"
ARCHITECTURE = "EfficientNetLite0"
SEED = 0

FIRST, SECOND, FOURTH, FIFTH = 600, 150, 40, 60
"""Pictures of the batches without faults."""
THIRD, OF_NEW_LABEL = 220, 60
"""Pictures of the batch with faults, and how many of them have a new label."""
WRONG = 25
"""Labels of that batch that are wrong."""
MOST_DOUBTED = 40
"""Rows of doubts.csv that a person looks at."""
DARKENED = 0.04
"""What is left of the brightness of the dark picture."""

BELIEVED = re.compile(r"labels-[0-9a-f]{12}")
"""Names in a verdict that evaluate.believed takes."""

USUAL: Mapping[str, dict[str, Any]] = {
    "prepare": {"image_size": "auto", "holdout_fraction": 0.25},  # a third more pictures judge: verdicts are surer
    "train": {"tune": "head", "start": "warm", "head_epochs": 100},
    "evaluate": {"margin": 0.02, "confidence": 0.9},
    "promote": {"automatic": True},
}
"""Settings of the project; a cycle has its own on top."""


@dataclass(frozen=True)
class Picture:
    """A photograph as it comes into a batch."""

    name: str
    """Of its file; it does not tell the label, as that of a camera does not."""
    label: str
    content: bytes

    @property
    def digest(self) -> str:
        """MD5 of the file, the picture's identity."""
        from pipeline.base import files

        return files.md5(self.content)


@dataclass(frozen=True)
class Fault:
    """A picture in which something is planted."""

    file: str
    """Path in the project."""
    digest: str
    label: str
    right_label: str
    """What it shows."""


@dataclass(frozen=True)
class Planted:
    """What is wrong with the third batch: `planted.json`."""

    batch: str
    new_label: str
    wrong_labels: tuple[Fault, ...]
    dark: Fault
    near_duplicates: tuple[Fault, Fault]
    """One picture and its copy, a little smaller and encoded anew, under two labels."""
    undecodable: Fault


@dataclass(frozen=True)
class Plan:
    """The batches, in the order in which they come."""

    first: tuple[Picture, ...]
    second: tuple[Picture, ...]
    third: tuple[Picture, ...]
    planted: Planted
    mended: tuple[Picture, ...]
    """The third batch once a person has mended it."""
    fourth: tuple[Picture, ...]
    fifth: tuple[Picture, ...]


@dataclass(frozen=True)
class Cycle:
    """A cycle of the project, and what is to come of it."""

    title: str
    batch: str
    pictures: tuple[Picture, ...]
    decisions: tuple[str, ...]
    """Those that are right; empty: any is."""
    settings: Mapping[str, dict[str, Any]] = field(default_factory=dict)
    takes_back: str | None = None
    """A batch that is removed before."""
    is_believed: bool = False
    """If its labels are doubted, a person finds them right, and says so."""


def main(argv: Sequence[str] | None = None) -> int:
    """Play the cycles; 0 if each of them ended as planned."""
    parser = argparse.ArgumentParser(
        prog=COMMAND,
        description=(__doc__ or "").splitlines()[0],
        epilog=f"example: {COMMAND} --images trashnet.tar --weights efficientnet_lite0.npz --out /tmp/review",
    )
    parser.add_argument("--images", type=Path, required=True,
                        help="photographs: a folder with one folder per label, or a tar of it")  # fmt: skip
    parser.add_argument("--weights", type=Path,
                        help=f"pretrained weights of {ARCHITECTURE} (default: `python -m pipeline weights` gets "
                        "them from the internet)")  # fmt: skip
    parser.add_argument("--out", type=Path, default=CHECKOUT / ".review",
                        help="the project, made anew; FOLDER-cycles keeps data/cycle of each cycle (default: .review)",
                        metavar="FOLDER")  # fmt: skip
    parser.add_argument("--rollback", action="store_true", help="go back to the champion before, as a last step")
    chosen = parser.parse_args(argv)
    if chosen.weights and not chosen.weights.is_file():
        raise SystemExit(f"{chosen.weights}: not there; expected pretrained weights of {ARCHITECTURE}; see --weights")
    made = plan(pictures.read(chosen.images), SEED)

    out = chosen.out.absolute()
    space = begin(out, chosen.weights)
    (out / "planted.json").write_text(json.dumps(asdict(made.planted), indent=2) + "\n")
    rows = [play(space, number, cycle) for number, cycle in enumerate(cycles(made), 1)]
    space.pipeline("promote", str(rows[-1]["version"]), "--why", "looked at the images that it loses")
    if chosen.rollback:
        space.pipeline("rollback", "--why", "takes green bottles for plastic")
    result = {
        "project": str(out),
        "champion": json.loads(space.pipeline("history", "--json"))[-1]["version"],
        "cycles": rows,
        "found": found(made.planted, kept(space, 3)),
        "ok": all(row["as_planned"] for row in rows),
    }
    (out / "READY").write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result))
    return 0 if result["ok"] else 1


def begin(out: Path, weights: Path | None) -> Workspace:
    """The project before its first cycle, with its weights and settings."""
    shutil.rmtree(f"{out}-cycles", ignore_errors=True)
    space = workspace.create(out)
    (out / ".git/info").mkdir(exist_ok=True)
    (out / ".git/info/exclude").write_text("/planted.json\n/READY\n")
    if weights:
        pretrained = f"data/weights/{ARCHITECTURE}{weights.suffix}"
        (out / pretrained).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(weights, out / pretrained)
        space.dvc("add", "--quiet", pretrained)
    else:
        pretrained = f"data/weights/{ARCHITECTURE}.safetensors"
        space.pipeline("weights", ARCHITECTURE)
    space.params(train={"architecture": ARCHITECTURE, "pretrained": pretrained})
    return space


def cycles(made: Plan) -> tuple[Cycle, ...]:
    """The project's story."""
    return (
        Cycle("a first try, of a few epochs", "first", made.first, ("promote",), {"train": {"head_epochs": 6}}),
        Cycle("more pictures, and more epochs", "second", made.second, ("promote",), {"train": {"head_epochs": 12}}),
        Cycle("a new label, and faults", "third", made.third, (),
              {"validate": {"labels": [made.planted.new_label]}}),
        Cycle("pictures of 32 pixels, to save time", "fourth", made.fourth, ("reject",),
              {"prepare": {"image_size": 32}, "train": {"start": "cold"}}, takes_back="third"),
        Cycle("a few more pictures, judged strictly", "fifth", made.fifth, ("not enough evidence",),
              {"evaluate": {"margin": 0, "confidence": 0.999}}),
        Cycle("the new label, mended; a person decides", "third", made.mended, ("promote",),
              {"promote": {"automatic": False}}, is_believed=True),
    )  # fmt: skip


def play(space: Workspace, number: int, cycle: Cycle) -> dict[str, Any]:
    """Run a cycle, keep a copy of its files, and tell what came of it."""
    print(f"cycle {number}: {cycle.title} ({len(cycle.pictures)} pictures)", flush=True)
    if cycle.takes_back:
        space.dvc("remove", "--outs", f"data/images/{cycle.takes_back}.dvc")
        space.commit(f"Take back batch {cycle.takes_back} until it is mended")
    space.params(**{section: values | cycle.settings.get(section, {}) for section, values in USUAL.items()})
    space.params(**{section: values for section, values in cycle.settings.items() if section not in USUAL})
    space.put(cycle.batch, as_batch(cycle.pictures))
    space.push(cycle.batch, f"Batch {cycle.batch}: {cycle.title}")
    seconds = _repro(space, number)
    doubted = sorted(set(BELIEVED.findall(" ".join(space.read("evaluation/verdict.json")["doubts"]))))
    if cycle.is_believed and doubted:
        print(f"  its labels are doubted, and found right: {', '.join(doubted)}", flush=True)
        shutil.copytree(space.root / "data/cycle", f"{kept(space, number)}-doubted")
        space.params(evaluate={"believed": doubted})
        space.commit("Believe labels that were looked at")
        seconds += _repro(space, number)
    space.commit(f"Cycle {number}")
    shutil.copytree(space.root / "data/cycle", kept(space, number))
    promotion = space.read("promotion.json")
    return {
        "cycle": number,
        "title": cycle.title,
        "images": len(cycle.pictures),
        "version": promotion["version"],
        "decision": promotion["decision"],
        "promoted": promotion["promoted"],
        "said": promotion["said"],
        "doubted": doubted,
        "seconds": round(seconds, 1),
        "as_planned": not cycle.decisions or promotion["decision"] in cycle.decisions,
    }


def _repro(space: Workspace, number: int) -> float:
    """Run the cycle; gives its seconds."""
    done = space.repro()
    if done.code:
        raise SystemExit(f"cycle {number} failed:\n{done.output[-3000:]}")
    return done.seconds


def kept(space: Workspace, number: int) -> Path:
    """Where the copy of a cycle's files is."""
    return Path(f"{space.root}-cycles") / str(number)


def found(planted: Planted, cycle: Path) -> dict[str, Any]:
    """What the files of the third cycle say of the faults."""
    import polars as pl

    doubted = pl.read_csv(cycle / "evaluation/doubts.csv")["digest"].to_list()[:MOST_DOUBTED]
    report = json.loads((cycle / "validation/report.json").read_bytes())
    return {
        "wrong_labels": WRONG,
        "wrong_labels_doubted": len({fault.digest for fault in planted.wrong_labels} & set(doubted)),
        "of_doubted": MOST_DOUBTED,
        "dark_warned": any(Path(planted.dark.file).name in warning for warning in report["warnings"]),
        "near_duplicates_doubted": [fault.digest in doubted for fault in planted.near_duplicates],
        "undecodable_set_aside": any(one["digest"] == planted.undecodable.digest for one in report["quarantined"]),
    }


def as_batch(some: Sequence[Picture]) -> Batch:
    """Label to file name to encoded picture."""
    batch: dict[str, dict[str, bytes]] = {}
    for one in some:
        batch.setdefault(one.label, {})[one.name] = one.content
    return batch


def plan(by_label: Mapping[str, Sequence[bytes]], seed: int) -> Plan:
    """Draw the batches and plant the faults.

    The label with the first name is the new one. Of TrashNet that is cardboard; trash, which has the fewest
    photographs, is a mixture that the network hardly tells, and its right labels are taken for wrong ones.

    Args:
        by_label: the photographs.
        seed: of the draw and of the faults.

    Raises:
        SystemExit: there are too few photographs, or too few of the new label.
    """
    rng = np.random.default_rng(seed)
    new_label = min(by_label)
    known, new = _drawn(by_label, new_label, rng)
    sizes = [FIRST, SECOND, THIRD - OF_NEW_LABEL + 1, FOURTH, FIFTH]
    if len(known) < sum(sizes) or len(new) < OF_NEW_LABEL:
        raise SystemExit(
            f"{len(known)} photographs and {len(new)} of {new_label}, the new label; expected {sum(sizes)} and "
            f"{OF_NEW_LABEL}; give more with --images"
        )
    first, second, third, fourth, fifth = (
        tuple(known[end - size : end]) for size, end in zip(sizes, np.cumsum(sizes), strict=True)
    )
    *clean, undecodable = third
    mended = [*clean, *new[:OF_NEW_LABEL]]
    faulty, planted = _with_faults(mended, undecodable, new_label, sorted(by_label), rng)
    return Plan(first, second, tuple(faulty), planted, tuple(mended), fourth, fifth)


def _drawn(
    by_label: Mapping[str, Sequence[bytes]], new_label: str, rng: np.random.Generator
) -> tuple[list[Picture], list[Picture]]:
    """The pictures of known labels and those of the new one, each once, in an order of their own."""
    every = sorted({one.digest: one for label, some in by_label.items()
                    for one in (Picture("", label, content) for content in some)}.items())  # fmt: skip
    numbers = rng.permutation(len(every))
    named = [replace(every[row][1], name=f"IMG_{number:04d}.jpg") for number, row in enumerate(numbers, 1)]
    return [one for one in named if one.label != new_label], [one for one in named if one.label == new_label]


def _with_faults(
    clean: Sequence[Picture], undecodable: Picture, new_label: str, labels: Sequence[str], rng: np.random.Generator
) -> tuple[list[Picture], Planted]:
    """The third batch as it comes, and what is wrong with it."""
    chosen = [int(row) for row in rng.choice(len(clean), WRONG + 2, replace=False)]
    *wrong, dark, doubled = chosen
    batch = list(clean)
    for row in wrong:
        batch[row] = replace(batch[row], label=_other(batch[row].label, labels, rng))
    batch[dark] = replace(batch[dark], content=darkened(batch[dark].content))
    copy = Picture(
        f"copy_of_{batch[doubled].name}", _other(batch[doubled].label, labels, rng), again(batch[doubled].content)
    )
    cut = replace(undecodable, content=undecodable.content[: len(undecodable.content) // 3])
    planted = Planted(
        batch="third",
        new_label=new_label,
        wrong_labels=tuple(_fault(batch[row], clean[row].label) for row in wrong),
        dark=_fault(batch[dark], clean[dark].label),
        near_duplicates=(_fault(batch[doubled], clean[doubled].label), _fault(copy, clean[doubled].label)),
        undecodable=_fault(cut, undecodable.label),
    )
    return [*batch, copy, cut], planted


def _other(label: str, labels: Sequence[str], rng: np.random.Generator) -> str:
    return str(rng.choice([one for one in labels if one != label]))


def _fault(one: Picture, right_label: str) -> Fault:
    return Fault(f"data/images/third/{one.label}/{one.name}", one.digest, one.label, right_label)


def darkened(content: bytes) -> bytes:
    """A picture as it is with the lens cap nearly on."""
    from PIL import Image

    with Image.open(io.BytesIO(content)) as picture:
        return _encoded(picture.convert("RGB").point(lambda value: value * DARKENED), 95)


def again(content: bytes) -> bytes:
    """A picture encoded anew, a tenth smaller: a near-duplicate."""
    from PIL import Image

    with Image.open(io.BytesIO(content)) as picture:
        width, height = picture.size
        return _encoded(picture.convert("RGB").resize((width * 9 // 10, height * 9 // 10)), 80)


def _encoded(picture: Any, quality: int) -> bytes:
    encoded = io.BytesIO()
    picture.save(encoded, "JPEG", quality=quality)
    return encoded.getvalue()


if __name__ == "__main__":
    sys.exit(main())

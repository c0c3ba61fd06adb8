"""The proof: a version, fetched from the registry into a fresh process, answers holdout images as it was judged.

What evaluate scored is a network in the memory of a stage. What is promoted is files in a registry, read by MLflow with
code of their own. This holds the one against the other, before the alias moves.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.artifacts.lineage import DESCRIPTION, LEDGER, PREDICTIONS, WEIGHTS, Lineage
from pipeline.artifacts.proof import PROOF, Proof
from pipeline.base import files
from pipeline.base.errors import GateError, LostError, RegistryError, UnreadableError
from pipeline.data.store import Store
from pipeline.registry import answering, faults
from pipeline.registry.client import RESTORE, Registry
from pipeline.registry.connection import shown
from pipeline.registry.faults import Cause
from pipeline.registry.version import Version

if TYPE_CHECKING:
    import polars as pl

IMAGES = 16
"""Holdout images that a version is asked for: to load its libraries takes longer than to answer some."""

MAX_BYTES = 64 << 20
"""Of the images together, but for the first."""

SECONDS = 600
"""After which a process that does not answer is ended."""

TOLERANCE = 1e-3
"""Between probabilities that count as the same: float32 sums in another order, of other batches and threads."""

TOLERANCE_OF_FEATURES = 1e-2
"""The same where evaluate scored features of 16 bits, and what is served computes them anew in 32: up to 9e-4 for a
head on EfficientNet-Lite0 that is too sure of 200 photographs."""

AWAY = (Cause.UNREACHED, Cause.FAILING, Cause.FORBIDDEN, Cause.LOCKED)
"""Causes for which a version cannot be fetched, and that are none of its own."""

PROGRAM = Path(__file__).with_name("answering.py")
"""Run as a file, so that nothing of the project is on Python's path."""


@dataclass(frozen=True)
class Question:
    """A holdout image, and what evaluate heard of it."""

    digest: str
    content: bytes
    label: str
    probability: float
    """With the version's temperature, 0 to 1."""


Ask = Callable[[Mapping[str, Any]], Mapping[str, Any]]
"""See `answering.said`."""


def questions(
    predictions: "pl.DataFrame", ledger: "pl.DataFrame", store: Store, at_most: int = IMAGES
) -> tuple[Question, ...]:
    """Some of the holdout images that a cycle judged by: of each label that was given, as evenly as can be.

    Images that are in no store any more are left out; others take their place.

    Args:
        predictions: see `judging.predictions.Predictions.table`.
        ledger: columns digest and path, of the same cycle.
        store: has the images.
        at_most: so many.

    Raises:
        DataError: the remote does not answer, or images are damaged there.
    """
    import polars as pl

    rows = (
        predictions.select("digest", label="challenger", probability="challenger_probability")
        .join(ledger.select("digest", "path").unique("digest", keep="first", maintain_order=True), on="digest")
        .sort("digest")
        .with_columns(turn=pl.int_range(pl.len()).over("label"))
        .sort("turn", "label", "digest")
    )
    found: list[Question] = []
    size = 0
    for start in range(0, len(rows), at_most):
        some = rows.slice(start, at_most)
        lost = store.lost([*some.select("digest", "path").iter_rows()], "the proof: images")
        for digest, label, probability, path, _ in some.filter(~pl.col("digest").is_in(list(lost))).iter_rows():
            content = store.read(digest, path)
            size += len(content)
            if len(found) == at_most or (found and size > MAX_BYTES):
                return tuple(found)
            found.append(Question(digest, content, label, probability))
    return tuple(found)


def of_version(registry: Registry, version: Version, lineage: Lineage, objects: Path, store: Store) -> Proof:
    """The proof of any version, with the images that its own cycle judged by: before a rollback to it.

    Args:
        registry: that has it.
        version: which.
        lineage: of it.
        objects: folder of downloads.
        store: has the images.

    Raises:
        LostError: a version of before predictions were kept, or they are gone; see `prove` for others.
    """
    if PREDICTIONS not in lineage.files:
        raise LostError(
            f"v{version.number} was registered before evaluate kept its predictions, so that there is nothing to hold "
            "its answers against",
            f"choose a newer version, or set the alias {registry.alias} to it in the MLflow UI, unproven",
        )
    tables = [
        files.read_table(registry.download(version.run_id, name, lineage.files[name], objects), columns)
        for name, columns in ((PREDICTIONS, None), (LEDGER, ["digest", "path"]))
    ]
    return prove(registry, version, lineage, questions(tables[0], tables[1], store))


def prove(
    registry: Registry, version: Version, lineage: Lineage, asked: Sequence[Question], ask: Ask | None = None
) -> Proof:
    """Let a version answer from the registry, in a fresh process.

    It takes some ten seconds and 1 GB, which is TensorFlow's; images add little.

    Args:
        registry: that has it.
        version: which; with its tags.
        lineage: of it.
        asked: see `questions`; without any it is loaded, and that is said.
        ask: how; by default in a fresh process.

    Raises:
        LostError: what lies in the registry is not what was registered; nothing of it was run.
        RegistryError: it cannot be fetched or loaded, or does not answer in time.
        GateError: it answers otherwise than it was judged.
    """
    number = f"{len(asked)} holdout {'image' if len(asked) == 1 else 'images'}"
    what = f"asking v{version.number}, fetched from the registry into a fresh process, for {number}"
    nothing = f"loading v{version.number} from the registry in a fresh process: no holdout image is left to ask it for"
    print(f"proof: {what if asked else nothing}", flush=True)
    with tempfile.TemporaryDirectory() as scratch:
        said = (ask or in_fresh_process)(_request(registry, version, lineage, asked, Path(scratch)))
    if "changed" in said:
        raise LostError(
            f"v{version.number} is damaged in the registry: {said['changed']}; nothing of it was run", RESTORE
        )
    if "unfetched" in said and (fault := faults.of(RuntimeError(said["unfetched"]))).cause in AWAY:
        raise RegistryError(
            f"the MLflow registry at {shown(registry.uri)} {fault.said}: {shown(said['unfetched'])[:300]}; v"
            f"{version.number} could not be fetched to ask it, and the alias was not moved; {fault.remedy}, then run "
            "the same again",
            fault.cause,
        )
    if why := said.get("error") or said.get("unfetched"):
        raise RegistryError(
            f"v{version.number}, fetched from the registry at {shown(registry.uri)}, cannot be loaded: "
            f"{shown(why)[:300]}; it was not promoted; install the libraries that its requirements.txt "
            "names, look in the MLflow UI whether its files are there, and run the same again"
        )
    tolerance = TOLERANCE if lineage.model.frozen is None else TOLERANCE_OF_FEATURES
    return Proof(
        version=version.number,
        served=version.served_digest,
        num_images=len(asked),
        largest_difference=_compared(version, asked, said, tolerance),
        tolerance=tolerance,
        libraries=said["libraries"],
        files=said["files"],
    )


def _compared(version: Version, asked: Sequence[Question], said: Mapping[str, Any], tolerance: float) -> float:
    """The largest difference of a probability.

    Raises:
        GateError: see `prove`.
    """
    largest = 0.0
    for one, label, probability in zip(asked, said["labels"], said["probabilities"], strict=True):
        difference = abs(probability - one.probability)
        # Of two labels that are as likely, either may come first; a label above one half has no equal.
        is_same = label == one.label or max(probability, one.probability) <= 0.5 + tolerance
        if not is_same or not difference <= tolerance:  # NaN is no answer
            raise GateError(
                f"v{version.number} does not answer as it was judged: to image {one.digest} it says {label} with "
                f"{probability:.4f}, evaluate heard {one.label} with {one.probability:.4f}; expected the same label, "
                f"and the same probability up to {tolerance:g}; it was not promoted; if evaluate ran on another "
                "machine or with other libraries, let it judge here: `dvc repro --force --single-item evaluate`, then "
                "`dvc repro`; else report this"
            )
        largest = max(largest, difference)
    return largest


def _request(
    registry: Registry, version: Version, lineage: Lineage, asked: Sequence[Question], scratch: Path
) -> dict[str, Any]:
    """What the program is asked; see `answering.answer`."""
    (folder := scratch / "version").mkdir()
    images = [scratch / str(number) for number in range(len(asked))]
    for path, one in zip(images, asked, strict=True):
        path.write_bytes(one.content)
    return {
        "uri": registry.uri,
        "name": registry.name,
        "version": version.number,
        "served": version.served_digest,
        "judged": {Path(name).name: lineage.files[name] for name in (DESCRIPTION, WEIGHTS)},
        "folder": str(folder),
        "images": [str(path) for path in images],
    }


def in_fresh_process(request: Mapping[str, Any]) -> dict[str, Any]:
    """Run the program; see `answering.said`.

    Raises:
        RegistryError: it does not end in time.
    """
    answer = Path(request["folder"]).with_name("answer.json")
    words = {**request, "answer": str(answer), "project": str(Path(__file__).resolve().parents[2])}
    # -I: no variable of Python's counts, no folder but those of the libraries is on its path.
    command = [sys.executable, "-I", "-X", "utf8", "-B", str(PROGRAM)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        try:
            _, errors = process.communicate(json.dumps(words).encode(), SECONDS)
        except BaseException as error:
            process.kill()
            if not isinstance(error, subprocess.TimeoutExpired):
                raise
            raise RegistryError(
                f"v{request['version']} did not answer within {SECONDS} s after it was fetched from the registry at "
                f"{shown(request['uri'])}; it was not promoted; look whether the registry answers and whether this "
                "machine has memory left, then run the same again"
            ) from None
    if not answer.is_file():
        last = errors.decode(errors="replace").strip().splitlines()[-1:] or [""]
        how = f"its process ended with {process.returncode} {last[0]}".strip()
        return {
            "error": f"{how} (killed; look whether this machine has memory left)" if process.returncode < 0 else how
        }
    said: dict[str, Any] = json.loads(answer.read_bytes())
    return said


def keep(registry: Registry, version: Version, proof: Proof) -> None:
    """Record a proof in the registry, so that a rerun need not repeat it: an artifact, and its SHA-256 as a tag."""
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch, Path(PROOF).name)
        proof.write(path)
        registry.runs.of(version).upload(path, PROOF)
        registry.annotate(version.number, {"proof": files.sha256_file(path)})


def kept(registry: Registry, version: Version, objects: Path) -> Proof | None:
    """The proof of a version that is in the registry; None if there is none, or none that is of what is there now."""
    if version.proof_digest is None:
        return None
    try:
        proof = Proof.read(registry.download(version.run_id, PROOF, version.proof_digest, objects))
    except (LostError, UnreadableError):
        return None
    return proof if (proof.version, proof.served) == (version.number, version.served_digest) else None


def changed(registry: Registry, version: Version, proof: Proof) -> tuple[str, ...]:
    """Files of a version that are not what they were when it was proven, by name; nothing of them is run.

    Args:
        registry: that has it.
        version: which.
        proof: of it.

    Raises:
        RegistryError: it cannot be fetched.
    """
    with tempfile.TemporaryDirectory() as scratch, registry.connection.reach():
        now = answering.fetch(registry.uri, registry.name, version.number, scratch)[1]
    return tuple(sorted(name for name in now.keys() | proof.files.keys() if now.get(name) != proof.files.get(name)))

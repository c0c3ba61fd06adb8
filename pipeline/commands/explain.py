"""Explain a verdict: why a version was promoted or not, in words and numbers, from the predictions that it was judged
by."""

import argparse
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml

from pipeline.artifacts.evaluation import Judgement
from pipeline.artifacts.lineage import HISTORY, PREDICTIONS, VERDICT, Lineage
from pipeline.base import files, project
from pipeline.base import params as parameters
from pipeline.base.errors import LostError, ParamsError, RegistryError, UnreadableError
from pipeline.base.params import Excerpt
from pipeline.judging import history, kept, verdict
from pipeline.judging.history import History
from pipeline.judging.paired import Counts
from pipeline.judging.predictions import CHAMPION, Predictions
from pipeline.judging.settings import Evaluate
from pipeline.judging.verdict import Case
from pipeline.registry import chosen
from pipeline.registry.client import Registry
from pipeline.registry.version import Version
from pipeline.settings import Params

EXAMPLE = "python -m pipeline explain 7 --as-if evaluate.margin=0.02"

UNTOLD = ("max_wrong", "believed", "suspicious", "min_probability", "batch_size")
"""Settings of section evaluate on which no verdict depends that comes of predictions alone."""

Kind = TypeVar("Kind")


class Judging(Excerpt):
    """What a verdict depends on in params.yaml."""

    evaluate: Evaluate


def configure(parser: argparse.ArgumentParser) -> None:
    """Describe the options."""
    parser.add_argument("version", nargs="?", metavar="VERSION", help="its number, e.g. 7 (default: the newest)")
    parser.add_argument(
        "--as-if",
        nargs="+",
        default=[],
        metavar="SETTING=VALUE",
        help="judge again with other settings of section evaluate, e.g. evaluate.margin=0.02; nothing is changed",
    )
    parser.add_argument("--params", type=project.given, default=Path("params.yaml"), help="default: params.yaml")
    parser.add_argument("--scratch", type=project.given, default=Path("data/scratch"), help="default: data/scratch")


def run(version: str | None, as_if: Sequence[str], params: Path, scratch: Path) -> int:
    """Say why a version got its verdict, or would get another one; nothing is trained or changed."""
    today = parameters.load(params, Params)
    registry, objects = Registry.existing(today.resolve), scratch / "objects"
    which = chosen.named_or_newest(registry, version)
    lineage = _lineage(registry, which, objects)
    judgement = _read(registry, which, lineage, VERDICT, objects, Judgement.read)
    predictions = _predictions(_read(registry, which, lineage, PREDICTIONS, objects, files.read_table), lineage, which)
    settings = _as_if(lineage, as_if, which, today.evaluate) if as_if else None
    print(f"v{which.number} {_against(judgement)}: {judgement.decision}")
    for reason in judgement.reasons:
        print(f"  {reason}")
    past = None
    if HISTORY in lineage.files:
        past = _history(_read(registry, which, lineage, HISTORY, objects, files.read_table), predictions, which)
    if judgement.champion is not None:
        print("\n".join(_rows(predictions)))
    if past:
        print("\n".join(_since(past, predictions)))
    if settings:
        again = verdict.of(predictions, _case(judgement), settings, past)
        print(f"with {', '.join(as_if)}: {again.decision}")
        for reason in again.reasons:
            print(f"  {reason}")
    return 0


def _lineage(registry: Registry, version: Version, objects: Path) -> Lineage:
    try:
        return registry.lineage(version, objects)
    except LostError as error:
        raise _unexplained(version, error.what) from None


def _read(
    registry: Registry, version: Version, lineage: Lineage, artifact: str, objects: Path, read: Callable[[Path], Kind]
) -> Kind:
    """What a version's cycle left of its verdict."""
    if artifact not in lineage.files:
        raise RegistryError(
            f"v{version.number} was registered before predictions were kept; its description in the MLflow UI has the "
            "verdict; the next cycle keeps them"
        )
    try:
        path = registry.download(version.run_id, artifact, lineage.files[artifact], objects)
        return read(path)
    except LostError as error:
        raise _unexplained(version, error.what) from None
    except UnreadableError as error:
        raise _unexplained(version, f"{artifact} is {error.what.removeprefix(f'{path}: ')}") from None


def _unexplained(version: Version, what: str) -> LostError:
    return LostError(
        f"v{version.number} cannot be explained: {what}",
        "its description in the MLflow UI has the verdict; restore the file from a backup, or use the version of "
        "Evergreen that registered it",
    )


def _predictions(table: Any, lineage: Lineage, version: Version) -> Predictions:
    if fault := kept.fault(table, lineage.model.labels, has_champion=lineage.champion is not None):
        raise _unexplained(version, f"{PREDICTIONS} is of another version of Evergreen, or damaged: {fault}")
    return Predictions.from_table(table, lineage.model.labels)


def _history(table: Any, predictions: Predictions, version: Version) -> History:
    if fault := history.fault(table, predictions.digests):
        raise _unexplained(version, f"{HISTORY} is of another version of Evergreen, or damaged: {fault}")
    return History.from_table(table)


def _against(judgement: Judgement) -> str:
    if judgement.champion is None:
        return "without a champion"
    is_same = judgement.anchor in (None, judgement.champion)
    best = "" if is_same else f", and v{judgement.anchor}, the best so far"
    return f"against v{judgement.champion}, the champion{best}"


def _case(judgement: Judgement) -> Case:
    return Case(
        champion=judgement.champion,
        anchor=judgement.champion if judgement.anchor is None else judgement.anchor,
        judged=judgement.judged,
        outdated=judgement.outdated,
        is_champion=judgement.decision == "unchanged",
        is_trusted=judgement.is_trusted,
        is_doubtful=judgement.is_doubtful,
        doubts=judgement.doubts,
    )


def _rows(predictions: Predictions) -> Iterator[str]:
    """A line for all images, for those that are of a kind, and for each label."""
    familiar = predictions.is_familiar(CHAMPION)
    kinds = {"all": familiar | True}
    if not familiar.all():
        kinds |= {"labels that the champion knows": familiar, "new labels": ~familiar}
    kinds |= {"new images": predictions.is_new}
    kinds |= {f"label {name}": predictions.labels == number for number, name in enumerate(predictions.names)}
    width = max(map(len, kinds))
    yield f"{'':{width}}  {'images':>7}  {'champion':>9}  {'challenger':>10}  {'change':>7}  won  lost"
    for kind, rows in kinds.items():
        if rows.any():
            yield f"{kind:{width}}  {_row(predictions.counts(CHAMPION, rows))}"
    alike = predictions.compared(CHAMPION, "balanced_accuracy")
    yield f"each label alike: {100 * alike.difference:+.2f} points (balanced accuracy)"


def _since(past: History, predictions: Predictions) -> Iterator[str]:
    """What was forgotten or won since images were first known, and a line for each earlier champion."""
    transfer, forgetting = history.backward_transfer(past, predictions), history.forgetting(past, predictions)
    if transfer is None or forgetting is None:
        return
    below = f"{100 * forgetting:.2f} points below" if forgetting > 0 else f"{-100 * forgetting:.2f} points above"
    yield (
        f"since images were first known: {100 * transfer:+.2f} points (backward transfer); labels are {below} the best "
        "that they ever were, in the mean (forgetting)"
    )
    for number, counts in history.flips(past, predictions).items():
        yield (
            f"  of {counts.total:,} images that v{number} knew it gets {counts.challenger_only:,} right that "
            f"v{number} got wrong, and {counts.champion_only:,} wrong that v{number} got right"
        )


def _row(counts: Counts) -> str:
    won, lost, total = counts.challenger_only, counts.champion_only, counts.total
    before, now = 100 * (counts.both + lost) / total, 100 * (counts.both + won) / total
    return f"{total:>7,}  {before:>7.2f} %  {now:>8.2f} %  {now - before:>+7.2f}  {won:>3}  {lost:>4}"


def _as_if(lineage: Lineage, changes: Sequence[str], version: Version, today: Evaluate) -> Evaluate:
    """The settings that the version was judged by, with some changed; what there was not then is as it is today."""
    then, now = lineage.params.get("evaluate", {}), today.model_dump(mode="json")
    section = {key: then.get(key, value) for key, value in now.items()}
    changed: set[str] = set()
    for change in changes:
        name, equals, value = change.partition("=")
        key = name.removeprefix("evaluate.")
        if not equals or key == name:
            raise ParamsError(f"--as-if {change}: expected a setting of section evaluate, e.g. evaluate.margin=0.02")
        if key in changed:
            raise ParamsError(f"--as-if has {name} twice; expected each setting once; take one of the two out")
        if key in UNTOLD:
            told = ", ".join(f"evaluate.{one}" for one in now if one not in UNTOLD)
            raise ParamsError(
                f"--as-if {change}: predictions alone cannot tell what it would change; expected one of {told}; set "
                "it in params.yaml, and `dvc repro` judges the last cycle again"
            )
        changed.add(key)
        section[key] = _value(change, value)
    for key in [key for key in now if key not in then and key not in changed and key not in UNTOLD]:
        print(f"v{version.number} was judged before there was evaluate.{key}; {now[key]} of params.yaml is taken")
    return parameters.checked({"evaluate": section}, Judging, f"--as-if on v{version.number}").evaluate


def _value(change: str, value: str) -> object:
    try:
        return files.parse_yaml(value)
    except yaml.YAMLError:
        raise ParamsError(
            f"--as-if {change}: expected a value as params.yaml has it, e.g. evaluate.margin=0.02"
        ) from None

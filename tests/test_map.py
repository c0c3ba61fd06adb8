"""dvc.yaml is the map: it says what each stage reads and writes, and what reruns when something changes.

Not by DVC alone: `RERUNS` is what a person expects, module by module, and the digests of the code have to agree.
"""

import ast
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from benchmarks import workspace
from benchmarks.workspace import CHECKOUT, STAGES, Workspace
from pipeline.base import code
from pipeline.base.params import Excerpt
from pipeline.base.paths import Paths
from pipeline.stages import detect, evaluate, prepare, resolve, train, validate

TEXT = (CHECKOUT / "dvc.yaml").read_text()
MAP = yaml.safe_load(TEXT)["stages"]
SETTINGS: dict[str, type[Excerpt]] = {
    "detect": detect.Settings,
    "validate": validate.Settings,
    "prepare": prepare.Settings,
    "train": train.Settings,
    "evaluate": evaluate.Settings,
}
RERUN_NOTHING = {"budget", "checkpoint", "watch"}
"""Sections that change when a model is trained and not which."""
ONLY_SAID = {"prepare": {"evaluate.metric", "evaluate.margin", "evaluate.confidence", "evaluate.risk"}}
"""Keys that a stage tells something from on the screen; what it makes does not depend on them."""

D, V, P, T, E = "detect", "validate", "prepare", "train", "evaluate"


def names(entries: Any) -> set[str]:
    return {name for entry in entries for name in (entry if isinstance(entry, dict) else [entry])}


def reads(stage: str) -> set[str]:
    return names(MAP[stage].get("deps", ())) | names(MAP[stage].get("meta", {}).get("reads", ()))


def writes(stage: str) -> set[str]:
    mine = MAP[stage]
    return names(mine.get("outs", ())) | names(mine.get("metrics", ())) | names(mine.get("meta", {}).get("writes", ()))


def test_the_map_can_be_read_at_once() -> None:
    assert len(TEXT.splitlines()) <= 150


def test_the_paths_are_those_of_the_map() -> None:
    paths = {path.as_posix() for name, path in vars(Paths()).items() if name not in ("params", "images", "scratch")}
    mapped = {name for stage in STAGES for name in reads(stage) | writes(stage)}
    assert {name for name in mapped if not name.startswith(f"{Paths().code}/")} == paths - {Paths().code.as_posix()}
    assert {name for name in mapped if name.startswith(f"{Paths().code}/")} == {
        f"{Paths().code}/{stage}" for stage in resolve.STAGES
    }


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_names_the_paths_that_the_map_gives_it(stage: str) -> None:
    tree = ast.parse((CHECKOUT / f"pipeline/stages/{stage}.py").read_bytes())
    used = {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, (ast.Name, ast.Attribute))
        and (node.value.id if isinstance(node.value, ast.Name) else node.value.attr) == "paths"
    }  # fmt: skip
    mapped = {name for name, path in vars(Paths()).items() if path.as_posix() in reads(stage) | writes(stage)}
    free = {"params", "images", "scratch", "code"}
    assert used - free == mapped - free


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_is_called_by_its_name_and_depends_on_its_own_code(stage: str) -> None:
    assert MAP[stage]["cmd"] == f"python -m pipeline {stage}"
    if stage in resolve.STAGES:
        assert f"{Paths().code}/{stage}" in reads(stage)
        assert f"{Paths().code}/{stage}" in writes("resolve")
    else:
        assert MAP[stage]["always_changed"]
    assert not {name for name in reads(stage) if name.startswith("pipeline")}


@pytest.mark.parametrize("stage", STAGES)
def test_every_input_is_made_by_a_stage_before_it(stage: str) -> None:
    before = {name for one in STAGES[: STAGES.index(stage)] for name in writes(one)}
    assert reads(stage) <= before


def declared(kind: type[Excerpt]) -> set[str]:
    """What an excerpt reads, as dvc.yaml writes it: a section, or keys of one."""
    found = set()
    for name, field in kind.model_fields.items():
        section, part = field.alias or name, field.annotation
        assert part is not None
        found |= {f"{section}.{key}" for key in part.model_fields} if part.is_part else {section}
    return found - RERUN_NOTHING


@pytest.mark.parametrize("stage", SETTINGS)
def test_a_stage_gets_exactly_the_settings_that_the_map_declares(stage: str) -> None:
    assert declared(SETTINGS[stage]) - ONLY_SAID.get(stage, set()) == set(MAP[stage]["params"])


RERUNS = {
    (D, V, P, T, E): (
        "artifacts/artifact.py artifacts/changes.py artifacts/features.py artifacts/lineage.py artifacts/model.py "
        "artifacts/parent.py artifacts/reference.py artifacts/sources.py artifacts/table.py artifacts/training.py "
        "base/auto.py base/code.py base/errors.py base/files.py base/params.py base/paths.py base/process.py "
        "base/words.py data/delta.py data/ledger.py data/settings.py data/splits.py registry/client.py "
        "registry/connection.py registry/faults.py registry/limits.py registry/memory.py registry/metrics.py "
        "registry/run.py registry/runs.py registry/settings.py registry/version.py "
    ),
    (D, V, P, E): ("base/git.py data/origins.py data/store.py "),
    (V, P, T, E): ("learning/settings.py "),
    (D, V, P): ("data/labels.py "),
    (P, T, E): (
        "artifacts/dataset.py data/dataset.py judging/paired.py learning/backend.py learning/balance.py "
        "learning/checkpoint.py learning/cut.py learning/engine.py learning/model.py learning/networks.py "
        "learning/pretrained.py learning/stopping.py "
    ),
    (V, P, E): (
        "artifacts/comparison.py images/damage.py images/decoding.py images/jpeg.py images/pictures.py "
        "images/pixels.py images/settings.py images/sniffing.py images/statistics.py images/workers.py "
    ),
    (D, P): ("data/sources.py "),
    (P, E): ("judging/lifetime.py judging/reach.py judging/settings.py "),
    (P, T): ("data/replay.py learning/freezing.py learning/ladder.py "),
    (T, E): ("judging/calibration.py judging/metrics.py learning/head.py "),
    (V, P): ("artifacts/content.py checking/settings.py "),
    (D,): ("data/comparison.py data/inventory.py data/recollection.py data/removals.py stages/detect.py "),
    (E,): (
        "judging/comparing.py judging/doubts.py judging/drops.py judging/gate.py judging/history.py "
        "judging/parts.py judging/predictions.py judging/selftest.py judging/slices.py judging/slicing.py "
        "judging/trust.py judging/verdict.py learning/contenders.py learning/crossfit.py learning/evidence.py "
        "learning/sightings.py learning/suspicion.py showing/charts.py showing/drawn.py showing/dumbbells.py "
        "showing/epochs.py showing/fonts.py showing/gallery.py showing/matrices.py showing/plots.py "
        "showing/reliable.py showing/tiles.py showing/timeline.py stages/evaluate.py "
    ),
    (P,): (
        "data/bins.py data/groups.py data/neighbours.py data/remarks.py data/slices.py data/stems.py "
        "data/straddling.py data/twins.py features/content.py features/embedding.py features/extraction.py "
        "features/inputs.py features/observation.py features/shards.py images/likeness.py stages/prepare.py "
    ),
    (T,): (
        "artifacts/cost.py learning/audit.py learning/augment.py learning/distortions.py learning/fit.py "
        "learning/headstart.py learning/inheritance.py learning/kept.py learning/newcomers.py "
        "learning/progress.py learning/rewind.py learning/starts.py learning/task.py learning/tensorboard.py "
        "learning/trained.py registry/curves.py stages/train.py "
    ),
    (V,): (
        "artifacts/filed.py artifacts/report.py checking/drift.py checking/expectations.py checking/facts.py "
        "checking/findings.py checking/inspection.py checking/quarantine.py data/names.py showing/described.py "
        "showing/entries.py showing/markdown.py showing/report.py showing/reported.py showing/review.py "
        "showing/standouts.py showing/wording.py stages/validate.py "
    ),
    (): (
        "__main__.py artifacts/exported.py artifacts/promotion.py artifacts/proof.py artifacts/snapshot.py "
        "base/actor.py base/project.py base/terminal.py commands/add.py commands/champion_at.py "
        "commands/checkpoints.py commands/explain.py commands/export.py commands/gc.py commands/history.py "
        "commands/merge.py commands/notify.py commands/predict.py commands/promote.py commands/reject.py "
        "commands/report.py commands/rollback.py commands/run.py commands/trace.py commands/ui.py "
        "commands/verify.py commands/weights.py data/archives.py data/collection.py data/conflicts.py "
        "data/exports.py data/layouts.py data/matching.py data/objects.py data/placing.py data/recovery.py "
        "data/references.py data/reproduction.py data/scan.py data/tracking.py data/trigger.py data/versions.py "
        "data/worktree.py deciding.py filing.py images/traits.py judging/kept.py learning/advice.py "
        "learning/answers.py learning/architecture.py learning/exporting.py learning/fitting.py "
        "learning/torch_file.py openapi.py recipe.py registry/anchor.py registry/answering.py registry/chain.py "
        "registry/chosen.py registry/decisions.py registry/delivery.py registry/entry.py registry/events.py "
        "registry/links.py registry/logged.py registry/messages.py registry/outbox.py registry/packaging.py "
        "registry/pages.py registry/past.py registry/promotion.py registry/proof.py registry/receivers.py "
        "registry/retention.py registry/setbacks.py registry/survey.py registry/transitions.py registry/uses.py "
        "registry/verification.py registry/view.py reporting.py serving.py settings.py showing/addresses.py "
        "showing/card.py showing/cells.py showing/manual.py showing/particulars.py stages/promote.py "
        "stages/resolve.py "
    ),
    (V, E): ("artifacts/evaluation.py artifacts/past.py showing/text.py "),
}
"""Which stages rerun when the code of a module changes."""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of our package, to change."""
    shutil.copytree(CHECKOUT / "pipeline", tmp_path / "pipeline", ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(code, "ROOT", tmp_path)
    return tmp_path / "pipeline"


def digests() -> dict[str, str]:
    """Of the stages' code, as resolve writes them."""
    return code.of_stages(resolve.STAGES, "small_cnn", code.ROOT / "code.json")


def test_every_module_says_which_stages_rerun_when_it_changes(package: Path) -> None:
    before = digests()
    reruns = {}
    for path in sorted(package.rglob("*.py")):
        content = path.read_bytes()
        path.write_bytes(content + b"\nCHANGED = True\n")
        after = digests()
        path.write_bytes(content)
        if not code.parse(content).is_empty:
            changed = tuple(stage for stage in resolve.STAGES if after[stage] != before[stage])
            reruns[path.relative_to(package).as_posix()] = changed
    assert reruns == {name: stages for stages, names in RERUNS.items() for name in names.split()}


def test_a_comment_and_a_docstring_rerun_nothing(package: Path) -> None:
    before = digests()
    for path in sorted(package.rglob("*.py")):
        text = path.read_text()
        reworded = re.sub(r'^"""[^"]', '"""Reworded: ', text, count=1)
        assert reworded != text, path
        path.write_text(f"{reworded}\n# one more comment\n")
    assert digests() == before


KEYS: dict[str, tuple[str, ...]] = {
    "resolve": (),
    "resolve.registered_model": (D, V, P, T, E),
    "resolve.alias": (D, V, P, T, E),
    "resolve.after_removal": (V,),
    "detect": (D,),
    "validate": (V,),
    "validate.max_pixels": (V, P, E),
    "validate.max_seconds": (V, P, E),
    "validate.max_memory": (V, P, E),
    "validate.max_content_drift": (V, P),
    "prepare": (P,),
    "prepare.image_size": (V, P),
    "prepare.fit": (V, P),
    "prepare.channels": (V, P),
    "prepare.renamed_labels": (V, P),
    "prepare.removed_labels": (V, P),
    "prepare.holdout_fraction": (P, E),
    "prepare.max_holdout": (P, E),
    "prepare.replay": (P, T),
    "train": (T,),
    "train.start": (P, T),
    "train.architecture": (V, P, T),
    "train.pretrained": (V, P, T),
    "train.tune": (P, T),
    "train.audit_every": (P, T),
    "train.audit_above": (P, T),
    "train.seed": (T, E),
    "train.threads": (P, T, E),
    "budget": (),
    "checkpoint": (),
    "watch": (),
    "evaluate": (E,),
    "promote": (),
}
"""Which stages rerun when a setting changes: that of its section, unless it stands here itself."""


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A project in which every stage has run, each by a command that only makes its files."""
    space = workspace.create(tmp_path_factory.mktemp("map") / "clone")
    content = yaml.safe_load(TEXT)
    for stage in STAGES:
        made = " ".join(sorted(writes(stage)))
        content["stages"][stage]["cmd"] = f"mkdir -p data/cycle/code && touch {made}"
    (space.root / "dvc.yaml").write_text(yaml.safe_dump(content))
    done = space.repro(quiet=True)
    assert done.code == 0, done.output
    return space


@pytest.mark.project
def test_every_setting_says_which_stages_rerun_when_it_changes(
    locked: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dvc.repo import Repo

    monkeypatch.chdir(locked.root)
    path = locked.root / "params.yaml"
    settings = yaml.safe_load(path.read_text())
    repo = Repo()
    assert changed(repo) == set()
    for section, keys in settings.items():
        for key in keys:
            other = {**settings, section: {**keys, key: f"not {keys[key]}"}}
            path.write_text(yaml.safe_dump(other))
            expected = KEYS.get(f"{section}.{key}", KEYS[section])
            assert changed(repo) == set(expected), f"{section}.{key}"


def changed(repo: Any) -> set[str]:
    """Stages that DVC would run, but for those that it always runs."""
    repo._reset()  # what it has read of dvc.yaml and params.yaml
    return {stage for stage in repo.status() if stage in resolve.STAGES}

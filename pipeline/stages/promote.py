"""Register the challenger and, if the verdict says so, move the alias. Runs each time; does it once."""

import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

from pipeline.base import files
from pipeline.base import params as parameters
from pipeline.base.errors import RegistryError
from pipeline.base.paths import Paths
from pipeline.data.ledger import present
from pipeline.registry.client import LEDGER, LINEAGE, Registry, Run
from pipeline.settings import Params
from pipeline.showing import card

SERVING = ("tensorflow", "keras", "pillow", "numpy", "pandas", "polars", "pydantic", "pyyaml", "mlflow")
"""What `pipeline.serving` imports, pinned in the registered model at today's versions."""


def run(paths: Paths) -> None:
    """Bring the registry to what the verdict says, unless it is there already."""
    chosen = parameters.load(paths.params, Params)
    texts = {
        "training": files.read_json(paths.model / "training.json"),
        "evaluation": files.read_json(paths.scores),
        "verdict": files.read_json(paths.evaluation / "verdict.json"),
        "delta": files.read_json(paths.delta / "summary.json"),
        "validation": files.read_json(paths.validation / "report.json"),
        "suspicious": files.read_json(paths.evaluation / "suspicious.json"),
    }
    trained, verdict = texts["training"], texts["verdict"]
    judged = files.sha256_json([verdict, chosen.promote.automatic])
    known = files.read_json(paths.snapshot)["known"].get(trained["run_key"])

    if known and known["version"] == verdict["rival"]:
        done = {"version": known["version"], "promoted": known["promoted"]}
        said = f"nothing to do: this is v{known['version']} itself, the version to beat"
    elif known and known["verdict_digest"] == judged:
        done = {"version": known["version"], "promoted": known["promoted"]}
        said = f"nothing to do: v{known['version']} is registered with this verdict"
    else:
        # Uploaded in this order; the lineage, which lists them all, last.
        uploads = {
            **{f"model/{path.name}": path for path in sorted(paths.model.iterdir())},
            LEDGER: paths.ledger,
            "data/images.parquet": paths.delta / "images.parquet",
            **{f"data/{path.name}": path for path in sorted(paths.validation.iterdir())},
            **{f"plots/{path.name}": path for path in sorted(paths.evaluation.glob("*.png"))},
            "data/suspicious.json": paths.evaluation / "suspicious.json",
        }
        texts["lineage"] = _lineage(
            chosen, trained, verdict, uploads, paths.accepted, paths.parent, paths.sources, paths.ledger, paths.snapshot
        )
        done, said = _act(chosen, uploads, judged, texts, paths.model, paths.scratch)

    files.write_json(
        paths.promotion, {"decision": verdict["decision"], "run_key": trained["run_key"], "said": said} | done
    )
    files.write(paths.report, card.card(**texts, promotion=said).encode())
    print(f"promote: {said}")


def _lineage(
    chosen: Params,
    trained: dict[str, Any],
    verdict: dict[str, Any],
    uploads: dict[str, Path],
    accepted: Path,
    parent: Path,
    batches: Path,
    ledger: Path,
    snapshot: Path,
) -> dict[str, Any]:
    """What the version was made from: enough to make it again, and to start from it."""
    counts = present(files.read_table(ledger, ["label", "removed"])).group_by("label").len().sort("label")
    aside = files.read_table(accepted / "quarantine.parquet", ["digest", "label", "path"])
    sources = files.read_json(batches)
    return {
        "run_key": trained["run_key"],
        "recipe": files.read_json(snapshot)["recipe"],
        "sources": sources["sources"],
        "sources_digest": sources["digest"],
        "dataset_digest": trained["dataset_digest"],
        "parent": files.read_json(parent)["version"],
        "elder": files.read_json(parent).get("elder", {}).get("version"),
        "is_warm": trained["is_warm"],
        "ladder": trained["ladder"],
        "rival": verdict["rival"],
        "model": files.read_json(uploads["model/model.json"]),
        "optimizer": trained["optimizer"],
        "label_counts": dict(counts.iter_rows()),
        "quarantine": [list(row) for row in aside.iter_rows()],
        "reference": files.read_json(accepted / "reference.json"),
        "params": chosen.model_dump(mode="json", by_alias=True),
        "commit": _commit(),
        "files": {artifact: files.sha256_file(path) for artifact, path in uploads.items()},
    }


def _act(
    chosen: Params,
    uploads: dict[str, Path],
    judged: str,
    texts: dict[str, Any],
    challenger: Path,
    scratch: Path,
) -> tuple[dict[str, Any], str]:
    """Register, then move the alias if it is still where the verdict saw it."""
    lineage, verdict, rival = texts["lineage"], texts["verdict"], texts["verdict"]["rival"]
    registry = Registry(chosen.resolve)
    before, current = registry.newest(run_key=lineage["run_key"]), registry.champion()
    number = current.number if current else None
    wanted = verdict["decision"] == "promote" and chosen.promote.automatic
    if wanted and before is None and number != rival:
        raise RegistryError(
            f"the champion moved from {_name(rival)} to {_name(number)} while this cycle ran, so its verdict is about "
            "a champion that is no more; nothing was registered; run `dvc repro` again"
        )

    run = registry.run(lineage["run_key"], f"cycle {lineage['dataset_digest'][:8]}")
    _log(run, texts)
    listed = scratch / "lineage.json"
    files.write_json(listed, lineage)
    for artifact, path in uploads.items():
        run.upload(path, artifact)
    run.upload(listed, LINEAGE)
    # The next cycle on this machine need not download what this one has.
    for artifact, sha256 in lineage["files"].items():
        files.write(scratch / "objects" / sha256, uploads[artifact].read_bytes())
    files.write(scratch / "objects" / files.sha256_file(listed), listed.read_bytes())

    tags = {
        "run_key": lineage["run_key"],
        "recipe": lineage["recipe"],
        "parent": str(lineage["parent"] or ""),
        "rival": str(rival or ""),
        "commit": lineage["commit"],
        "lineage": files.sha256_file(listed),
        "sources": lineage["sources_digest"],
    }
    requirements = [f"{name}=={metadata.version(name)}" for name in SERVING]
    package = _package(challenger, scratch)
    version = registry.register(run, package, tags, requirements, card.card(**texts, promotion="not decided yet"))
    applied = version.tags.get("evergreen.promoted") == "true"
    if wanted and not applied and number == rival:
        registry.promote(version.number)
        applied, said = True, f"v{version.number} is the new {registry.alias}"
    elif wanted and not applied and number != version.number:
        said = f"v{version.number} keeps its verdict, but {registry.alias} is {_name(number)} by now and stays"
    else:
        said = f"v{version.number} is registered; {registry.alias} stays {_name(number)}"
        if verdict["decision"] == "promote" and not chosen.promote.automatic:
            said += f"; promote.automatic is false: set the alias {registry.alias} in the MLflow UI to promote it"
    outcome = {
        "verdict": verdict["decision"],
        "verdict_digest": judged,
        "promoted": str(applied).lower(),
    }
    registry.annotate(version.number, outcome, card.card(**texts, promotion=said))
    run.end()
    return {"version": version.number, "promoted": applied}, said


def _log(run: Run, texts: dict[str, Any]) -> None:
    """The run as reviewers find it in the MLflow UI."""
    training, evaluation, verdict, lineage = (texts[name] for name in ("training", "evaluation", "verdict", "lineage"))
    kept_audit = training["audit"] and training["audit"]["is_scratch_better"]
    run.log_history(training["history"], "audit_" if kept_audit else "")
    best = training["history"][training["best_epoch"]]
    metrics = {f"best_{name}": value for name, value in best.items() if name.startswith("val_")}
    metrics |= {name: training[name] for name in ("best_epoch", "passes", "share")}
    for who in ("champion", "challenger"):
        for name in ("accuracy", "loss"):
            if name in evaluation[who]:
                metrics[f"holdout_{name}_{who}"] = evaluation[who][name]
    if evaluation["champion"]:
        metrics["holdout_negative_flips"] = evaluation["negative_flips"]
    params = {f"{section}.{key}": v for section, keys in lineage["params"].items() for key, v in keys.items()}
    tags = {
        "evergreen.verdict": verdict["decision"],
        "evergreen.start": f"{training['start']}: {training['start_reason']}",
        "evergreen.stop": training["stop_reason"],
        "evergreen.parent": str(lineage["parent"] or ""),
        "evergreen.sources": lineage["sources_digest"],
        "mlflow.source.git.commit": lineage["commit"],
        "mlflow.note.content": card.card(**texts, promotion="see the registered version"),
    }
    run.log(metrics, params, tags)


def _package(challenger: Path, scratch: Path) -> Path:
    """What serving needs, alone in a folder."""
    folder = scratch / "package"
    for name in ("model.json", "weights.npz"):
        files.write(folder / name, (challenger / name).read_bytes())
    return folder


def _commit() -> str:
    """The commit of the checkout, with a + if it has uncommitted changes; empty outside Git.

    dvc.lock is none of them: DVC has written it for the stages before this one.
    """
    status = ["git", "status", "--porcelain", "-uno", "--", ".", ":(exclude)dvc.lock"]
    try:
        head = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
        changed = subprocess.run(status, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return ""
    return head + ("+" if changed.stdout.strip() else "")


def _name(number: int | None) -> str:
    return f"v{number}" if number else "none"

"""The main job in a scratch workspace: four cycles on handwritten digits, in a few minutes.

`python -m benchmarks.demo [FOLDER]`; the folder is made anew each time and stays for a look (default: .demo).
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks import digits, workspace
from benchmarks.workspace import Batch, Repro, Workspace

FIRST, SECOND, LAST = 200, 1500, 1797


@dataclass(frozen=True)
class Row:
    """A line of the closing table."""

    cycle: str
    images: str = "-"
    start: str = "-"
    epochs: str = "-"
    stopped: str = "-"
    val_loss: str = "-"
    holdout: str = "-"
    verdict: str = "-"
    version: str = "-"
    seconds: str = "-"


TITLES = Row(
    "cycle", "new / total", "start", "epochs", "stopped by", "val loss", "champion / challenger", "verdict",
    "version", "seconds",
)  # fmt: skip


def main(argv: Sequence[str] | None = None) -> int:
    """Run the demo; 0 if every cycle did what it should."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.demo", description=__doc__.splitlines()[0], epilog="example: make demo"
    )
    parser.add_argument("folder", nargs="?", type=Path, default=workspace.CHECKOUT / ".demo", help="default: .demo")
    folder = parser.parse_args(argv).folder

    print(f"A scratch workspace in {folder}: its own clone, DVC remote and registry")
    space = workspace.create(folder)
    space.params(train={"flip": False})  # a mirrored digit is none
    rows = [
        _cycle(space, "first images", "first", digits.batch(0, FIRST)),
        _cycle(space, "new images", "second", digits.batch(FIRST, SECOND)),
    ]
    print("\nNothing new: dvc repro once more")
    again = space.repro()
    trained = "Running stage 'train'" in again.output
    rows.append(Row("nothing new", verdict="trained again" if trained else "nothing to do", seconds=_seconds(again)))
    champion = space.read("promotion.json")["version"]
    rows.append(_cycle(space, "shuffled labels", "broken", digits.shuffled(SECOND, LAST)))

    print(f"\n{table(rows)}\n")
    held = not space.read("promotion.json")["promoted"]
    ok = not trained and held and all(row.verdict != "failed" for row in rows)
    outcome = "did not become" if held else "BECAME"
    print(f"The broken batch {outcome} champion; v{champion} was the last version before it.")
    print(
        "\nLook further (in the workspace, with this checkout's tools on PATH):\n"
        f"  cd {folder} && . {Path(sys.prefix)}/bin/activate\n"
        "  python -m pipeline ui          # runs, curves, versions and their cards in the MLflow UI\n"
        "  dvc metrics diff HEAD~1        # this cycle's numbers against the last one's\n"
        "  dvc plots show                 # curves and confusion matrix as a page\n"
        "  cat data/cycle/report.md       # the last cycle's card"
    )
    return 0 if ok else 1


def _cycle(space: Workspace, name: str, batch: str, images: Batch) -> Row:
    print(f"\n{name.capitalize()}: dvc add data/images/{batch}, git commit, dvc push, dvc repro")
    space.put(batch, images)
    space.push(batch, f"Add batch {batch}")
    done = space.repro()
    if done.code:
        print(done.output)
        return Row(name, verdict="failed", seconds=_seconds(done))
    space.commit(f"Cycle: {name}")
    return _row(space, name, done)


def _row(space: Workspace, name: str, done: Repro) -> Row:
    training, evaluation = space.read("model/training.json"), space.read("evaluation.json")
    promotion = space.read("promotion.json")
    start = f"warm from v{training['parent']}" if training["start"] == "warm" else training["start"]
    if training["audit"] and training["audit"]["is_scratch_better"]:
        start = "cold, by audit"
    old = evaluation["champion"].get("accuracy")
    return Row(
        cycle=name,
        images=f"{training['num_added']} / {training['num_images']}",
        start=start,
        epochs=f"{training['epochs']} of {training['max_epochs']}",
        stopped=training["stop_reason"].partition(":")[0],
        val_loss=f"{training['history'][training['best_epoch']]['val_loss']:.4f}",
        holdout=f"{'-' if old is None else f'{old:.4f}'} / {evaluation['challenger']['accuracy']:.4f}",
        verdict=promotion["decision"],
        version=f"v{promotion['version']}{', champion' if promotion['promoted'] else ''}",
        seconds=_seconds(done),
    )


def _seconds(done: Repro) -> str:
    return f"{done.seconds:.0f}"


def table(rows: Sequence[Row]) -> str:
    """Rows as text, columns as wide as they need to be."""
    cells = [tuple(vars(row).values()) for row in (TITLES, *rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(cells[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells]
    return "\n".join([lines[0], "  ".join("-" * width for width in widths), *lines[1:]])


if __name__ == "__main__":
    sys.exit(main())

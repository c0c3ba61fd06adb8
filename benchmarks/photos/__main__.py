"""The command: run what is not there yet, and write the results."""

import argparse
import json
import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import photos
from benchmarks.photos import cycle, script
from benchmarks.photos.arms import ARMS, OPPONENT, TWIN, Source, code_of, trained_by, val_fraction
from benchmarks.photos.photos import TESTED, Files, listed, load, unpacked
from benchmarks.photos.results import COMMAND, SEEDS, asked, summary, table, write
from benchmarks.photos.streams import QUICK, STREAMS
from benchmarks.photos.trials import kept, play
from benchmarks.trials import Trial
from benchmarks.workspace import CHECKOUT, ask_git

RESULTS = CHECKOUT / "benchmarks/results"
ALWAYS = {OPPONENT, "recipe", "head", TWIN}
"""Arms that are always played: all others, and the targets, are told beside them."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run what is not there yet, write the results; 0 if the targets hold, which a quick run cannot say."""
    parser = argparse.ArgumentParser(
        prog=COMMAND,
        description=(photos.__doc__ or "").splitlines()[0],
        epilog="\n".join(
            [
                "streams:",
                *(f"  {stream:10} {what.title}" for stream, what in STREAMS.items()),
                "arms:",
                *(f"  {arm:22} {what.title} ({', '.join(what.streams)})" for arm, what in ARMS.items()),
                "",
                f"example: {COMMAND} --images photos.tar --weights efficientnet_lite0.npz --quick",
            ]
        ),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--images", type=Path, required=True,
                        help="photographs: a folder with one folder per label, or a tar of it")  # fmt: skip
    parser.add_argument("--weights", type=Path, required=True, help="pretrained weights of the network")
    parser.add_argument("--architecture", default="EfficientNetLite0", help="(default: %(default)s)")
    parser.add_argument("--size", type=int, help="pixels of an image's sides (default: 96; with --cycle: as the "
                        "product has it)")  # fmt: skip
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS, help="(default: 0 to 4)")
    parser.add_argument("--streams", nargs="+", choices=STREAMS, metavar="STREAM",
                        default=[stream for stream in STREAMS if stream not in QUICK],
                        help="(default: all but those for quick runs)")  # fmt: skip
    parser.add_argument("--arms", nargs="+", choices=ARMS, metavar="ARM", default=list(ARMS),
                        help=f"beside {', '.join(arm for arm in ARMS if arm in ALWAYS)}, which are always played "
                        "(default: all)")  # fmt: skip
    parser.add_argument("--only", nargs="+", choices=ARMS, metavar="ARM",
                        help="play these and no others, to try something: prints what they came to")  # fmt: skip
    parser.add_argument("--processes", type=int, default=os.cpu_count(), help="trials at a time (default: one a core)")
    parser.add_argument("--work", type=Path, default=CHECKOUT / ".photos", help="keeps trials (default: .photos)")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of the results (default: benchmarks/results)")
    parser.add_argument("--cycle", action="store_true", help="measure whole cycles by the clock, nothing else")
    parser.add_argument("--script", action="store_true", help=f"measure {script.NETWORK}, for which there are no "
                        "weights, against a script, nothing else")  # fmt: skip
    parser.add_argument("--rounds", type=int, default=3, help="of --cycle: how many cycles (default: 3)")
    parser.add_argument("--quick", action="store_true", help="seed 0, two cycles, four arms; writes to --work")
    chosen = parser.parse_args(argv)
    if chosen.quick:
        chosen.seeds, chosen.out = [0], chosen.work
        chosen.streams = [stream for stream in chosen.streams if stream in QUICK] or QUICK[:1]
        chosen.arms = [] if chosen.arms == list(ARMS) else chosen.arms
    if not chosen.weights.is_file():
        raise SystemExit(f"{chosen.weights}: not there; expected pretrained weights of {chosen.architecture}")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    chosen.work.mkdir(parents=True, exist_ok=True)
    folder = unpacked(chosen.images, chosen.work)
    there, source = listed(folder), Source(folder, chosen.weights.absolute(), chosen.architecture, chosen.size or 96)
    if chosen.cycle or chosen.script:
        cycles = cycle.measure(there, source, chosen.rounds, chosen.size) if chosen.cycle else None
        scripts = script.measure(there, source, chosen.work, chosen.seeds) if chosen.script else None
        results = write({}, chosen.out, cycles, scripts)
        print(json.dumps(results))
        return 0 if results["ok"] else 1
    return _trials(chosen, source, there)


def _trials(chosen: argparse.Namespace, source: Source, there: Files) -> int:
    needed = max(STREAMS[stream].size for stream in chosen.streams) + TESTED
    if len(there.paths) < needed:
        raise SystemExit(f"{source.images}: {len(there.paths)} photographs; the streams need {needed}; see --streams")
    load(there, source.size, val_fraction(source), chosen.work)
    arms = chosen.only or [arm for arm in ARMS if arm in {*ALWAYS, *chosen.arms}]
    trials = _trials_of(arms, chosen.streams, chosen.seeds)
    played = dict(play(trials, source, there.digest, chosen.work, chosen.processes))
    if chosen.only:
        print(_seen(played))
        return 0
    # Arms that were played before stay, where all that they depend on is the same.
    every = kept(_trials_of(list(ARMS), chosen.streams, chosen.seeds), source, there.digest, chosen.work)
    streams = summary(every | played, chosen.streams, chosen.seeds, source)
    results = write({name: content | _made(name, chosen, source) for name, content in streams.items()}, chosen.out)
    print(f"{asked(results)}\n\n{table(results)}")
    print(json.dumps(results))
    return 0 if results["ok"] or chosen.quick else 1


def _trials_of(arms: Sequence[str], streams: Sequence[str], seeds: Sequence[int]) -> list[Trial]:
    return [
        Trial(stream, seed, arm) for stream in streams for arm in arms if stream in ARMS[arm].streams for seed in seeds
    ]


def _made(stream: str, chosen: argparse.Namespace, source: Source) -> dict[str, Any]:
    """What the rows of a stream were made with."""
    words = ["--images", "DIR", "--weights", "FILE", "--streams", stream]
    if source.size != 96:
        words += ["--size", str(source.size)]
    if chosen.seeds != SEEDS:
        words += ["--seeds", *map(str, chosen.seeds)]
    code, weights = code_of(source)
    return {
        "command": f"{COMMAND} {shlex.join(words)}",
        "seeds": chosen.seeds,
        "settings": trained_by(ARMS["recipe"], source),
        "code": code,
        "weights": weights,
        "commit": ask_git("describe", "--always", "--dirty", "--abbrev=12").strip(),
    }


def _seen(played: Mapping[Trial, Mapping[str, Any]]) -> str:
    """One line for each trial: what it came to."""
    return "\n".join(
        f"{trial.stream}, seed {trial.seed}, {trial.arm}: accuracy {np.mean(one['accuracy']):.2%}, at the end "
        f"{one['accuracy'][-1]:.2%}, {sum(one['passes']):,.0f} passes, {sum(one['seconds']):.0f} s, shares "
        f"{' '.join(format(share, 'g') for share in one['share'])}"
        for trial, one in played.items()
    )


if __name__ == "__main__":
    sys.exit(main())

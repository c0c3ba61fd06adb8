"""The lab: plays the cycles of a stream with an arm, by the product's own training code."""

import tempfile
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.learning.lab import Nowhere, Quiet
from benchmarks.photos import photos
from benchmarks.photos.arms import ARMS, Arm, Source, code_of, key, settings, size_of, train_of, val_fraction
from benchmarks.photos.photos import Photos
from benchmarks.photos.streams import STREAMS, Cycle, first_of
from benchmarks.trials import Trial

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipeline.artifacts.model import Description
    from pipeline.data.dataset import Part
    from pipeline.learning.inheritance import Inheritance
    from pipeline.learning.settings import Train

    Arrays = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Model:
    """What a cycle leaves for the next one; arrays are by position, of the whole network but for the optimizer's."""

    name: str
    """Stands for the digest of its weights."""
    description: "Description"
    weights: "Arrays"
    """Those that are served."""
    last: "Arrays"
    optimizer: "Arrays"


@dataclass
class Features:
    """What frozen parts gave for photographs in a trial, each computed once."""

    values: dict[Any, np.ndarray] = field(default_factory=dict)
    """float16 (photographs, ...), by cut and weights."""
    is_there: dict[Any, np.ndarray] = field(default_factory=dict)
    """bool (photographs,) likewise."""


@dataclass(frozen=True)
class Played:
    """One cycle of a trial."""

    trial: Trial
    arm: Arm
    number: int
    cycle: Cycle
    photos: Photos
    features: Features

    @property
    def seed(self) -> int:
        """Of this cycle's training."""
        return 1000 * self.trial.seed + self.number


class Lab:
    """What the trials of one process share: photographs, compiled networks, first models."""

    def __init__(self, source: Source, work: Path) -> None:
        """List the photographs; all else is made when it is needed."""
        from pipeline.learning.engine import make_repeatable

        make_repeatable(0, 1)
        self._source, self._work, self._weights = source, work, code_of(source)[1]
        self._files = photos.listed(source.images)
        self._photos: dict[int, Photos] = {}
        self._engines: dict[Any, Any] = {}
        self._networks: dict[Any, Any] = {}

    def run(self, trial: Trial) -> dict[str, Any]:
        """Play the cycles of a stream with an arm.

        Returns:
            One entry per played cycle in each list: cycle, accuracy, passes, forward, seconds, epochs, share;
            num_newest, how many test photographs have the label that is new in the cycle, 0 where none is; and bool
            (cycles and the state before, test photographs), packed: right, of which only the tested ones count, and
            newest: which of these have the new label.
        """
        arm, stream, seen = ARMS[trial.arm], STREAMS[trial.stream], self._seen(ARMS[trial.arm])
        cycles = stream.make(seen, np.random.default_rng(trial.seed))
        model, features = self._first(trial, cycles[0]), Features()
        if model.description.frozen:  # those of the first photographs are kept
            self._shown(Played(trial, arm, 0, cycles[0], seen, features), model.description, model.weights,
                        cycles[0].came)  # fmt: skip
        names = ("cycle", "accuracy", "passes", "forward", "seconds", "epochs", "share", "num_newest")
        rows: dict[str, list[Any]] = {name: [] for name in names}
        right, newest = [self._right(model, cycles[0], seen)], [np.zeros(int(seen.is_test.sum()), bool)]
        for number in range(1, len(cycles)):
            if not arm.plays_all and number not in stream.scored:
                continue
            cycle = cycles[number]
            row, model = self._learn(Played(trial, arm, number, cycle, seen, features), model)
            right.append(self._right(model, cycle, seen))
            tested = seen.labels[seen.is_test]
            newest.append(right[-1] & (tested == cycle.newcomer))
            row["accuracy"] = float(right[-1].sum() / np.isin(tested, cycle.labels).sum())
            row["num_newest"] = int((tested == cycle.newcomer).sum())
            for name, value in {"cycle": number, **row}.items():
                rows[name].append(value)
        packed = {name: np.packbits(np.stack(bits), axis=1) for name, bits in (("right", right), ("newest", newest))}
        return {**rows, **packed}

    def prepare(self, trial: Trial) -> None:
        """Train the model that the arms of a kind, a stream and a seed start from, unless it is there."""
        seen = self._seen(ARMS[trial.arm])
        self._first(trial, STREAMS[trial.stream].make(seen, np.random.default_rng(trial.seed))[0])

    def _first(self, trial: Trial, cycle: Cycle) -> Model:
        """By a cold start."""
        from pipeline.artifacts.model import Description
        from pipeline.base import files

        arm = replace(ARMS[ARMS[trial.arm].first], start="cold")
        digest = files.sha256_json(key(arm, self._source, self._files.digest))[:12]
        path = self._work / f"first-{first_of(trial.stream)}-{trial.seed}-{digest}.npz".replace(" ", "_")
        described = path.with_suffix(".json")
        if not path.exists():
            _, made = self._learn(Played(trial, arm, 0, cycle, self._seen(arm), Features()), None)
            arrays = {"weights": made.weights, "last": made.last, "optimizer": made.optimizer}
            made.description.write(described)
            files.write_arrays(path, {f"{of}.{at}": value for of, kind in arrays.items() for at, value in kind.items()})
        content = files.read_arrays(path)
        kinds = [
            {name.partition(".")[2]: value for name, value in content.items() if name.startswith(f"{of}.")}
            for of in ("weights", "last", "optimizer")
        ]
        return Model("first", Description.read(described), *kinds)

    def _learn(self, now: Played, parent: Model | None) -> tuple[dict[str, Any], Model]:
        """One cycle, as `pipeline.stages` does it: what it took, and what it gave."""
        from pipeline.artifacts.model import Description
        from pipeline.learning import freezing, headstart, starts
        from pipeline.learning.fit import Parts, Session, fit
        from pipeline.learning.trained import Trained

        kind, source, cycle = now.arm.start, self._source, now.cycle
        train = train_of(now.arm, source).model_copy(update={"seed": now.seed})
        size = size_of(now.arm, source)
        labels = tuple(now.photos.names[label] for label in cycle.labels)
        plain = Description(architecture=train.architecture, image_shape=(size, size, 3), labels=labels)
        description = freezing.described(plain, train.tune, kind, _as_parent(parent), self._weights)
        fresh = self._fresh(plain, train, now.seed)
        inherited = _inherited(parent, description, train, fresh) if parent and kind == "warm" else None
        rows, val_rows, is_new = self._picked(now)
        engine, optimizer = self._engine(description, train, now.arm.cosine)

        began = time.perf_counter()
        around = inherited.served if inherited else fresh
        shown, num_forward = self._shown(now, description, around, np.concatenate([rows, val_rows]))
        part = self._part(now, rows, shown[: len(rows)], None if kind == "cold" else is_new)
        parts = Parts(part, self._part(now, val_rows, shown[len(rows) :]))
        train_now = self._settings(train, description, part, kind)
        if inherited:
            new = [number for number, label in enumerate(labels) if parent and label not in parent.description.labels]
            if new and train.pretrained and now.arm.has_newcomers:
                inherited, num_seen = inherited.welcoming(engine, part, new)
                num_forward += num_seen
            engine.begin_with(optimizer, train_now.learning_rate)
            inherited.begin(engine, is_idle=False)
        else:
            engine.begin_with(optimizer, train_now.learning_rate)
            engine.begin(engine.tuned(fresh), engine.optimizer_now())
            if train.pretrained and not description.is_head_only:
                with tempfile.TemporaryDirectory() as folder:
                    headstart.train_head(engine, parts, train, Session(Nowhere(), Quiet()), Path(folder))
                num_forward += len(part) + len(parts.val)
        engine.schedule(now.arm.cosine, len(part), train_now)
        outcome = fit(engine, parts, train_now, Session(Nowhere(), Quiet()))
        if inherited:
            outcome = starts.blend(engine, engine.tuned(inherited.served), outcome, parts.val, train)
        trained = Trained(description, engine, around, parts, outcome, num_forward)
        row = {
            "passes": trained.passes,
            "forward": num_forward,
            "seconds": round(time.perf_counter() - began, 2),
            "epochs": len(outcome.history) - 1,
            "share": outcome.share,
        }
        return row, Model(str(now.number), description, trained.weights, trained.last, outcome.optimizer)

    def _picked(self, now: Played) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Rows that train, rows that validate, and which of the first are new; old ones as `prepare.replay` picks."""
        came, is_val = now.cycle.came, now.photos.is_val
        fresh = np.arange(len(came)) >= len(came) - now.cycle.num_new
        old, new = (came[~is_val[came] & some] for some in (~fresh, fresh))
        replayed = settings(now.arm, self._source).prepare.replay if now.arm.start == "warm" else "all"
        if replayed != "all":
            count = min(len(old), replayed * len(new))
            old = np.random.default_rng([now.trial.seed, now.number]).choice(old, count, replace=False)
        rows = np.concatenate([old, new])
        return rows, came[is_val[came]], np.arange(len(rows)) >= len(old)

    @staticmethod
    def _settings(train: "Train", description: "Description", part: "Part", kind: str) -> "Train":
        """See `pipeline.learning.task.Task.train_now`."""
        from pipeline.learning import starts

        if description.is_head_only:
            return starts.for_head(train)
        return starts.warmed(train, part) if kind == "warm" else train.model_copy(update=starts.ALL_ALIKE)

    def _shown(
        self, now: Played, description: "Description", around: "Arrays", rows: np.ndarray
    ) -> tuple[np.ndarray, int]:
        """What the trained part sees of photographs: pixels, or features, which are computed once in a trial.

        Args:
            now: which cycle.
            description: of the model.
            around: weights of the whole network, of which the frozen ones count.
            rows: of the photographs.

        Returns:
            One row for each; and how many passed forward for it.
        """
        if description.frozen is None:
            return now.photos.pixels[rows], 0
        kept = now.features
        name = (description.frozen.cut, description.frozen.weights)
        is_there = kept.is_there.setdefault(name, np.zeros(len(now.photos.labels), bool))
        missing = rows[~is_there[rows]]
        if len(missing):
            body = self._network(description, around, description.frozen.cut)
            values = predicted(body, now.photos.pixels[missing]).astype(np.float16)
            shape = (len(is_there), *values.shape[1:])
            kept.values.setdefault(name, np.zeros(shape, np.float16))[missing] = values
            is_there[missing] = True
        return kept.values[name][rows], len(missing)

    def _part(self, now: Played, rows: np.ndarray, shown: np.ndarray, is_unlearned: np.ndarray | None = None) -> "Part":
        from pipeline.data.dataset import Part

        numbers = np.full(len(now.photos.names), -1)
        numbers[list(now.cycle.labels)] = np.arange(len(now.cycle.labels))
        digests = tuple(now.photos.digests[row] for row in rows)
        return Part(shown, numbers[now.photos.labels[rows]], digests, None, is_unlearned)

    def _engine(self, description: "Description", train: "Train", cosine: int | None) -> tuple[Any, "Arrays"]:
        """A compiled engine for a network and settings like these, and the values of its fresh optimizer."""
        from benchmarks.photos.annealing import Annealed
        from pipeline.learning import model

        of_optimizer = (train.optimizer, train.weight_decay, train.average > 0, train.is_mixing, train.pretrained)
        name = (_kind(description), len(description.labels), of_optimizer, cosine)
        if name not in self._engines:
            network, cut = model.build(_plain(description)), description.frozen
            engine = Annealed(network, model.optimizer(train), train, None, cut.cut if cut else None)
            self._engines[name] = engine, model.arrays(engine.optimizer.variables)
        made: tuple[Any, Arrays] = self._engines[name]
        return made

    def _network(self, description: "Description", weights: "Arrays", cut_at: str | None = None) -> Any:
        """The whole network with these weights, or its frozen part."""
        from pipeline.learning import cut, model

        name = (_kind(description), len(description.labels))
        if name not in self._networks:
            self._networks[name] = {None: model.build(_plain(description))}
        made = self._networks[name]
        if cut_at is not None and cut_at not in made:
            made[cut_at] = cut.split(made[None], cut_at).frozen
        model.fill(made[None].weights, weights, "lab")
        return made[cut_at]

    def _fresh(self, plain: "Description", train: "Train", seed: int) -> "Arrays":
        """Weights of a new network; pretrained ones but for the head."""
        from pipeline.learning import model

        model.keras().utils.set_random_seed(seed)
        return model.arrays(model.build(plain, str(self._source.weights) if train.pretrained else None).weights)

    def _right(self, model: Model, cycle: Cycle, seen: Photos) -> np.ndarray:
        """bool (test photographs,): which are right; those whose labels are not known yet are not."""
        truth = seen.labels[seen.is_test]
        known = np.isin(truth, cycle.labels)
        logits = predicted(self._network(model.description, model.weights), seen.pixels[seen.is_test][known])
        right = np.zeros(len(truth), bool)
        right[known] = np.array(cycle.labels)[logits.argmax(axis=1)] == truth[known]
        return right

    def _seen(self, arm: Arm) -> Photos:
        """The photographs as an arm's network sees them."""
        size = size_of(arm, self._source)
        if size not in self._photos:
            self._photos[size] = photos.load(self._files, size, val_fraction(self._source), self._work)
        return self._photos[size]


def predicted(network: Any, pixels: np.ndarray) -> np.ndarray:
    """What a network gives for pixels."""
    from pipeline.learning import model

    return np.concatenate([given for _, given in model.outputs(network, pixels.__getitem__, len(pixels))])


def _kind(description: "Description") -> tuple[Any, ...]:
    return description.architecture, description.image_shape, description.frozen and description.frozen.cut


def _plain(description: "Description") -> "Description":
    return description.model_copy(update={"frozen": None})


def _as_parent(model: Model | None) -> Any:
    """As much of a parent as says what is frozen."""
    from pipeline.artifacts.lineage import WEIGHTS

    return SimpleNamespace(
        lineage=model and SimpleNamespace(model=model.description, files={WEIGHTS: f"version {model.name}"})
    )


def _inherited(parent: Model, description: "Description", train: "Train", fresh: "Arrays") -> "Inheritance":
    """See `pipeline.learning.inheritance.fetch`."""
    from pipeline.learning import model
    from pipeline.learning.inheritance import Inheritance

    def widened(weights: "Arrays") -> "Arrays":
        return model.for_labels(weights, fresh, _plain(parent.description), description.labels)

    served = widened(parent.weights)
    last = widened(parent.last) if train.warm_from == "last" else served
    is_same = (parent.description.labels, parent.description.frozen) == (description.labels, description.frozen)
    restore = train.restore if is_same else ()
    return Inheritance(0, "warm", served, last, fresh, restore, parent.optimizer)

"""How training goes, for people: a live bar on a terminal, plain lines elsewhere, curves in MLflow."""

import shutil
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

from pipeline.artifacts.training import Row, in_words
from pipeline.base.words import counted
from pipeline.learning import stopping
from pipeline.learning.settings import Train
from pipeline.learning.stopping import Spent
from pipeline.learning.tensorboard import TensorBoard
from pipeline.registry.curves import Curves

LEAST = 10
"""Columns of a bar, at least."""

BAR = "{desc}: {n_fmt}/{total_fmt}{postfix} {bar}"
"""Of tqdm; the bar itself takes what the words leave of the line."""

START = "before the first step"

EVERY = 30
"""Seconds between two plain lines within an epoch."""


class Progress:
    """Tells of each step and each epoch."""

    def __init__(
        self,
        train: Train,
        curves: Curves,
        is_live: bool | None = None,
        clock: Callable[[], float] = time.monotonic,
        name: str = "",
        logs: TensorBoard | None = None,
    ) -> None:
        """Begin to tell.

        Args:
            train: section `train` of params.yaml.
            curves: take the metrics of each epoch, so that they can be watched in MLflow.
            is_live: whether to draw a bar; None: where standard error is a terminal.
            clock: gives seconds.
            name: of a second training of the stage; its lines and its metrics begin with it.
            logs: take the metrics of each epoch too, if they are wanted.
        """
        self._title, self._prefix = (f"train: {name}", f"{name}_") if name else ("train", "")
        self._train, self._curves, self._clock, self._logs = train, curves, clock, logs
        self._is_live = sys.stderr.isatty() if is_live is None else is_live
        self._bar: Any = None
        self._epoch = 0
        """Of the steps that are counted."""
        self._began = self._told = clock()
        self._images = 0
        self._first_step = 1
        self._best = ""

    def stepped(self, epoch: int, step: int, steps: int, images: int, loss: float) -> None:
        """After each step."""
        now = self._clock()
        if epoch != self._epoch or step < self._first_step:
            # The first step compiles, which takes seconds; it is not counted.
            self._epoch, self._first_step, self._began, self._images = epoch, step, now, 0
            self._told = now
            self._open(epoch, step, steps)
            return
        self._images += images
        rate = self._images / max(now - self._began, 1e-9)
        if self._bar is not None:
            per_step = (now - self._began) / max(step - self._first_step, 1)
            said = (
                self._best,
                f"loss {loss:.4f}",
                f"{duration(per_step * (steps - step))} left",
                f"{rate:,.0f} images/s",
            )
            room = shutil.get_terminal_size().columns - len(f"{self._bar.desc}: {steps}/{steps}") - LEAST
            self._bar.set_postfix_str(", ".join(fitting(said, room)), refresh=False)
            self._bar.update()
        elif now - self._told >= EVERY:
            self._told = now
            per_step = (now - self._began) / (step - self._first_step)
            left = per_step * (steps - step)
            most = left + per_step * steps * (self._train.max_epochs - epoch)
            best = f", {self._best}" if self._best else ""
            self._print(
                f"epoch {epoch}/{self._train.max_epochs}, step {step}/{steps}, loss {loss:.4f}, {duration(left)} left, "
                f"at most {duration(most)} of all{best}"
            )

    def scored(self, history: list[Row]) -> None:
        """After each epoch."""
        self.close()
        epoch, row = len(history) - 1, history[-1]
        standing = stopping.standing(history, self._train)
        trained = f"loss {row['loss']:.4f}  accuracy {row['accuracy']:.4f}" if epoch else START.ljust(29)
        mark = " best" if standing.best_epoch == epoch else ""
        if standing.best_epoch is not None:
            self._best = f"best {self._train.monitor} {standing.best:.4f}"
        if epoch and row["learning_rate"] != history[-2]["learning_rate"]:
            self._print(f"the learning rate is {row['learning_rate']:.2g} now")
        self._print(
            f"epoch {epoch:3d}/{self._train.max_epochs}  {trained}  val_loss {row['val_loss']:.4f}  "
            f"val_accuracy {row['val_accuracy']:.4f}{mark}"
        )
        self._curves.add(history, self._prefix)
        if self._logs:
            self._logs.add(history)
        for notice in self._curves.notices():
            self.warned(notice)

    def warned(self, warning: str) -> None:
        """After a fault that training survives."""
        self.close()
        print(f"{self._title}: warning: {warning}", file=sys.stderr, flush=True)

    def close(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def _open(self, epoch: int, step: int, steps: int) -> None:
        self.close()
        if self._is_live:
            from tqdm import tqdm

            name = f"{self._title}: epoch {epoch}/{self._train.max_epochs}"
            self._bar = tqdm(
                total=steps, initial=step, desc=name, leave=False, disable=False, bar_format=BAR, dynamic_ncols=True
            )

    def _print(self, line: str) -> None:
        print(f"{self._title}: {line}", flush=True)


def fitting(said: Sequence[str], room: int) -> list[str]:
    """The first of what there is to say, as much as fits: the most important stands first.

    Args:
        said: each without a comma.
        room: columns that there are, with a comma and a space before each.
    """
    kept: list[str] = []
    for one in filter(None, said):
        room -= len(one) + 2
        if room < 0:
            break
        kept.append(one)
    return kept


def ended(reason: str, best_epoch: int, spent: Spent) -> str:
    """How a training ended, in words."""
    rate = f" ({spent.images / spent.seconds:,.0f} images/s)" if spent.images and spent.seconds else ""
    took = f"{counted(spent.steps, 'step')} in {duration(spent.seconds)}{rate}"
    return f"{in_words(reason)}; epoch {best_epoch} is kept; {took}"


def duration(seconds: float) -> str:
    """Seconds in words: 42 s, 3 min, 2 h 05 min."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60:02d} min"

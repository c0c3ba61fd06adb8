"""Past cycles: what each version gave and cost, from the metrics of its run."""

from collections.abc import Mapping

from pipeline.artifacts.past import PastCycle
from pipeline.registry.client import Registry
from pipeline.registry.version import Version

_NAMES = {
    "champion": ("holdout/champion_accuracy", "holdout_accuracy_champion"),
    "accuracy": ("holdout/accuracy", "holdout_accuracy_challenger"),
    "lost": ("holdout/negative_flips", "holdout_negative_flips"),
    "passes": ("cost/passes", "passes"),
    "seconds": ("cost/seconds",),
}
"""Metrics, by what they are called today and were called before."""


def cycles(registry: Registry) -> tuple[PastCycle, ...]:
    """The cycles of all versions that there are, the first one first."""
    told = registry.runs.told()
    return tuple(
        _cycle(version, *told.get(version.run_id, ({}, ""))) for version in reversed(registry.all()) if version.is_whole
    )


def _cycle(version: Version, metrics: Mapping[str, float], start: str) -> PastCycle:
    found = {key: next((metrics[name] for name in names if name in metrics), None) for key, names in _NAMES.items()}
    images = metrics.get("data/images")
    return PastCycle(
        version=version.number,
        standing=version.standing,
        verdict=version.verdict,
        images=None if images is None else int(images),
        start=start,
        **found,
    )

"""What versions learned from images, on a real registry in an SQLite file."""

import shutil
from collections.abc import Iterable
from pathlib import Path

import polars as pl
import pytest
import samples
from versions import NOTHING

from pipeline.artifacts.lineage import IMAGES, LEDGER
from pipeline.base import files
from pipeline.base.errors import RegistryError
from pipeline.registry import uses
from pipeline.registry.client import LINEAGE, Registry, Run


class Past:
    """Versions made by hand, with the records that `promote` uploads."""

    def __init__(self, registry: Registry, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(Run, "log_model", lambda run, *_: (f"runs:/{run.run_id}/model", None))
        self.registry = registry
        self.folder = folder

    def add(
        self,
        key: str,
        images: Iterable[tuple[str, str]],
        parent: int | None = None,
        artifact: str = IMAGES,
        **content: object,
    ) -> int:
        """A version whose cycle had these images, as (digest, split)."""
        run = self.registry.run(key, "cycle")
        rows = pl.DataFrame(list(images), schema={"digest": pl.String, "split": pl.String}, orient="row")
        table = self.folder / key / Path(artifact).name
        files.write_table(table, rows.with_columns(is_new=pl.lit(value=True)))
        run.upload(table, artifact)
        record = self.folder / key / Path(LINEAGE).name
        sample = samples.lineage(run_key=key, parent=parent, files={artifact: files.sha256_file(table)}, **content)
        sample.write(record)
        run.upload(record, LINEAGE)
        tags = {"run_key": key, "lineage": files.sha256_file(record), "sources": key}
        return self.registry.register(run, NOTHING, tags, [], "a card").number

    def uses(self, *digests: str) -> dict[int, tuple[int, int, int, int | None, bool]]:
        """By version: trained, selected, judged, inherited, learned."""
        listed = uses.of(self.registry, digests, self.folder / "objects")
        assert [use.version.number for use in listed] == sorted(use.version.number for use in listed)
        return {
            use.version.number: (use.trained, use.selected, use.judged, use.inherited, use.learned) for use in listed
        }


@pytest.fixture
def past(settings, tmp_path, monkeypatch, empty_database) -> Past:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    (tmp_path / "store").mkdir()
    shutil.copy(empty_database, tmp_path / "store/mlflow.db")
    return Past(Registry(settings.resolve), tmp_path, monkeypatch)


NONE = (0, 0, 0, None, False)


def test_what_a_version_learned_its_warm_descendants_inherit_and_a_cold_start_forgets(past):
    past.add("a", [("d1", "train"), ("d2", "val"), ("d3", "holdout")])
    past.add("b", [("d4", "train")], parent=1, is_warm=True)
    past.add("c", [("d4", "train")], parent=2, is_warm=False)
    past.add("d", [("d5", "train")], parent=3, is_warm=True)
    assert past.uses("d1") == {1: (1, 0, 0, None, True), 2: (0, 0, 0, 1, True), 3: NONE, 4: NONE}
    assert past.uses("d2") == {1: (0, 1, 0, None, True), 2: (0, 0, 0, 1, True), 3: NONE, 4: NONE}
    assert past.uses("d4") == {1: NONE, 2: (1, 0, 0, None, True), 3: (1, 0, 0, None, True), 4: (0, 0, 0, 3, True)}
    assert past.uses("d9") == {1: NONE, 2: NONE, 3: NONE, 4: NONE}


def test_judging_teaches_nothing(past):
    past.add("a", [("d3", "holdout")])
    past.add("b", [("d3", "holdout")], parent=1)
    assert past.uses("d3") == {1: (0, 0, 1, None, False), 2: (0, 0, 1, None, False)}


def test_several_images_are_counted_together(past):
    past.add("a", [("d1", "train"), ("d2", "train"), ("d3", "val"), ("d4", "holdout"), ("d5", "train")])
    assert past.uses("d1", "d2", "d3", "d4") == {1: (2, 1, 1, None, True)}


def test_a_version_may_learn_again_what_it_inherits(past):
    past.add("a", [("d1", "train")])
    past.add("b", [("d1", "train")], parent=1)
    past.add("c", [], parent=2)
    assert past.uses("d1") == {1: (1, 0, 0, None, True), 2: (1, 0, 0, 1, True), 3: (0, 0, 0, 2, True)}


def test_a_sister_inherits_nothing(past):
    past.add("a", [("d0", "train")])
    past.add("b", [("d1", "train")], parent=1)
    past.add("c", [("d2", "train")], parent=1)
    assert past.uses("d1")[3] == NONE


def test_a_version_without_a_record_of_its_images_is_told_by_its_ledger_and_counts_as_warm(past):
    past.add("a", [("d1", "train")], artifact=LEDGER)
    past.add("b", [("d2", "val")], parent=1, artifact=LEDGER)
    assert past.uses("d1") == {1: (1, 0, 0, None, True), 2: (0, 0, 0, 1, True)}


def test_nothing_is_said_of_versions_of_other_origin(past):
    past.add("a", [("d1", "train")])
    past.registry.register(past.registry.run("b", "cycle"), NOTHING, {"run_key": "b"}, [], "someone else's")
    assert list(past.uses("d1")) == [1]


def test_an_empty_registry_has_no_uses(past):
    assert past.uses("d1") == {}


def test_a_record_that_is_gone_is_an_error_and_never_no_use(past):
    past.add("a", [("d1", "train")])
    for path in Path("store/artifacts").rglob("images.parquet"):
        path.unlink()
    with pytest.raises(RegistryError, match=r"images.parquet of run .* is not there any more; restore it"):
        past.uses("d1")

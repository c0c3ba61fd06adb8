"""A stage reads the sections that it needs, and of some only a part; what it does not read cannot stop it."""

from pathlib import Path

import pytest
import yaml

from benchmarks.workspace import CHECKOUT
from pipeline.base import params
from pipeline.base.errors import ParamsError
from pipeline.base.params import Excerpt
from pipeline.data.settings import Canvas, Prepare
from pipeline.learning.settings import Train
from pipeline.settings import Params

TEXT = (CHECKOUT / "params.yaml").read_text()


class Some(Excerpt):
    """A whole section, and a part of another."""

    train: Train
    prepare: Canvas


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "params.yaml"
    path.write_text(text)
    return path


def test_an_excerpt_has_what_the_whole_file_has(tmp_path: Path) -> None:
    path = written(tmp_path, TEXT)
    some, whole = params.load(path, Some), params.load(path, Params)
    assert some.train == whole.train
    assert (some.prepare.image_size, some.prepare.channels) == (whole.prepare.image_size, whole.prepare.channels)
    assert not hasattr(some.prepare, "seed")


def test_what_is_made_of_parts_is_whole() -> None:
    assert Canvas.is_part
    assert not Prepare.is_part


@pytest.mark.parametrize("other", ["seed: seven", "sed: 7"], ids=["another kind", "misspelt"])
def test_the_rest_of_a_section_is_not_looked_at(tmp_path: Path, other: str) -> None:
    path = written(tmp_path, TEXT.replace("  seed: 7 # chooses the replayed images", f"  {other}"))
    assert params.load(path, Some).prepare.channels == 3
    with pytest.raises(ParamsError, match=r"prepare\.se"):
        params.load(path, Params)


def test_other_sections_are_not_looked_at(tmp_path: Path) -> None:
    content = yaml.safe_load(TEXT)
    path = written(tmp_path, yaml.safe_dump({name: content[name] for name in ("train", "prepare")} | {"extra": 3}))
    assert params.load(path, Some).train.seed == 7


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("patience:", "patiance:", "train.patiance is not a setting; did you mean train.patience?"),
        ("image_size: auto", "image_size: big", "prepare.image_size is 'big'; expected a whole number"),
        ("image_size: auto", "image_siz: 8", "prepare.image_size is missing; every setting has to be there"),
        ("image_size: auto", "image_size: 3", "prepare.image_size is 3; expected greater than or equal to 8"),
    ],
)
def test_faults_of_what_it_reads_are_told_as_ever(tmp_path: Path, old: str, new: str, said: str) -> None:
    with pytest.raises(ParamsError) as raised:
        params.load(written(tmp_path, TEXT.replace(old, new, 1)), Some)
    assert said in str(raised.value)


@pytest.mark.parametrize("content", ["prepare: 3\ntrain: []\n", "prepare:\ntrain: {}\n"])
def test_a_section_that_is_none_is_refused_by_name(tmp_path: Path, content: str) -> None:
    with pytest.raises(ParamsError, match=r"(train|prepare)"):
        params.load(written(tmp_path, content), Some)

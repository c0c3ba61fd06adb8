"""`python -m pipeline trace`: every version that learned from an image."""

from hashlib import md5
from pathlib import Path

import pytest
from project import Project, picture, pictures


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> Project:
    """Two versions, the second begun from the first and champion."""
    made = Project.create(tmp_path_factory.mktemp("trace") / "clone", empty_database)
    made.space.params(prepare={"replay": 0})
    for number, batch in enumerate(["first", "second"]):
        made.add(batch, pictures(range(100 * number, 100 * number + 30), "cat", "dog"))
        made.cycle()
        made.promote()
    return made


def image(project: Project, batch: str, split: str) -> tuple[str, str]:
    """Path and digest of an image of this batch and split."""
    return next(
        (f"data/images/{path}", row["digest"])
        for path, row in project.ledger().items()
        if path.startswith(batch) and row["split"] == split
    )


SAID = {
    ("first", "train"): [
        "2 versions of evergreen learned",
        "v1: trained on it",
        "v2, champion: started from the weights of v1",
    ],
    ("second", "train"): ["1 version of evergreen learned", "v2, champion: trained on it"],
    ("second", "val"): ["1 version of evergreen learned", "v2, champion: chose its best epoch by it"],
    ("second", "holdout"): [
        "0 versions of evergreen learned",
        "v2, champion: was judged by it, which taught it nothing",
    ],
    ("first", "holdout"): ["0 versions of evergreen learned", "v1: was judged by it", "v2, champion: was judged by it"],
    ("first", "val"): [
        "2 versions",
        "v1: chose its best epoch by it",
        "v2, champion: chose its best epoch by it; started from",
    ],
}


@pytest.mark.parametrize("by", ["file", "digest", "capitals"])
@pytest.mark.parametrize(("batch", "split"), SAID, ids="-".join)
def test_it_says_what_each_version_has_to_do_with_an_image(shared: Project, batch: str, split: str, by: str) -> None:
    path, digest = image(shared, batch, split)
    done = shared.call("trace", {"file": path, "digest": digest, "capitals": digest.upper()}[by])
    assert done.code == 0
    lines = done.out.splitlines()
    assert lines[0].startswith(f"{digest}: ")
    for line, words in zip(lines, SAID[batch, split], strict=True):
        assert words in line


def test_an_image_that_no_version_has_seen(shared: Project, tmp_path: Path) -> None:
    (tmp_path / "new.png").write_bytes(picture(900))
    for what in (str(tmp_path / "new.png"), md5(picture(900), usedforsecurity=False).hexdigest()):
        done = shared.call("trace", what)
        assert done.code == 0
        assert "no version of evergreen has seen it" in done.out


def test_before_the_first_version_no_image_was_seen(project: Project) -> None:
    assert "no version of evergreen has seen it" in project.call("trace", "0" * 32).out


@pytest.mark.parametrize("word", ["nonsense", "abc123", "data/images", "data/images/gone.png", "0" * 31, "g" * 32])
def test_nonsense_is_refused_in_one_line(shared: Project, word: str) -> None:
    done = shared.call("trace", word)
    assert done.code == 4
    assert f"trace: error: '{word}': neither an image nor a digest" in done.error


def test_the_path_of_an_image_that_is_gone_is_known_from_the_ledger(shared: Project) -> None:
    path, digest = image(shared, "second", "train")
    content = (shared.root / path).read_bytes()
    shared.remove(path.removeprefix("data/images/"))
    shared.track("second")
    try:
        done = shared.call("trace", path)
        assert done.code == 0, done.err
        assert done.out.startswith(f"{digest}: 1 version of evergreen learned")
    finally:
        shared.write(path.removeprefix("data/images/"), content)
        shared.track("second")

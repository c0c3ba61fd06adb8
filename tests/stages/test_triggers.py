"""When a cycle starts: while it waits nothing downstream changes, and what it waits for is said."""

import time
from pathlib import Path

import pytest
from project import Done, Project, picture, pictures

WAITING = {"start_at": 20, "start_after_hours": 24, "start_at_new_label": True}


def ago(hours: float) -> str:
    """A commit date."""
    return f"{int(time.time() - hours * 3600)} +0000"


def pinned(project: Project) -> list[bytes]:
    """What the stages after resolve depend on."""
    return [(project.root / f"data/cycle/{name}.json").read_bytes() for name in ("sources", "parent", "champion")]


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> Project:
    """A first cycle on 120 images, and then triggers that wait."""
    made = Project.create(tmp_path_factory.mktemp("triggers") / "clone", empty_database)
    made.add("first", pictures(range(60), "cat", "dog"), date=ago(1000))
    made.space.params(resolve=WAITING)
    made.cycle()
    made.space.commit("First cycle")
    return made


@pytest.fixture
def waits(shared: Project) -> Project:
    """The shared project as it was after its first cycle."""
    if not hasattr(shared, "head"):
        shared.head = shared.space.git("rev-parse", "HEAD").strip()  # type: ignore[attr-defined]
    shared.space.git("reset", "--hard", "--quiet", shared.head)  # type: ignore[attr-defined]
    for entry in (shared.root / "data/images").iterdir():
        if entry.name not in ("first", "first.dvc", ".gitignore"):
            shared.remove(entry.name)
    shared.space.put("first", pictures([7], "dog"))
    assert shared.run("resolve").code == 0
    return shared


def test_while_it_waits_nothing_downstream_changes_and_it_says_for_what(waits: Project) -> None:
    before = pinned(waits)
    waits.add("few", pictures(range(100, 103), "cat", "dog"), date=ago(1.2))
    done = waits.run("resolve")
    assert done.code == 0
    assert pinned(waits) == before
    assert (
        "resolve: waiting with 6 changed images for 20 changed images (resolve.start_at), or 23 hours to pass "
        "(resolve.start_after_hours), or a new label (resolve.start_at_new_label); `python -m pipeline run --force` "
        "starts a cycle now"
    ) in done.out
    assert "this data is known, v1 was trained on it" in done.out


def test_what_waits_accumulates_until_it_is_enough(waits: Project) -> None:
    before = pinned(waits)
    for number, (start, stop) in enumerate([(100, 104), (104, 109)]):
        waits.add(f"few{number}", pictures(range(start, stop), "cat", "dog"))
        assert f"waiting with {2 * (stop - 100)} changed images" in waits.run("resolve").out
        assert pinned(waits) == before
    waits.write("few0/cat/new.png", picture(200))
    waits.remove("first/dog/7.png")
    waits.track("few0", "first")
    done = waits.run("resolve", "detect")
    assert "resolve: a cycle is due: 20 images changed" in done.out
    assert "detect: 19 images added, 1 removed" in done.out


def test_renamed_images_are_no_news(waits: Project) -> None:
    (waits.root / "data/images/first").rename(waits.root / "data/images/moved")
    waits.space.git("mv", "data/images/first.dvc", "data/images/moved.dvc")
    waits.track("moved")
    try:
        assert "waiting with 0 changed images" in waits.run("resolve").out
    finally:
        (waits.root / "data/images/moved").rename(waits.root / "data/images/first")


def test_a_share_of_the_images_starts_a_cycle(waits: Project) -> None:
    waits.space.params(resolve={"start_at": 0.05})
    waits.add("five", pictures(range(100, 105), "cat"))
    assert "waiting with 5 changed images for 6 changed images" in waits.run("resolve").out
    waits.add("one", pictures(range(105, 106), "cat"))
    assert "a cycle is due: 6 images changed" in waits.run("resolve").out


def test_the_oldest_waiting_image_starts_a_cycle_once_it_waited_long_enough(waits: Project) -> None:
    waits.add("old", pictures([100], "cat"), date=ago(23.4))
    waits.add("young", pictures([101], "cat"), date=ago(0.1))
    assert ", or 1 hour to pass" in waits.run("resolve").out
    waits.space.params(resolve={"start_after_hours": 23})
    assert "a cycle is due: the oldest change is 23 hours old" in waits.run("resolve").out
    waits.space.params(resolve={"start_after_hours": None})
    out = waits.run("resolve").out
    assert "waiting with 2 changed images" in out
    assert "hours" not in out


def test_what_is_not_committed_yet_has_waited_no_time(waits: Project) -> None:
    waits.space.put("new", pictures([100], "cat"))
    waits.space.dvc("add", "--quiet", "data/images/new")
    waits.space.params(resolve={"start_after_hours": 0.5})
    assert "waiting with 1 changed image" in waits.run("resolve").out


def test_a_new_label_starts_a_cycle(waits: Project) -> None:
    waits.add("owls", pictures([100], "owl"))
    assert "a cycle is due: new label owl" in waits.run("resolve").out
    waits.space.params(resolve={"start_at_new_label": False})
    out = waits.run("resolve").out
    assert "waiting with 1 changed image" in out
    assert "a new label" not in out


@pytest.mark.parametrize(
    ("looks", "word"), [("dog", "waiting with 120"), ("owl", "a cycle is due: the new images drift")]
)
def test_drift_starts_a_cycle(waits: Project, looks: str, word: str) -> None:
    waits.space.params(resolve={"start_at": 1000, "start_at_drift": 0.3})
    numbers = range(1000, 1060)
    dogs = {f"{number}.png": picture(number, looks) for number in numbers}
    waits.add("more", {"cat": pictures(numbers, "cat")["cat"], "dog": dogs})
    out = waits.run("resolve").out
    assert word in out
    assert (", or a drift of 0.3, now 0.0" in out) == (looks == "dog")


def test_a_few_images_cannot_drift(waits: Project) -> None:
    waits.space.params(resolve={"start_at": 1000, "start_at_drift": 0.3})
    waits.add("more", {"dog": {f"{number}.png": picture(number, "owl") for number in range(99)}})
    assert ", or a drift of 0.3, now 0.00" in waits.run("resolve").out


def test_force_starts_a_cycle_and_then_nothing_is_left_to_do(project: Project) -> None:
    project.add("first", pictures(range(30), "cat", "dog"))
    project.space.params(resolve=WAITING)
    project.cycle()
    project.add("few", pictures(range(100, 103), "cat", "dog"))
    waiting = project.upto("promote")
    assert "waiting with 6" in waiting.out
    assert "promote: nothing to do: v1 is registered with this verdict" in waiting.out
    forced = project.upto("promote", EVERGREEN_FORCE="1")
    assert "detect: 6 images added" in forced.out
    assert "promote: v2 " in forced.out
    before = pinned(project)
    after = project.run("resolve")
    assert "waiting" not in after.out
    assert "this data is known, v2 was trained on it" in after.out
    assert pinned(project) == before


@pytest.fixture(scope="module")
def removals(tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> Project:
    """Three champions, each of whom has seen one batch more; promoted by a person, so without the tag."""
    made = Project.create(tmp_path_factory.mktemp("removals") / "clone", empty_database)
    made.space.params(resolve={"after_removal": "retrain"}, promote={"automatic": False})
    for number, batch in enumerate(["first", "second", "third"]):
        made.add(batch, pictures(range(100 * number, 100 * number + 30), "cat", "dog"))
        made.cycle()
        assert made.promote() == number + 1
    return made


def gone(project: Project, batch: str, split: str) -> Done:
    """What resolve says once an image of this batch and split is gone."""
    path, row = next((p, row) for p, row in project.ledger().items() if p.startswith(batch) and row["split"] == split)
    project.remove(path)
    project.track(batch)
    project.removed = row["digest"]  # type: ignore[attr-defined]
    return project.run("resolve")


def test_after_a_removal_it_starts_from_the_newest_champion_that_never_learned_from_the_image(
    removals: Project,
) -> None:
    done = gone(removals, "second", "train")
    words = "1 image is gone since v3; this cycle starts from v1, which never saw what is gone (resolve.after_removal)"
    assert words in done.out
    assert removals.space.read("parent.json")["version"] == 1
    assert removals.space.read("champion.json")["version"] == 3
    cycle = removals.cycle()
    assert "detect: 119 images added" in cycle.out
    assert "warm start: from v1" in cycle.out
    again = removals.run("resolve")
    assert "this data is known, v4" in again.out
    assert removals.space.read("parent.json")["version"] == 1
    traced = removals.call("trace", removals.removed).out  # type: ignore[attr-defined]
    assert "v2: trained on it" in traced
    assert "v3, champion: started from the weights of v2" in traced or "v3, champion: trained on it" in traced
    assert "v4" not in traced


def test_an_image_that_only_judged_taught_nothing(removals: Project) -> None:
    removals.promote()
    done = gone(removals, "first", "holdout")
    assert "this cycle starts from v4, which never saw what is gone" in done.out


def test_without_a_clean_version_it_starts_from_fresh_weights(removals: Project) -> None:
    done = gone(removals, "first", "train")
    assert "this cycle starts from fresh weights, which never saw what is gone" in done.out
    parent = removals.space.read("parent.json")
    assert parent["version"] is None
    assert parent["elder"]["version"] == 4, "it deals no split anew"


@pytest.mark.parametrize("start_at", [1, 20])
def test_files_that_change_no_image_and_no_label_start_no_cycle(waits: Project, start_at: int) -> None:
    """As a labels.csv that a spreadsheet saved with line ends of its own, or a note in a batch."""
    before = pinned(waits)
    waits.space.params(resolve={"start_at": start_at})
    listed = "".join(f"{label}/{number}.png,{label}\r\n" for label in ("cat", "dog") for number in range(60))
    waits.write("first/labels.csv", b"\xef\xbb\xbffile,label\r\n" + listed.encode())
    waits.write("first/note.txt", b"nothing new")
    waits.track("first", date=ago(1000))
    done = waits.run("resolve")
    assert done.code == 0, done.err
    assert "resolve: files in the batches changed, their images and labels did not" in done.out
    assert "this data is known, v1 was trained on it" in done.out
    assert pinned(waits) == before
    waits.write("first/labels.csv", b"file,label\n" + listed.replace("cat/7.png,cat", "cat/7.png,dog").encode())
    waits.track("first", date=ago(1000))
    assert "did not" not in waits.run("resolve").out
    assert pinned(waits) != before
    waits.remove("first/labels.csv", "first/note.txt")

"""Changes of data that was learned already, one cycle after another: what each is called and what comes of it."""

import csv
import io
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from project import Done, Project, picture, pictures


@dataclass
class State:
    """What one cycle said and left behind."""

    done: Done
    aside: dict[str, str]
    ledger: dict[str, dict[str, Any]]
    delta: dict[str, set[str]]
    dataset: dict[str, Any]
    warnings: list[str]

    def warned(self, *words: str) -> bool:
        return any(all(word in warning for word in words) for warning in self.warnings)

    @property
    def splits(self) -> dict[str, str]:
        return {row["digest"]: row["split"] for row in self.ledger.values()}


def take(project: Project) -> State:
    done = project.cycle()
    project.promote()
    delta = {kind: project.delta(kind) for kind in ("added", "retried", "relabelled", "removed", "renamed")}
    read = project.space.read("dataset/dataset.json")
    return State(done, project.aside(), project.ledger(), delta, read, project.warnings())


def table(labels: dict[str, str]) -> bytes:
    sink = io.StringIO()
    csv.writer(sink).writerows([("file", "label"), *labels.items()])
    return sink.getvalue().encode()


JUNE = {f"{number}.png": "cat" if number < 210 else "dog" for number in range(200, 220)}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> Project:
    return Project.create(tmp_path_factory.mktemp("changes") / "clone", empty_database)


@pytest.fixture(scope="module")
def first(project: Project) -> State:
    """A batch of folders, one with labels.csv, and an image that is tracked alone."""
    project.space.put("first", pictures(range(40), "cat", "dog"))
    for name, label in JUNE.items():
        project.write(f"june/shots/{name}", picture(int(name[:3]), label))
    project.write("june/shots/unnamed.png", picture(300))
    project.write("june/labels.csv", table({f"shots/{name}": label for name, label in JUNE.items()}))
    project.write("alone/dog/single.png", picture(301, "dog"))
    project.track("first", "june", "alone/dog/single.png")
    return take(project)


def test_labels_come_from_folders_and_from_labels_csv(first: State) -> None:
    assert first.ledger["first/cat/7.png"]["label"] == "cat"
    assert first.ledger["june/shots/205.png"]["label"] == "cat"
    assert first.ledger["june/shots/215.png"]["label"] == "dog"
    assert first.ledger["alone/dog/single.png"]["label"] == "dog"
    assert first.dataset["num_images"] == 101


def test_an_image_that_labels_csv_does_not_name_is_set_aside(first: State) -> None:
    assert first.aside == {"june/shots/unnamed.png": "labels.csv of its batch does not name it"}
    assert "add its line, `dvc add` the batch" in first.done.out


@pytest.fixture(scope="module")
def second(project: Project, first: State) -> State:
    """Everything that can happen to a known image, in one push."""
    assert first.aside
    labels = {f"shots/{name}": label for name, label in JUNE.items()} | {"shots/unnamed.png": "cat"}
    project.write("june/labels.csv", table(labels | {"shots/200.png": "dog", "shots/gone.png": "cat"}))
    folder = project.root / "data/images/first"
    (folder / "cat/1.png").rename(folder / "cat/one.png")
    (folder / "cat/2.png").rename(folder / "dog/two.png")
    (folder / "dog/3.png").unlink()
    project.track("june", "first")
    # Granular: into a tracked batch, and another image alone.
    project.write("first/cat/new.png", picture(310))
    project.write("alone/cat/other.png", picture(311))
    project.track("first/cat/new.png", "alone/cat/other.png")
    return take(project)


def test_a_line_changed_in_labels_csv_is_a_relabelling(second: State) -> None:
    assert "june/shots/200.png" in second.delta["relabelled"]
    assert second.ledger["june/shots/200.png"]["label"] == "dog"


def test_an_image_moved_to_another_label_is_relabelled(second: State) -> None:
    assert second.delta["relabelled"] == {"june/shots/200.png", "first/dog/two.png"}
    assert second.ledger["first/dog/two.png"]["label"] == "dog"
    assert "first/cat/2.png" not in second.ledger
    assert second.warned("2 images are relabelled", "learned anew under the new label")


def test_an_image_under_another_name_is_renamed_and_nothing_else(second: State) -> None:
    assert second.delta["renamed"] == {"first/cat/one.png"}
    assert "first/cat/1.png" not in second.ledger


def test_an_image_that_is_gone_is_removed_but_remembered(second: State) -> None:
    assert second.delta["removed"] == {"first/dog/3.png"}
    assert second.ledger["first/dog/3.png"]["removed"]
    assert second.warned(
        "1 image is removed", "what the parent learned from them stays (resolve.after_removal: warn; with retrain the"
    )


def test_a_single_image_can_be_added_to_a_batch_and_alone(second: State) -> None:
    assert second.delta["added"] == {"first/cat/new.png", "alone/cat/other.png"}
    assert second.ledger["first/cat/new.png"]["label"] == second.ledger["alone/cat/other.png"]["label"] == "cat"


def test_an_image_enters_once_labels_csv_names_it(second: State) -> None:
    assert second.delta["retried"] == {"june/shots/unnamed.png"}
    assert second.ledger["june/shots/unnamed.png"]["label"] == "cat"
    assert second.aside == {}


def test_a_name_in_labels_csv_without_a_file_is_warned_of(second: State) -> None:
    line = "data/images/june/labels.csv names 1 files that are not in the batch, e.g. 'data/images/june/shots/gone.png'"
    assert f"detect: warning: {line}" in second.done.out


def test_only_changed_batches_are_opened(second: State) -> None:
    assert "1 removed, 2 relabelled, 1 renamed since v1" in second.done.out


def test_no_known_image_changes_its_split(first: State, second: State) -> None:
    assert first.splits.items() <= second.splits.items()


@pytest.fixture(scope="module")
def third(project: Project, second: State) -> State:
    """A few images of a new label."""
    assert second.ledger
    project.space.params(validate={"new_labels": "allow"})
    project.add("owls", pictures(range(400, 404), "owl"))
    project.add("more", pictures(range(410, 414), "cat"))
    return take(project)


def test_a_new_label_with_too_few_images_waits(third: State) -> None:
    assert set(third.aside) == {f"owls/owl/{number}.png" for number in range(400, 404)}
    assert set(third.aside.values()) == {
        "label owl has 4 images; expected that a new label has at least 10 images (validate.min_images_per_label)"
    }
    assert third.dataset["labels"] == ["cat", "dog"]
    assert third.delta["added"] > {f"more/cat/{number}.png" for number in range(410, 414)}


def test_images_that_wait_are_not_at_fault(project: Project, third: State) -> None:
    """However many wait, the limit of those set aside does not count them."""
    assert third.aside
    project.space.params(validate={"max_quarantined_images": 0, "max_quarantined": 0.0})
    assert project.upto("validate").code == 0
    project.space.params(validate={"max_quarantined_images": 20, "max_quarantined": 0.01})


def test_a_new_label_that_is_not_listed_stops_the_cycle_even_before_it_has_enough(
    project: Project, third: State
) -> None:
    assert third.aside
    project.space.params(validate={"new_labels": "listed", "min_images_per_label": 4})
    done = project.upto("validate")
    assert done.code == 4
    assert "labels are known to the parent or listed in validate.labels: cat, dog" in done.error
    assert "found owl" in done.error
    project.space.params(validate={"labels": ["owl"]})
    assert project.upto("validate").code == 0
    project.space.params(validate={"labels": [], "new_labels": "allow", "min_images_per_label": 10})


@pytest.fixture(scope="module")
def fourth(project: Project, third: State) -> State:
    """Enough of them by now."""
    assert third.aside
    project.add("owls2", pictures(range(420, 430), "owl"))
    return take(project)


def test_a_new_label_enters_with_those_that_waited_once_it_has_enough(fourth: State) -> None:
    assert fourth.aside == {}
    assert fourth.dataset["labels"] == ["cat", "dog", "owl"]
    assert sum(row["label"] == "owl" for row in fourth.ledger.values()) == 14
    assert fourth.warned("new labels: owl; the model gets an output for each")


def test_a_label_that_the_parent_has_no_output_for_does_not_end_the_warm_starts(fourth: State) -> None:
    assert re.search(r"train: warm start: from v\d, its weights", fourth.done.out)


@pytest.fixture(scope="module")
def fifth(project: Project, fourth: State) -> tuple[Done, Done, Done, State]:
    """All images of one label vanish; it is refused, another is acknowledged, then this one acknowledged."""
    assert fourth.ledger
    project.space.git("rm", "--quiet", "data/images/owls.dvc", "data/images/owls2.dvc")
    project.remove("owls", "owls2")
    project.space.commit("No owls")
    refused = project.upto("validate")
    project.space.params(detect={"acknowledged": ["gone-" + "0" * 12]})
    other = project.upto("validate")
    project.space.params(detect={"max_removed": 0.5})
    of_label = project.upto("validate")
    name = refused.error.partition("put ")[2].partition(" ")[0]
    project.space.params(detect={"acknowledged": [name], "max_removed": 0.05})
    return refused, other, of_label, take(project)


def test_a_mass_removal_is_refused_with_what_would_acknowledge_it(fifth: tuple[Done, Done, Done, State]) -> None:
    refused, other, of_label, _ = fifth
    assert refused.code == other.code == of_label.code == 4
    assert "14 of 121 images (of all labels) are gone at once, more than 5% (detect.max_removed)" in refused.error
    assert "else `git revert` of that commit), then run `dvc checkout`" in refused.error
    assert other.error == refused.error, "what is acknowledged is this removal, not any"
    assert (
        "14 of 14 images (of label owl) are gone at once, more than 20% (detect.max_removed_of_label)" in of_label.error
    )


def test_an_acknowledged_removal_goes_on_and_a_vanished_label_keeps_its_output(
    fifth: tuple[Done, Done, Done, State],
) -> None:
    *_, state = fifth
    assert len(state.delta["removed"]) == 14
    assert state.dataset["labels"] == ["cat", "dog", "owl"]
    assert state.warned("labels without images by now: owl", "the model keeps their outputs")


def test_a_push_that_only_removes_trains_nothing_and_is_judged(fifth: tuple[Done, Done, Done, State]) -> None:
    *_, state = fifth
    assert "prepare: 0 train" in state.done.out
    assert "train: nothing new to learn; epoch 0 is kept" in state.done.out
    assert "evaluate: reject against" in state.done.out


@pytest.fixture(scope="module")
def sixth(project: Project, fifth: tuple[Done, Done, Done, State]) -> State:
    """One image comes back, and images are added that look like none before."""
    assert fifth
    bright = {f"{number}.png": picture(number, "dog", side=40) for number in range(500, 620)}
    project.add("bright", {"dog": bright})
    project.write("first/dog/3 again.png", picture(3, "dog"))
    project.track("first")
    return take(project)


def test_a_removed_image_that_comes_back_gets_its_old_split(first: State, sixth: State) -> None:
    row = sixth.ledger["first/dog/3 again.png"]
    assert not row["removed"]
    assert (row["split"], row["first_seen"]) == tuple(
        first.ledger["first/dog/3.png"][key] for key in ("split", "first_seen")
    )
    assert first.splits.items() <= sixth.splits.items()


def test_drift_is_warned_of(sixth: State) -> None:
    assert sixth.warned("the new images are within 0.3 of those before (validate.max_drift)")
    assert sixth.warned("is it the same camera, the same task?")

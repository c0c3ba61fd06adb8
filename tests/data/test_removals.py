import polars as pl
import pytest

from pipeline.base.errors import DataError
from pipeline.data import delta, removals
from pipeline.data.delta import Delta
from pipeline.data.settings import Detect

COUNTS = {"cat": 80, "dog": 20}


def detect(**changes) -> Detect:
    usual = {"ignore": (), "max_removed": 0.1, "max_removed_of_label": 0.5, "acknowledged": ()}
    return Detect(**usual | changes)


def removed(*numbers: int, label: str = "cat", copies: int = 1) -> Delta:
    rows = [
        ("removed", f"d{number}", label, f"{copy}/{number}.png", "") for copy in range(copies) for number in numbers
    ]
    rows.append(("added", "new", label, "new.png", ""))
    return Delta(pl.DataFrame(rows, schema=dict.fromkeys(delta.COLUMNS, pl.String), orient="row"))


def refusal(*arguments) -> str:
    with pytest.raises(DataError) as error:
        removals.refuse_many(*arguments)
    return str(error.value)


def test_as_many_as_may_go_are_no_fault():
    removals.refuse_many(removed(*range(10)), COUNTS, detect())
    removals.refuse_many(removed(), COUNTS, detect(max_removed=0.0, max_removed_of_label=0.0))


def test_copies_of_an_image_are_one_image_that_is_gone():
    removals.refuse_many(removed(*range(10), copies=3), COUNTS, detect())


def test_one_more_is_refused_with_an_example_and_each_way_out():
    assert refusal(removed(*range(11)), COUNTS, detect()) == (
        "11 of 100 images (of all labels) are gone at once, more than 10% (detect.max_removed), e.g. '0/0.png'; if "
        "that is meant, put gone-0d8e85d4790f into detect.acknowledged in params.yaml, and what the parent learned "
        "from them stays; or, above all if they taught it wrong, set resolve.after_removal: retrain, and the cycle "
        "starts from the newest champion that never saw them, or afresh; if not, copy elsewhere what you added since, "
        "take the pointers back (`git checkout HEAD -- data` before they are committed, else `git revert` of that "
        "commit), then run `dvc checkout`"
    )


def test_a_label_of_which_too_many_are_gone_is_named():
    of_label = removed(*range(11), label="dog")
    message = "11 of 20 images (of label dog) are gone at once, more than 50% (detect.max_removed_of_label)"
    assert refusal(of_label, COUNTS, detect(max_removed=1.0)).startswith(message)


def test_a_label_that_the_parent_did_not_count_is_gone_altogether():
    message = "1 of 1 images (of label fox) are gone at once"
    assert refusal(removed(1, label="fox"), COUNTS, detect()).startswith(message)


def test_it_is_this_very_set_of_images_that_is_acknowledged():
    name = refusal(removed(*range(11)), COUNTS, detect()).partition("put ")[2].partition(" ")[0]
    removals.refuse_many(removed(*range(11)), COUNTS, detect(acknowledged=(name,)))
    assert name in refusal(removed(*range(11), copies=2), COUNTS, detect())
    assert name not in refusal(removed(*range(12)), COUNTS, detect(acknowledged=(name,)))


@pytest.mark.parametrize("order", [1, -1])
def test_the_order_of_rows_does_not_matter(order):
    rows = removed(*range(11), copies=2)
    assert refusal(Delta(rows.rows[::order]), COUNTS, detect()) == refusal(rows, COUNTS, detect())

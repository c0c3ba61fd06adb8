"""The review benchmark: its batches, what is planted in one of them, and that its story is told in today's settings."""

import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import yaml
from PIL import Image

from benchmarks import review
from benchmarks.review import Picture, Plan
from benchmarks.workspace import CHECKOUT
from pipeline.base import files, params
from pipeline.data import twins
from pipeline.images import decoding
from pipeline.images.decoding import THUMBNAIL
from pipeline.learning import evidence
from pipeline.settings import Params

NAMES = ("clay", "iron", "oak", "silk", "tin", "wool")
EACH = 215


@pytest.fixture(scope="module")
def photographs() -> dict[str, list[bytes]]:
    """Just enough, each other than the rest: colours that change slowly. One is there twice."""
    rng = np.random.default_rng(0)
    found: dict[str, list[bytes]] = {name: [] for name in NAMES}
    for name in NAMES:
        for _ in range(EACH):
            coarse = Image.fromarray(rng.integers(0, 256, (5, 5, 3), np.uint8))
            sink = io.BytesIO()
            coarse.resize((80, 80), Image.Resampling.BICUBIC).save(sink, "JPEG", quality=90)
            found[name].append(sink.getvalue())
    found["wool"].append(found["wool"][0])
    return found


@pytest.fixture(scope="module")
def plan(photographs: dict[str, list[bytes]]) -> Plan:
    return review.plan(photographs, 0)


def right_labels(photographs: dict[str, list[bytes]]) -> dict[str, str]:
    """By digest."""
    return {files.md5(one): name for name, some in photographs.items() for one in some}


def test_batches_have_their_sizes_and_no_picture_comes_twice(plan: Plan, photographs: dict[str, list[bytes]]) -> None:
    clean = (plan.first, plan.second, plan.mended, plan.fourth, plan.fifth)
    assert [len(batch) for batch in clean] == [600, 150, 220, 40, 60]
    every = [one for batch in clean for one in batch]
    assert len({one.digest for one in every}) == len({one.name for one in every}) == len(every)
    right = right_labels(photographs)
    assert all(right[one.digest] == one.label for one in every)
    with_new_label = [sum(one.label == "clay" for one in batch) for batch in clean]
    assert with_new_label == [0, 0, 60, 0, 0]
    assert {one.label for one in plan.first} == set(NAMES) - {"clay"}


def test_files_names_do_not_tell_labels(plan: Plan) -> None:
    numbers: dict[str, list[int]] = {}
    for one in plan.first:
        numbers.setdefault(one.label, []).append(int(one.name.removeprefix("IMG_").removesuffix(".jpg")))
    middles = [np.median(some) for some in numbers.values()]
    assert max(middles) - min(middles) < 400


def test_what_is_planted_is_what_is_written_down(plan: Plan, photographs: dict[str, list[bytes]]) -> None:
    planted, batch = plan.planted, {one.digest: one for one in plan.third}
    right, mended = right_labels(photographs), {one.name: one for one in plan.mended}
    faults = [*planted.wrong_labels, planted.dark, *planted.near_duplicates, planted.undecodable]
    for fault in faults:
        came = batch[fault.digest]
        assert fault.file == f"data/images/third/{came.label}/{came.name}"
        assert fault.label == came.label
    assert len({fault.digest for fault in planted.wrong_labels}) == review.WRONG == 25
    assert all(right[fault.digest] == fault.right_label != fault.label for fault in planted.wrong_labels)
    at_fault = {fault.digest for fault in faults}
    assert len(at_fault) == 29
    assert len(plan.third) == 222
    assert all(mended[one.name] == one for one in plan.third if one.digest not in at_fault), "all else is as it was"
    assert planted.new_label == "clay"
    assert {fault.label for fault in planted.wrong_labels} > {"clay"}


def test_the_product_sees_each_planted_fault(plan: Plan) -> None:
    contents = {one.digest: one.content for one in plan.third}
    settings = params.load(CHECKOUT / "params.yaml", Params)
    dark = decoding.inspect(contents[plan.planted.dark.digest])
    assert not dark.error
    assert dark.brightness < settings.validate_.brightness[0]
    assert decoding.inspect(contents[plan.planted.undecodable.digest]).error.startswith("damaged JPEG: ")
    one, copy = plan.planted.near_duplicates
    assert one.digest != copy.digest
    assert one.label != copy.label
    assert one.right_label == copy.right_label
    seen = [decoding.look(contents[fault.digest], THUMBNAIL)[1] for fault in (one, copy)]
    assert settings.prepare.near_duplicates is not None
    assert twins.are_twins(seen[0], seen[1], settings.prepare.near_duplicates, 72)


def test_a_seed_gives_one_plan(plan: Plan, photographs: dict[str, list[bytes]]) -> None:
    turned = {name: photographs[name][::-1] for name in reversed(NAMES)}
    assert review.plan(turned, 0) == plan
    assert review.plan(photographs, 1) != plan


def test_the_story_is_told_in_settings_that_the_product_has(plan: Plan, tmp_path: Path) -> None:
    for cycle in review.cycles(plan):
        content = yaml.safe_load((CHECKOUT / "params.yaml").read_text())
        content["train"] |= {"architecture": review.ARCHITECTURE, "pretrained": "data/weights/lite0.npz"}
        for sections in (review.USUAL, cycle.settings):
            for section, values in sections.items():
                content[section].update(values)
        path = tmp_path / "params.yaml"
        path.write_text(yaml.safe_dump(content))
        settings = params.load(path, Params)
        assert settings.promote.automatic == (cycle.batch != "third" or not cycle.is_believed)
    planned = [cycle.decisions for cycle in review.cycles(plan)]
    assert planned == [("promote",), ("promote",), (), ("reject",), ("not enough evidence",), ("promote",)]
    assert [cycle.batch for cycle in review.cycles(plan)] == ["first", "second", "third", "fourth", "fifth", "third"]


def test_a_name_for_evaluate_believed_is_found_in_a_verdict() -> None:
    (name,) = evidence._names(["d"], np.array([1]), np.array([True]), ["data/images/third"]).values()
    assert review.BELIEVED.findall(f"evaluate.believed: {name} (data/images/third)") == [name]


def test_what_was_found_is_counted(plan: Plan, tmp_path: Path) -> None:
    planted = plan.planted
    (tmp_path / "evaluation").mkdir()
    (tmp_path / "validation").mkdir()

    def told(doubted: list[str], warnings: list[str], set_aside: list[str]) -> dict:
        pl.DataFrame({"digest": doubted}).write_csv(tmp_path / "evaluation/doubts.csv")
        report = {"warnings": warnings, "quarantined": [{"digest": digest} for digest in set_aside]}
        (tmp_path / "validation/report.json").write_text(json.dumps(report))
        return review.found(planted, tmp_path)

    wrong = [fault.digest for fault in planted.wrong_labels]
    others = [f"{number}" for number in range(30)]
    one, copy = planted.near_duplicates
    seen = told([*wrong[:9], *others, copy.digest, *wrong[9:]], [f"dark: '{planted.dark.file}'"], [])
    assert seen == {
        "wrong_labels": 25, "wrong_labels_doubted": 9, "of_doubted": 40, "dark_warned": True,
        "near_duplicates_doubted": [False, True], "undecodable_set_aside": False,
    }  # fmt: skip
    seen = told([*wrong, one.digest], ["dark: 'data/images/third/tin/other.jpg'"], [planted.undecodable.digest])
    assert seen["wrong_labels_doubted"] == 25
    assert seen["near_duplicates_doubted"] == [True, False]
    assert not seen["dark_warned"]
    assert seen["undecodable_set_aside"]


def test_a_picture_goes_where_its_label_says() -> None:
    one = Picture("a.jpg", "tin", b"1")
    assert review.as_batch([one, replace(one, name="b.jpg"), replace(one, label="oak")]) == {
        "tin": {"a.jpg": b"1", "b.jpg": b"1"},
        "oak": {"a.jpg": b"1"},
    }


def test_too_few_photographs_are_refused(photographs: dict[str, list[bytes]]) -> None:
    few = {name: some[:60] for name, some in photographs.items()}
    with pytest.raises(SystemExit, match=r"300 photographs and 60 of clay, the new label; expected 1011 and 60; give"):
        review.plan(few, 0)
    with pytest.raises(SystemExit, match=r"1075 photographs and 59 of clay"):
        review.plan({**photographs, "clay": photographs["clay"][:59]}, 0)


def test_what_is_not_there_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"none.npz: not there; expected pretrained weights of EfficientNetLite0"):
        review.main(["--images", str(tmp_path), "--weights", str(tmp_path / "none.npz")])
    with pytest.raises(SystemExit, match=r"expected a folder for each label"):
        review.main(["--images", str(tmp_path / "none.tar"), "--out", str(tmp_path / "out")])
    assert not (tmp_path / "out").exists()

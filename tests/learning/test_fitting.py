"""What settings suit images: rules from traits alone."""

from typing import Any

import pytest

from benchmarks.workspace import CHECKOUT
from pipeline.base import params
from pipeline.images.traits import Traits
from pipeline.learning import fitting

WRITTEN = params.written(CHECKOUT / "params.yaml")
LITE0 = "data/weights/EfficientNetLite0.safetensors"
OTHER = "data/weights/MobileNetV3Small.npz"


def traits(num_each: int = 100, side: int = 384, **changes: Any) -> Traits:
    usual = {"counts": {"cat": num_each, "dog": num_each}, "width": side * 4 // 3, "height": side, "side": side}
    return Traits(**usual | {"long": 0.0, "grey": 0.0, "handed": ""} | changes)


def suiting(seen: Traits, *weights: str, **written: Any) -> dict[str, Any]:
    """Settings that suit; what is written goes by key, with one underscore for the point."""
    changed = {name.replace("_", ".", 1): value for name, value in written.items()}
    found = fitting.fitting(seen, {**WRITTEN, **changed}, weights)
    return {one.name: one.value for one in found.settings}


def test_photographs_get_the_network_whose_weights_are_at_hand():
    network = {"train.architecture": "EfficientNetLite0", "train.pretrained": LITE0}
    assert suiting(traits(), OTHER, LITE0) == network | {"train.tune": "head"}
    assert suiting(traits(), OTHER)["train.architecture"] == "MobileNetV3Small"
    assert suiting(traits(150), LITE0) == network | {"train.tune": "head"}
    assert suiting(traits(151), LITE0) == network, "train.tune: all is there already"


def test_without_weights_photographs_get_a_network_for_them_and_are_told_of_the_weights():
    assert suiting(traits()) == {"train.architecture": "photo_cnn"}, "auto stands for 96 pixels"
    assert suiting(traits(side=80)) == {"train.architecture": "photo_cnn", "prepare.image_size": 64}
    assert suiting(traits(), prepare_image_size=64)["prepare.image_size"] == "auto"
    assert fitting.fitting(traits(), WRITTEN, ()).lacks_weights
    assert not fitting.fitting(traits(), WRITTEN, (LITE0,)).lacks_weights
    assert not fitting.fitting(traits(side=32), WRITTEN, ()).lacks_weights


@pytest.mark.parametrize(
    ("side", "size"), [(64, 96), (104, 96), (117, 128), (145, 128), (146, None), (3000, None)]
)  # None: auto, which stands for 160 and is there
def test_pictures_are_hardly_enlarged_for_a_network_with_weights(side, size):
    assert suiting(traits(side=side), LITE0).get("prepare.image_size") == size


def test_a_size_that_auto_stands_for_is_written_as_auto():
    assert suiting(traits(), LITE0, prepare_image_size=64)["prepare.image_size"] == "auto"
    assert "prepare.image_size" not in suiting(traits(), LITE0, prepare_image_size=160)
    assert suiting(traits(side=32), prepare_image_size=96) == {"prepare.image_size": "auto"}


@pytest.mark.parametrize(("side", "size"), [(8, 16), (20, 16), (28, None), (32, None), (48, 48), (63, 64)])
def test_small_pictures_are_shown_near_their_size_and_need_no_weights(side, size):
    found = suiting(traits(side=side), LITE0)
    assert found == ({} if size is None else {"prepare.image_size": size})


def test_grey_pictures_need_one_channel_and_with_weights_three():
    assert suiting(traits(side=32, grey=1.0)) == {"prepare.channels": 1}
    assert suiting(traits(side=32, grey=0.9)) == {}
    assert suiting(traits(side=32, grey=0.9), prepare_channels=1) == {"prepare.channels": 3}
    assert suiting(traits(grey=1.0), LITE0, prepare_channels=1)["prepare.channels"] == 3


def test_long_pictures_are_padded_and_a_choice_of_fit_stays():
    assert suiting(traits(side=32, long=0.6)) == {"prepare.fit": "pad"}
    assert suiting(traits(side=32, long=0.5), prepare_fit="stretch") == {}


def test_pictures_that_differ_in_a_mirror_are_not_mirrored():
    seen = traits(side=32, handed="labels are digits or letters")
    assert suiting(seen) == {"train.flip": False}
    (flip,) = fitting.fitting(seen, WRITTEN, ()).settings
    assert fitting.listed([flip], WRITTEN) == "train.flip: true -> false (labels are digits or letters)"
    assert suiting(traits(side=32), train_flip=False) == {}, "a choice stays"


@pytest.mark.parametrize(
    ("num_each", "settings"),
    [
        (50, {}),
        (40, {"val_fraction": 0.2, "holdout_fraction": 0.2}),
        (32, {"val_fraction": 0.25, "holdout_fraction": 0.25}),
        (20, {"val_fraction": 0.25, "holdout_fraction": 0.25, "min_split": 6}),
    ],
)
def test_of_few_images_enough_choose_and_judge(num_each, settings):
    assert suiting(traits(num_each, side=32)) == {f"prepare.{name}": value for name, value in settings.items()}


def test_weights_that_come_later_are_for_the_network_without_them_too():
    now = {"train_architecture": "photo_cnn"}
    assert suiting(traits(), **now) == {}
    assert fitting.fitting(traits(), WRITTEN | {"train.architecture": "photo_cnn"}, ()).lacks_weights
    assert suiting(traits(), LITE0, **now)["train.architecture"] == "EfficientNetLite0"
    assert suiting(traits(side=48), LITE0, **now) == {}, "a person chose it for small pictures"


def test_a_network_that_a_person_chose_stays_with_all_that_belongs_to_it():
    own = {"train_architecture": "own:build", "prepare_image_size": 128}
    assert suiting(traits(), LITE0, **own) == {}
    assert suiting(traits(), LITE0, train_architecture="EfficientNetLite0", train_pretrained=OTHER) == {}
    assert suiting(traits(), LITE0, train_architecture="EfficientNetLite0") == {
        "train.pretrained": LITE0,
        "train.tune": "head",
    }


def test_what_clearly_does_not_suit_are_photographs_shown_far_too_small():
    assert fitting.is_misfit(128, WRITTEN)
    assert not fitting.is_misfit(127, WRITTEN)
    assert not fitting.is_misfit(383, WRITTEN | {"prepare.image_size": 96})
    assert not fitting.is_misfit(63, WRITTEN | {"prepare.image_size": 8})
    assert not fitting.is_misfit(500, WRITTEN | {"train.architecture": "own:build"})


def test_the_images_are_described_with_numbers():
    seen = traits(counts={"cat": 40, "dog": 1200})
    found = fitting.fitting(seen, WRITTEN, ())
    assert fitting.described(seen, found) == (
        "photographs of about 512 x 384 pixels, 2 labels with 40 to 1,200 images each"
    )
    small = traits(1, side=30, grey=1.0)
    found = fitting.fitting(small, WRITTEN, ())
    assert fitting.described(small, found) == "grey small pictures of about 40 x 30 pixels, 2 labels with 1 image each"

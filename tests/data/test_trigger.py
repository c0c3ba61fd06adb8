import pytest

from pipeline.data import trigger
from pipeline.data.trigger import Change

NOTHING = Change(images=0, total=1000, hours=0.0, new_labels=(), drift={})
NEVER = {"start_at": 999, "start_after_hours": None, "start_at_drift": None, "start_at_new_label": False}


@pytest.fixture
def told(settings):
    """Reason and words of waiting for a change: `told({"images": 5}, start_at=5)`."""

    def both(change: dict[str, object], **keys: object) -> tuple[str | None, str]:
        made = Change(**(vars(NOTHING) | change))
        rule = settings.resolve.model_copy(update=NEVER | keys)
        return trigger.reason(made, rule), trigger.waiting(made, rule)

    return both


@pytest.mark.parametrize(
    ("change", "rule", "why"),
    [
        ({"images": 4}, {"start_at": 5}, None),
        ({"images": 5}, {"start_at": 5}, "5 images changed"),
        ({"images": 49}, {"start_at": 0.05}, None),
        ({"images": 50}, {"start_at": 0.05}, "50 images changed"),
        ({"images": 0, "total": 3}, {"start_at": 0.01}, None),
        ({"images": 1, "total": 3}, {"start_at": 0.01}, "1 image changed"),
        ({"new_labels": ["fox", "owl"]}, {"start_at_new_label": True}, "new label fox, owl"),
        ({"new_labels": ["fox"]}, {}, None),
        ({"new_labels": []}, {"start_at_new_label": True}, None),
        ({"hours": 23.9}, {"start_after_hours": 24}, None),
        ({"hours": 24.0}, {"start_after_hours": 24}, "the oldest change is 24 hours old"),
        ({"hours": 1e9}, {}, None),
        (
            {"drift": {"contrast": 0.4, "labels": 0.5}},
            {"start_at_drift": 0.3},
            "the new images drift: labels is 0.50 away",
        ),
        ({"drift": {"contrast": 0.3}}, {"start_at_drift": 0.3}, None),
        ({"drift": {"contrast": 1.0}}, {}, None),
        ({"drift": {}}, {"start_at_drift": 0.3}, None),
    ],
    ids=[
        "too few",
        "enough",
        "too small a share",
        "a share",
        "nothing is no share",
        "one image at least",
        "new labels",
        "new label, not asked for",
        "no new label",
        "too young",
        "old enough",
        "old, not asked for",
        "drift of the farthest",
        "drift at the bound",
        "drift not asked for",
        "too few to tell drift",
    ],
)
def test_a_cycle_starts_for_the_reason_that_params_give_and_for_no_other(told, change, rule, why):
    assert told(change, **rule)[0] == why


def test_what_is_waited_for_is_told_as_far_as_it_is_known(told):
    _, words = told(
        {"images": 3, "hours": 20.6, "drift": {"contrast": 0.1, "labels": 0.2}},
        start_at=0.02,
        start_after_hours=24,
        start_at_drift=0.3,
        start_at_new_label=True,
    )
    assert words == (
        "waiting with 3 changed images for 20 changed images (resolve.start_at), or 3 hours to pass "
        "(resolve.start_after_hours), or a drift of 0.3, now 0.20 (resolve.start_at_drift), or a new label "
        "(resolve.start_at_new_label); `python -m pipeline run --force` starts a cycle now"
    )


def test_what_is_not_asked_for_is_not_waited_for(told):
    assert told({"images": 1}, start_at=5)[1] == (
        "waiting with 1 changed image for 5 changed images (resolve.start_at); `python -m pipeline run --force` "
        "starts a cycle now"
    )


def test_a_drift_that_is_not_known_yet_is_told_as_none(told):
    assert "a drift of 0.3, now 0.00" in told({}, start_at_drift=0.3)[1]

"""What DVC subtracts has one name; what must not be subtracted has not."""

from pipeline.artifacts.evaluation import ChallengerScores, ChampionScores, Evaluation


def test_scores_of_both_models_stand_below_the_images_and_what_is_not_known_is_not_there() -> None:
    ours = ChallengerScores(accuracy=0.75, loss=0.5, recall={"cat": 1}, balanced_accuracy=0.7)
    both = Evaluation(
        holdout_images=3, challenger=ours, champion=ChampionScores(accuracy=0.5, loss=1), negative_flips=0.25
    )
    assert both.published("holdout_3_abcdef") == {
        "holdout_3_abcdef": {"accuracy": 0.75, "champion": 0.5, "balanced": 0.7, "flips": 0.25}
    }
    first = both.model_copy(update={"champion": ChampionScores(), "negative_flips": None})
    assert first.published("h") == {"h": {"accuracy": 0.75, "balanced": 0.7}}

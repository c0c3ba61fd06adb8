"""What a verdict says beside itself: what so few holdout images can tell, and what to try."""

from project import Project, pictures


def reasons(project: Project) -> list[str]:
    found: list[str] = project.space.read("evaluation/verdict.json")["reasons"]
    return found


def test_a_warm_start_that_learned_nothing_says_so_and_what_it_says_to_try_works(project: Project) -> None:
    project.space.params(train={"max_epochs": 3, "warm_rate": 100, "learning_rate": 0.01, "max_retries": 0})
    project.add("first", pictures(range(40), "cat", "dog"))
    project.cycle()
    project.promote()
    project.add("second", pictures(range(100, 120), "cat", "dog"))
    project.cycle()
    found = project.space.read("model/training.json")
    assert found["best_epoch"] * found["share"] == 0
    assert reasons(project)[-1].startswith("nothing was learned: on the validation images ")
    assert "try train.start: cold for one cycle" in (project.root / "data/cycle/report.md").read_text()
    project.space.params(train={"start": "cold"})
    done = project.cycle()
    assert "train: cold start: fresh weights: train.start is cold" in done.out
    assert not any("nothing was learned" in reason for reason in reasons(project))


def test_what_is_missing_to_an_evidence_is_told_in_images_before_and_after_training(project: Project) -> None:
    project.space.params(
        evaluate={"margin": 0.0, "confidence": 0.9999999, "max_wrong": None},
        train={"max_epochs": 1, "learning_rate": 1e-6},
    )
    project.add("first", pictures(range(40), "cat", "dog", "owl", "fox"))
    first = project.cycle()
    assert "prepare: with " in first.out
    assert "holdout images a challenger needs about +" in first.out
    project.promote()
    project.space.params(train={"max_epochs": 8, "learning_rate": 0.003, "start": "cold"})
    project.add("second", pictures(range(100, 110), "cat", "dog", "owl", "fox"))
    project.cycle()
    verdict = project.space.read("evaluation/verdict.json")
    assert verdict["decision"] == "not enough evidence", verdict
    assert "more holdout images would settle it" in verdict["reasons"][1]
    assert verdict["reasons"][2].startswith("that takes about ")
    assert verdict["reasons"][2].endswith("; the next cycle learns those of this one again")


def test_a_first_challenger_that_is_not_good_enough_is_told_what_would_help(project: Project) -> None:
    project.space.params(evaluate={"min_accuracy": 0.99}, train={"max_epochs": 4, "batch_size": 8})
    project.add("first", pictures(range(30), "cat", "dog", "owl", "fox"))  # the last two look alike
    done = project.cycle()
    assert project.space.read("evaluation/verdict.json")["decision"] == "reject"
    assert reasons(project)[-1].startswith("more images help most: ")
    assert "so may more epochs: training was stopped by max_epochs" in done.out
    project.space.params(evaluate={"min_accuracy": 0.0})
    project.cycle()
    assert project.space.read("promotion.json")["promoted"]

"""The report is that of the last cycle, however it ended; nothing tells of a cycle before as if it were this one."""

from project import Project, pictures

REPORT = "data/cycle/report.md"
PROMOTION = "data/cycle/promotion.json"


def test_a_cycle_that_an_error_ends_has_a_report_that_says_so(trained: Project) -> None:
    assert (trained.root / REPORT).read_text().startswith("promoted: ")
    trained.add("second", {"cat": {f"{number}.png": b"no image %d" % number for number in range(30)}})
    done = trained.upto("validate")
    assert "expected that at most 20 images are set aside" in done.error
    report = (trained.root / REPORT).read_text()
    assert report.startswith("## The cycle stopped in validate\n\n- expected that at most 20 images are set aside")
    assert report.endswith("\n- nothing was promoted\n")
    assert not (trained.root / PROMOTION).exists()


def test_also_one_that_ends_where_it_begins(trained: Project) -> None:
    trained.write("first/cat/untracked.png", b"x")
    assert trained.run("resolve").code
    assert (trained.root / REPORT).read_text().startswith("## The cycle stopped in resolve\n\n- 1 file")


def test_while_a_cycle_goes_on_there_is_no_report_of_another(trained: Project) -> None:
    trained.add("second", pictures(range(100, 110), "cat", "dog"))
    assert trained.upto("prepare").code == 0
    assert not (trained.root / REPORT).exists()
    assert not (trained.root / PROMOTION).exists()


def test_a_cycle_that_is_paused_says_so(trained: Project) -> None:
    trained.space.params(budget={"max_steps": 1}, train={"seed": 8})
    assert trained.upto("train").code == 75
    report = (trained.root / REPORT).read_text()
    assert report.startswith("## The cycle is not at its end\n\n- train saved its state; `dvc repro` goes on from it\n")


def test_a_cycle_with_nothing_to_do_tells_of_the_version_that_is_there(trained: Project) -> None:
    assert trained.run("resolve", "promote").code == 0
    assert (trained.root / REPORT).read_text().startswith("promoted: ")
    assert (trained.root / PROMOTION).exists()

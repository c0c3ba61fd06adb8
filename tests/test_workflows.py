"""The workflows: audited, and run for real (without Docker and without GitHub) by act."""

import base64
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import yaml

from benchmarks import digits, workspace
from benchmarks.workspace import Workspace
from pipeline.base import params
from pipeline.registry import client as registry
from pipeline.settings import Params

ROOT = Path(__file__).parent.parent
GITHUB = ROOT / ".github"
SCRIPTS = GITHUB / "scripts"
WORKFLOWS = sorted(GITHUB.glob("workflows/*.yml"))
USES = [
    (path.name, line.strip().removeprefix("- "))
    for path in WORKFLOWS
    for line in path.read_text().splitlines()
    if re.match(r"\s*(- )?uses:", line)
]
BIN = Path(sys.executable).parent
each_workflow = pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)


def load(path: Path) -> dict[str, Any]:
    # YAML 1.1, which PyYAML reads, takes the key `on` for true.
    content = yaml.safe_load(path.read_text())
    return {"on" if key is True else key: value for key, value in content.items()}


RETRAIN = load(GITHUB / "workflows/retrain.yml")


def run(*command: str | Path, **options: Any) -> subprocess.CompletedProcess[str]:
    arguments = [str(part) for part in command]
    return subprocess.run(arguments, capture_output=True, text=True, errors="replace", check=False, **options)


def test_zizmor_finds_nothing_and_is_told_to_ignore_nothing() -> None:
    done = run(BIN / "zizmor", "--offline", "--color=never", "--no-config", "--persona=auditor", ".github", cwd=ROOT)
    assert done.returncode == 0, done.stdout
    assert done.stdout.strip() == "No findings to report. Good job!"  # it adds how many were ignored
    assert sum(line.count("completed .github/") for line in done.stderr.splitlines()) == len(WORKFLOWS) + 1


@each_workflow
@pytest.mark.parametrize("schema", ["vendor.github-workflows", "custom.github-workflows-require-timeout"])
def test_workflow_fits_schema(path: Path, schema: str) -> None:
    done = run(BIN / "check-jsonschema", "--builtin-schema", schema, path)
    assert done.returncode == 0, done.stdout


def test_dependabot_fits_schema() -> None:
    done = run(BIN / "check-jsonschema", "--builtin-schema", "vendor.dependabot", GITHUB / "dependabot.yml")
    assert done.returncode == 0, done.stdout


def test_dependabot_waits_and_groups() -> None:
    updates = yaml.safe_load((GITHUB / "dependabot.yml").read_text())["updates"]
    assert {update["package-ecosystem"] for update in updates} == {"github-actions", "pip"}
    for update in updates:
        assert update["schedule"]["interval"] == "weekly"
        assert update["cooldown"]["default-days"] >= 7
        assert [group["patterns"] for group in update["groups"].values()] == [["*"]]


@pytest.mark.parametrize(("name", "uses"), USES)
def test_action_is_pinned_by_commit_and_names_its_release(name: str, uses: str) -> None:
    assert re.fullmatch(r"uses: [\w.-]+/[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", uses), f"{name}: {uses}"


def test_an_action_is_pinned_once() -> None:
    pins = {re.sub("@.*", "", uses): uses for _, uses in USES}
    assert sorted(pins.values()) == sorted({uses for _, uses in USES})


@each_workflow
def test_permissions_are_empty_on_top_and_least_on_jobs(path: Path) -> None:
    workflow = load(path)
    assert workflow["permissions"] == {}
    for name, job in workflow["jobs"].items():
        assert job["permissions"] == {"contents": "write" if name == "retrain" else "read"}, name


def test_pull_requests_get_no_secret() -> None:
    for path in WORKFLOWS:
        triggers = set(load(path)["on"])
        assert triggers <= {"push", "pull_request", "workflow_dispatch"}
        if "pull_request" in triggers:
            assert not re.search(r"secrets\.|vars\.|environment:", path.read_text())


def test_cycles_run_one_at_a_time_and_are_never_cancelled() -> None:
    assert RETRAIN["concurrency"] == {"group": "retrain", "cancel-in-progress": False}


def test_secrets_come_from_the_protected_environment() -> None:
    for name, job in RETRAIN["jobs"].items():
        if "secrets." in json.dumps(job):
            assert job["environment"] == "production", name


def test_only_the_step_that_pushes_gets_the_token() -> None:
    holders = [
        step.get("name")
        for job in RETRAIN["jobs"].values()
        for step in job["steps"]
        if re.search(r"github\.token|secrets\.GITHUB_TOKEN", json.dumps(step))
    ]
    assert holders == ["Record the cycle in dvc.lock"]
    assert RETRAIN["jobs"]["retrain"]["steps"][-1]["name"] == holders[0]


def matches(path: str, patterns: Sequence[str]) -> bool:
    """GitHub's path filter, as far as these workflows use it: ** is any text, * any text without a slash."""
    for pattern in patterns:
        assert not re.search(r"[?+!\[\]]", pattern), f"{pattern}: not supported here"
        parts = re.split(r"(\*\*|\*)", pattern)
        if re.fullmatch("".join({"**": ".*", "*": "[^/]*"}.get(part, re.escape(part)) for part in parts), path):
            return True
    return False


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("data/images.dvc", True),
        ("data/images/b1.dvc", True),
        ("data/images/2026/b1.dvc", True),
        ("params.yaml", True),
        ("dvc.yaml", True),
        ("pipeline/registry/client.py", True),
        ("pipeline/stages/train.py", True),
        ("requirements.lock", True),
        ("requirements-gpu.lock", True),
        ("README.md", False),
        ("dvc.lock", False),
        ("data/README.md", False),
        ("tests/x.py", False),
        ("tests/data/images.dvc", False),
        ("benchmarks/digits.py", False),
        ("docs/requirements.lock", False),
        (".github/workflows/retrain.yml", False),
    ],
)
def test_what_starts_a_cycle(path: str, expected: bool) -> None:
    assert RETRAIN["on"]["push"]["branches"] == ["main"]
    assert matches(path, RETRAIN["on"]["push"]["paths"]) is expected


def test_hooks_are_local_and_use_the_environment() -> None:
    path = ROOT / ".pre-commit-config.yaml"
    assert run(BIN / "pre-commit", "validate-config", path).returncode == 0
    (repo,) = yaml.safe_load(path.read_text())["repos"]
    assert repo["repo"] == "local"
    for hook in repo["hooks"]:
        assert hook["language"] == "system"
        program = hook["entry"].split()[0]
        assert program.startswith(".venv/bin/")
        assert (BIN / Path(program).name).is_file(), program


@pytest.mark.parametrize("path", sorted(SCRIPTS.iterdir()), ids=lambda path: path.name)
def test_script_is_strict_and_runs(path: Path) -> None:
    assert path.read_text().startswith("#!/usr/bin/env bash\n# ")
    assert "\nset -euo pipefail\n" in path.read_text()
    assert os.access(path, os.X_OK)
    assert run("bash", "-n", path).returncode == 0


class Job:
    """What a script finds on a runner: a checkout, a summary, outputs."""

    def __init__(self, root: Path) -> None:
        self.root = root / "checkout"
        self.root.mkdir()
        self.summary, self.outputs = root / "summary.md", root / "outputs"
        self.env = {
            "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
            "HOME": str(root / "home"),
            "LC_ALL": "C.UTF-8",
            "GIT_CONFIG_NOSYSTEM": "1",
            "GITHUB_OUTPUT": str(self.outputs),
            "GITHUB_REF": "refs/heads/main",
            "GITHUB_REF_NAME": "main",
            "GITHUB_REPOSITORY": "someone/images",
            "GITHUB_RUN_ID": "17",
            "GITHUB_SERVER_URL": "https://github.com",
            "GITHUB_STEP_SUMMARY": str(self.summary),
            "GITHUB_TOKEN": "0123456789abcdef",
            "RUNNER_TEMP": str(root),
        }

    def run(self, script: str, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
        return run(SCRIPTS / script, *arguments, cwd=self.root, env=self.env | env)

    def git(self, *arguments: str) -> str:
        who = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
        done = run("git", *who, *arguments, cwd=self.root, env=self.env)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def write(self, name: str, content: str) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return Job(tmp_path)


@pytest.mark.parametrize(
    ("pointer", "found"),
    [
        ("data/images.dvc", True),
        ("data/images/b1.dvc", True),
        ("data/images/2026/b1.dvc", True),
        ("data/README.md", False),
        ("data/other.dvc", False),
    ],
)
def test_look_finds_pointers_that_git_tracks(job: Job, pointer: str, found: bool) -> None:
    job.git("init", "--quiet")
    job.write(pointer, "")
    job.git("add", "--all")
    job.write("data/images/not_in_git.dvc", "")
    assert job.run("look.sh").returncode == 0
    assert job.outputs.read_text() == f"found={str(found).lower()}\n"
    assert job.summary.exists() is not found
    assert found or "dvc add data/images/" in job.summary.read_text()


def test_look_fails_where_git_refuses(job: Job) -> None:
    job.git("init", "--quiet")
    job.write("data/images.dvc", "")
    job.git("add", "--all")
    job.write(".git/index", "damaged")
    done = job.run("look.sh")
    assert done.returncode != 0
    assert "index" in done.stderr
    assert not job.outputs.exists()
    assert not job.summary.exists()


@pytest.mark.project  # it calls DVC
class TestConnect:
    @pytest.fixture
    def job(self, job: Job) -> Job:
        job.git("init", "--quiet")
        job.write(".dvc/config", (ROOT / ".dvc/config").read_text())
        return job

    def remote(self, job: Job) -> str:
        return run(BIN / "dvc", "config", "remote.local.url", cwd=job.root, env=job.env).stdout.strip()

    def test_default_is_a_folder_that_outlives_the_checkout(self, job: Job) -> None:
        job.write("data/cycle/report.md", "of another commit")
        for _ in range(2):  # the second job finds what the first left
            done = job.run("connect.sh")
            assert done.returncode == 0, done.stderr
            assert "::" not in done.stdout
        kept = Path(job.env["HOME"], "evergreen/someone/images")
        assert self.remote(job) == str(kept / "remote")
        assert (job.root / "store").resolve() == kept
        assert list(kept.iterdir()) == []
        assert not (job.root / "data/cycle").exists()

    def test_variables_win_and_stop_winning_when_unset(self, job: Job) -> None:
        job.run("connect.sh", DVC_REMOTE_URL="s3://bucket/images")
        assert self.remote(job) == "s3://bucket/images"
        job.run("connect.sh", DVC_REMOTE_URL="")
        assert self.remote(job).endswith("/evergreen/someone/images/remote")

    @pytest.mark.parametrize(
        ("variables", "missing"),
        [
            ({}, ["DVC_REMOTE_URL", "MLFLOW_TRACKING_URI"]),
            ({"DVC_REMOTE_URL": "s3://bucket"}, ["MLFLOW_TRACKING_URI"]),
            ({"DVC_REMOTE_URL": "s3://bucket", "MLFLOW_TRACKING_URI": "https://example.org"}, []),
        ],
    )
    def test_warns_where_nothing_lasts(self, job: Job, variables: dict[str, str], missing: list[str]) -> None:
        empty = {"DVC_REMOTE_URL": "", "MLFLOW_TRACKING_URI": "", "RUNNER_ENVIRONMENT": "github-hosted"}
        done = job.run("connect.sh", **(empty | variables))
        assert done.returncode == 0, done.stderr
        assert re.findall(r"^::warning::The variable (\w+) is not set", done.stdout, re.M) == missing


HOSTILE = "</pre><script>alert(1)</script>\n::error::you\n# you\n```\n::add-mask::a"


class TestWatch:
    def failed(self, job: Job, *lines: str) -> str:
        """The summary of a command that printed this and failed."""
        script = "import sys; print(sys.argv[1], file=sys.stderr); sys.exit(4)"
        done = job.run("watch.sh", sys.executable, "-c", script, "\n".join(lines))
        assert done.returncode == 4
        return job.summary.read_text()

    def test_shows_everything_and_says_nothing_in_the_summary(self, job: Job) -> None:
        done = job.run("watch.sh", "bash", "-c", "echo out; echo err >&2")
        assert done.returncode == 0
        assert "out\nerr\n" in done.stdout
        assert not job.summary.exists()

    def test_output_is_not_taken_for_commands(self, job: Job) -> None:
        done = job.run("watch.sh", "printf", "%s", HOSTILE)  # without a line break at its end
        first, *middle, last = done.stdout.splitlines()
        stop = re.fullmatch(r"::stop-commands::([0-9a-f]{32})", first)
        assert stop is not None
        assert "\n".join(middle) == HOSTILE
        assert last == f"::{stop[1]}::"
        assert job.run("watch.sh", "true").stdout.splitlines()[0] != first

    def test_a_stage_error_is_the_summary(self, job: Job) -> None:
        said = "detect: error: data/images/b1/x.png: lies in no label folder; move it to data/images/b1/<label>/"
        text = self.failed(job, f" 10%|#   |\r 20%|##  |\r{said}", "ERROR: failed to reproduce 'detect': exited with 4")
        assert text.startswith(f"### `{sys.executable} -c` failed\n\n<pre>\n")
        assert text.endswith(f"\n<pre>\n  {said.replace('<label>', '&lt;label&gt;')}\n</pre>\n")

    @pytest.mark.parametrize("before", ["detect: error: ", "ERROR: ", ""])
    def test_what_strangers_wrote_is_inert(self, job: Job, before: str) -> None:
        text = self.failed(job, before + HOSTILE)
        inside = text.removeprefix(text.partition("<pre>\n")[0] + "<pre>\n").removesuffix("</pre>\n")
        assert "alert(1)" in inside
        assert "<" not in inside
        assert all(line.startswith("  ") for line in inside.splitlines())

    def test_dvc_speaks_where_no_stage_did(self, job: Job) -> None:
        assert "<pre>\n  ERROR: no remote\n</pre>" in self.failed(job, "Collecting", "ERROR: no remote", "Is it there?")

    def test_the_last_lines_speak_where_nobody_did(self, job: Job) -> None:
        text = self.failed(job, *(f"line {number}" for number in range(100)))
        assert "line 99" in text
        assert "line 50" not in text

    def test_bytes_that_are_no_text_do_not_hide_an_error(self, job: Job) -> None:
        job.run("watch.sh", "bash", "-c", r"printf 'detect: error: \xff\x1b[31m red\n'; exit 4")
        assert b"detect: error: \xff[31m red" in job.summary.read_bytes()


class TestRecord:
    @pytest.fixture
    def job(self, job: Job, tmp_path: Path) -> Job:
        """A shallow clone, which is what GitHub's checkout makes."""
        (tmp_path / "author").mkdir()
        author = Job(tmp_path / "author")
        author.git("init", "--quiet", "--bare", "--initial-branch", "main", str(tmp_path / "origin.git"))
        author.git("init", "--quiet", "--initial-branch", "main")
        author.git("remote", "add", "origin", str(tmp_path / "origin.git"))
        self.author = author
        self.push("README.md", "one")
        self.push("dvc.lock", "before")
        job.git("clone", "--quiet", "--depth", "1", (tmp_path / "origin.git").as_uri(), ".")
        (tmp_path / "bin").mkdir()
        (tmp_path / "bin/sleep").symlink_to("/bin/true")
        job.env["PATH"] = f"{tmp_path / 'bin'}{os.pathsep}{job.env['PATH']}"
        return job

    def push(self, name: str, content: str) -> None:
        self.author.write(name, content)
        self.author.git("add", "--all")
        self.author.git("commit", "--quiet", "--message", f"{name} {content}")
        self.author.git("push", "--quiet", "origin", "main")

    def log(self) -> list[str]:
        self.author.git("fetch", "--quiet", "origin")
        return self.author.git("log", "--format=%s", "--reverse", "origin/main").splitlines()

    BEFORE = ("README.md one", "dvc.lock before")
    RECORD = "Record the cycle in dvc.lock [skip ci]"

    def test_pushes_dvc_lock_and_nothing_else(self, job: Job) -> None:
        job.write("dvc.lock", "after")
        job.write("README.md", "of no interest")
        job.write("data/new", "of no interest")
        assert job.run("record.sh").returncode == 0
        assert self.log() == [*self.BEFORE, self.RECORD]
        self.author.git("merge", "--quiet", "--ff-only", "origin/main")
        shown = self.author.git("show", "--stat", "--format=%an%n%b")
        assert shown.startswith("github-actions[bot]\nhttps://github.com/someone/images/actions/runs/17\n")
        assert "1 file changed" in shown
        assert (self.author.root / "dvc.lock").read_text() == "after"

    def test_the_first_lock_is_recorded(self, job: Job) -> None:
        job.git("rm", "--quiet", "dvc.lock")
        job.git("commit", "--quiet", "--message", "none")
        job.git("push", "--quiet", "origin", "main")
        job.write("dvc.lock", "first")
        assert job.run("record.sh").returncode == 0
        assert self.log()[-1] == self.RECORD

    def test_an_unchanged_lock_makes_no_commit(self, job: Job) -> None:
        job.write("dvc.lock", "before")
        done = job.run("record.sh")
        assert (done.returncode, done.stdout) == (0, "dvc.lock is unchanged\n")
        assert self.log() == [*self.BEFORE]

    def test_the_branch_may_move_meanwhile(self, job: Job) -> None:
        job.write("dvc.lock", "after")
        self.push("data/images/b2.dvc", "two")
        self.push("data/images/b3.dvc", "three")
        done = job.run("record.sh")
        assert done.returncode == 0, done.stderr
        assert self.log() == [*self.BEFORE, "data/images/b2.dvc two", "data/images/b3.dvc three", self.RECORD]

    @pytest.mark.parametrize("is_set_up", [False, True])
    def test_someone_elses_lock_stays(self, job: Job, is_set_up: bool) -> None:
        if is_set_up:  # as by `make setup`
            job.git("config", "merge.made-anew.driver", "true")
            job.write(".git/info/attributes", "/dvc.lock merge=made-anew\n")
        job.write("dvc.lock", "after")
        self.push("dvc.lock", "theirs")
        done = job.run("record.sh")
        assert done.returncode == 1
        assert done.stdout.splitlines()[-1].startswith("::error::dvc.lock could not be pushed to main; ")
        assert self.log() == [*self.BEFORE, "dvc.lock theirs"]
        assert "rebas" not in job.git("status")

    def test_the_token_goes_to_the_server_and_nowhere_else(self, job: Job) -> None:
        seen = []

        class Refusing(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                seen.append(self.headers["Authorization"])
                self.send_error(403)

            def log_message(self, *_: Any) -> None:
                pass

        with HTTPServer(("127.0.0.1", 0), Refusing) as server:
            Thread(target=server.serve_forever, daemon=True).start()
            address = f"http://127.0.0.1:{server.server_port}"
            job.git("remote", "set-url", "origin", f"{address}/someone/images")
            job.write("dvc.lock", "after")
            done = job.run("record.sh", GITHUB_SERVER_URL=address, GIT_TRACE="1", GIT_TRACE_SETUP="1")
            server.shutdown()
        assert done.returncode == 1
        token = job.env["GITHUB_TOKEN"]
        encoded = base64.b64encode(f"x-access-token:{token}".encode()).decode()
        assert set(seen) == {f"basic {encoded}"}
        assert "git push" in done.stderr
        for secret in (token, encoded):
            assert secret not in done.stdout + done.stderr
            assert run("grep", "-r", secret, job.root).returncode == 1


@dataclass(frozen=True)
class Run:
    """How a workflow went."""

    code: int
    log: str
    summary: str
    steps: tuple[str, ...]
    """`<job>/<step>` of what succeeded, in order."""


def act(checkout: Workspace, workflow: str, variables: Mapping[str, str] | None = None) -> Run:
    """Run a workflow on a push to this checkout, in a copy of it."""
    # Only the repository's name is taken from this; what the workflow pushes goes to `origin`.
    checkout.git("remote", "add", "github", "https://github.com/someone/images.git")
    stubs = {uses.split()[1]: re.split("[/@]", uses)[1] for _, uses in USES if "actions/checkout@" not in uses}
    done = run(
        BIN / "act",
        *("push", "-W", f".github/workflows/{workflow}", "-P", "ubuntu-24.04=-self-hosted", "--no-cache-server"),
        *("--remote-name", "github", "--json", "--env", f"TESTS_VENV={BIN.parent}"),
        *(part for uses, name in stubs.items() for part in ("--local-repository", f"{uses}={stub(name)}")),
        *(part for key, value in (variables or {}).items() for part in ("--var", f"{key}={value}")),
        cwd=checkout.root,
        env=dict(checkout.env),
    )
    colourless = re.sub(r"\\u001b\[[0-9;]*m", "", done.stdout)
    events = [json.loads(line) for line in colourless.splitlines() if line.startswith("{")]
    return Run(
        done.returncode,
        "".join(f"{event['msg'].rstrip()}\n" for event in events) + done.stderr,
        "".join(event["content"] for event in events if event.get("command") == "summary"),
        tuple(
            f"{event['jobID']}/{event['step']}"
            for event in events
            if event.get("stepResult") == "success" and event.get("stage") == "Main"
        ),
    )


def stub(name: str) -> Path:
    path = ROOT / "tests/workflows" / name
    assert (path / "action.yml").is_file(), f"tests/workflows has nothing in the place of {name}"
    return path


class Team:
    """Someone who pushes images, and GitHub: a bare repository whose workflow runs in fresh shallow clones."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.laptop = workspace.create(root / "laptop")
        self.laptop.params(train={"max_epochs": 12}, evaluate={"min_accuracy": 0.1, "margin": 1.0})
        self.laptop.commit("Short training")
        self.laptop.git("init", "--quiet", "--bare", "--initial-branch", "main", str(root / "origin.git"))
        self.laptop.git("remote", "add", "origin", str(root / "origin.git"))
        self.laptop.git("push", "--quiet", "origin", "main")
        self.clones = 0
        (root / "home").mkdir()
        self.env = {k: v for k, v in self.laptop.env.items() if k != "MLFLOW_TRACKING_URI"} | {
            "HOME": str(root / "home"),
            "GIT_CONFIG_NOSYSTEM": "1",
        }

    def push(self, batch: str, images: workspace.Batch, remote: Path) -> None:
        self.laptop.dvc("remote", "modify", "--local", "local", "url", str(remote))
        self.laptop.put(batch, images)
        self.laptop.push(batch, f"Add {batch}")
        self.laptop.git("pull", "--quiet", "--rebase", "origin", "main")
        self.laptop.git("push", "--quiet", "origin", "main")

    def retrain(self, **variables: str) -> Run:
        self.clones += 1
        clone, origin = self.root / f"clone{self.clones}", (self.root / "origin.git").as_uri()
        subprocess.run(["git", "clone", "--quiet", "--depth", "1", origin, str(clone)], check=True)
        return act(Workspace(clone, self.env), "retrain.yml", variables)

    def log(self) -> list[str]:
        self.laptop.git("fetch", "--quiet", "origin")
        return self.laptop.git("log", "--format=%s", "origin/main").splitlines()


@pytest.fixture
def team(tmp_path: Path) -> Team:
    return Team(tmp_path)


@pytest.fixture
def champion(team: Team, monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], registry.Version | None]:
    def ask(database: Path) -> registry.Version | None:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{database}")
        return registry.Registry(params.load(team.laptop.root / "params.yaml", Params).resolve).champion()

    return ask


RECORD = "Record the cycle in dvc.lock [skip ci]"


@pytest.mark.slow
def test_retrain_without_images_ends_well(team: Team) -> None:
    done = team.retrain()
    assert done.code == 0, done.log
    assert done.steps == ("images/actions/checkout@" + pin("checkout"), "images/Look for DVC pointers")
    assert "No images yet" in done.summary


def pin(action: str) -> str:
    return next(re.split("[@ ]", uses)[2] for _, uses in USES if f"actions/{action}@" in uses)


@pytest.mark.slow
def test_retrain_with_variables(team: Team, champion: Callable[[Path], registry.Version | None]) -> None:
    remote, database = team.root / "bucket", team.root / "registry/mlflow.db"
    variables = {"DVC_REMOTE_URL": str(remote), "MLFLOW_TRACKING_URI": f"sqlite:///{database}"}
    team.push("b1", digits.batch(0, 400), remote)

    first = team.retrain(**variables)
    assert first.code == 0, first.log
    version = champion(database)
    assert version is not None
    assert (version.number, version.parent) == (1, None)
    assert "## Promoted: the first champion" in first.summary
    assert "v1 is the new champion" in first.summary
    assert team.log()[:2] == [RECORD, "Add b1"]
    assert "train:" in team.laptop.git("show", "origin/main:dvc.lock")
    assert "train: cold start" in first.log

    again = team.retrain(**variables)
    assert again.code == 0, again.log
    assert "Stage 'train' didn't change, skipping" in again.log
    assert "Running stage 'train'" not in again.log
    assert "dvc.lock is unchanged" in again.log
    assert team.log()[:2] == [RECORD, "Add b1"]
    assert "## Promoted: the first champion" in again.summary
    assert "nothing to do: v1 is registered with this verdict" in again.summary
    assert champion(database) == version

    # What the lock names is in the remote: a fresh checkout goes on from the stage whose settings changed.
    team.laptop.git("pull", "--quiet", "--rebase", "origin", "main")
    team.laptop.params(evaluate={"min_accuracy": 0.05})
    team.laptop.commit("A lower bar")
    team.laptop.git("push", "--quiet", "origin", "main")
    judged = team.retrain(**variables)
    assert judged.code == 0, judged.log
    assert "Stage 'train' didn't change, skipping" in judged.log
    assert "Running stage 'evaluate'" in judged.log
    assert champion(database) == version
    assert team.log()[:2] == [RECORD, "A lower bar"]


@pytest.mark.slow
def test_retrain_with_nothing_configured(team: Team, champion: Callable[[Path], registry.Version | None]) -> None:
    kept = team.root / "home/evergreen/someone/images"
    for number, (batch, last) in enumerate([("b1", 400), ("b2", 500)], start=1):
        team.push(batch, digits.batch(last - 400 if number == 1 else last - 100, last), kept / "remote")
        done = team.retrain()
        assert done.code == 0, done.log
        version = champion(kept / "mlflow.db")
        assert version is not None
        assert (version.number, version.parent) == (number, number - 1 or None)
        assert team.log()[:2] == [RECORD, f"Add {batch}"]
    assert "train: warm start" in done.log  # from files of the first job's, which are still there


@pytest.mark.slow
def test_retrain_says_why_it_failed(team: Team) -> None:
    remote = team.root / "bucket"
    images = digits.batch(0, 60)
    images["<script>alert(1)"] = {"::error::\n::warning::<b>.png": images["1"].popitem()[1]}
    team.push("b1", images, remote)
    done = team.retrain(DVC_REMOTE_URL=str(remote), MLFLOW_TRACKING_URI=f"sqlite:///{team.root / 'mlflow.db'}")
    assert done.code == 1
    assert done.summary.startswith("### `python -m pipeline run` failed\n\n<pre>\n  detect: error: ")
    assert done.summary.endswith("</pre>\n")
    assert "<" not in done.summary.replace("<pre>", "").replace("</pre>", "")
    assert team.log()[0] == "Add b1"


@pytest.mark.slow
def test_ci(tmp_path: Path) -> None:
    # Every step for real; of the tests only a few, or this one would run itself.
    checkout = workspace.create(tmp_path / "checkout")
    (tmp_path / "home").mkdir()
    env = {**checkout.env, "HOME": str(tmp_path / "home"), "PYTEST_ADDOPTS": "tests/test_workflows.py -k pinned"}
    done = act(Workspace(checkout.root, env), "ci.yml")
    assert done.code == 0, done.log
    assert done.steps[-1] == "check/Lint, types, tests"
    assert "All checks passed!" in done.log
    assert "Success: no issues found" in done.log
    assert re.search(r"\b[1-9]\d? passed in ", done.log)

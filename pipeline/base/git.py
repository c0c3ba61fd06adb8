"""What Git says of this checkout: commits, and what pointers were before. Home of Git.

"No" is an answer only where Git gives it: a place outside of any repository, a branch without commits, a commit that is
not here. All else is an error. Git's messages are in the user's language, so only exit codes are looked at.
"""

import io
import itertools
import os
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path

from pipeline.base.errors import GitError
from pipeline.base.words import readable

LOCK = "dvc.lock"
"""Name of the file in which DVC keeps what stages made of what."""

LONGEST = 400
"""Characters of what Git says that an error repeats."""


def says(*words: str, at: Path | None = None) -> str | None:
    """What a git command prints; None outside of Git.

    Args:
        words: after `git`. Paths in them are taken literally, unless they say otherwise.
        at: the folder to ask in; the current one if none is named.

    Raises:
        GitError: Git refuses, or does not run.
    """
    done = _run(words, at)
    if done and done.returncode:
        raise _refusal(words, done, at)
    return done.stdout.decode(errors="replace") if done else None


def check() -> None:
    """See that Git answers here, before hours of work rely on it; outside of Git there is nothing to see.

    Raises:
        GitError: Git refuses, or does not run.
    """
    head = _head()
    if says("ls-files", "--", "dvc.yaml") is not None and head:  # the index
        says("cat-file", "-e", head)


def commit() -> str:
    """The commit of the checkout, with a + if it has uncommitted changes; empty outside Git.

    dvc.lock is none of them: DVC has written it for the stages before promote.

    Raises:
        GitError: Git refuses, or does not run.
    """
    head = _head()
    if head is None:
        return ""
    return head + ("+" if says("status", "--porcelain", "-uno", "--", ".", ":(exclude)dvc.lock") else "")


def first_commit_with(text: str, path: str) -> str | None:
    """The commit, shortened, that brought a text into a file; None if there is none.

    Raises:
        GitError: Git refuses, or does not run.
    """
    commits = _log("--reverse", "--format=%h", f"-S{text}", "--", path).split()
    return commits[0] if commits else None


def is_shallow() -> bool:
    """Whether older commits are not in this clone.

    Raises:
        GitError: Git refuses, or does not run.
    """
    return (says("rev-parse", "--is-shallow-repository") or "").strip() == "true"


def patches(path: str, at_most: int) -> str:
    """The newest changes of a file as patches: on all branches, in stashes, in commits that a reset or a rebase left
    behind, and in the index.

    Args:
        path: of the file.
        at_most: commits.

    Raises:
        GitError: Git refuses, or does not run.
    """
    everywhere = ("--all", "--reflog", "--full-history", "-m")
    log = _log(*everywhere, f"--max-count={at_most}", "--patch", "--format=", "--", path)
    return log + (says("diff", "--cached", "--", path) or "")


def versions(path: str, at_most: int) -> list[str]:
    """What a file held after each of its newest changes, newest first; what took it away is none.

    Raises:
        GitError: Git refuses, or does not run.
    """
    commits = _log(f"--max-count={at_most}", "--diff-filter=AM", "--format=%H", "--", path).split()
    return [says("cat-file", "blob", f"{commit}:./{path}") or "" for commit in commits]


def would_add(*paths: str) -> list[str]:
    """Of some files and folders, what `git add` of a folder above takes in: it is untracked and not ignored.

    A folder all of which it takes in is named as that, with a slash at its end.
    """
    listed = says(
        "ls-files", "--others", "--exclude-standard", "--directory", "--no-empty-directory", "-z", "--", *paths
    )
    return (listed or "").split("\0")[:-1]


def unmerged(*paths: str) -> dict[str, dict[int, str]]:
    """Files that a merge, a rebase or a stash left in conflict, and the versions of each.

    Args:
        paths: of files or folders.

    Returns:
        By path: the hash of its content by stage, which is 1 for the common ancestor, 2 for this side, 3 for the other.
    """
    found: dict[str, dict[int, str]] = {}
    for entry in (says("ls-files", "--unmerged", "-z", "--", *paths) or "").split("\0")[:-1]:
        facts, _, path = entry.partition("\t")
        _, content, stage = facts.split()
        found.setdefault(path, {})[int(stage)] = content
    return found


def content(name: str) -> str:
    """The text of the object of this hash."""
    return says("cat-file", "blob", name) or ""


def oldest_change(paths: Sequence[str], since: str) -> int | None:
    """When the oldest change of some files after a commit was committed, in seconds since 1970.

    Args:
        paths: of the files.
        since: the commit. If it is empty, or Git does not know it or any change after it, the newest change counts.

    Returns:
        None if no change is committed.

    Raises:
        GitError: Git refuses, or does not run.
    """
    known = knows(since)
    after = _log("--format=%ct", f"{since}..HEAD", "--", *paths) if known else ""
    dates = (after or _log("--format=%ct", "--max-count=1", "--", *paths)).split()
    return int(dates[-1]) if dates else None


def pointers_at_tips() -> dict[str, str]:
    """What DVC wrote into Git, at all places that a person can go back to without knowing the name of a commit.

    These are the branches, tags and other refs, the checkouts of all worktrees, stashes, the index and a merge that has
    not ended.

    Returns:
        Path in the repository by hash of the content: of pointers, and of each dvc.lock.
    """
    if says("rev-parse", "--git-dir") is None:
        return {}
    entries = (says("ls-files", "--stage", "--full-name", "-z", ":(top)") or "").split("\0")
    found = {entry.split()[1]: entry.partition("\t")[2] for entry in entries if entry}
    stashes = (says("for-each-ref", "refs/stash") and says("log", "-g", "--format=%H %P", "refs/stash")) or ""
    commits = (says("rev-list", "--no-walk=unsorted", "--all") or "").split() if _has_commits() else []
    for commit in dict.fromkeys([*commits, *stashes.split()]):
        found |= _tree(commit)
    return {name: path for name, path in found.items() if _is_dvcs(path)}


def pointers_at(commit: str) -> dict[str, str]:
    """The same of one commit; nothing where it is not here."""
    return {name: path for name, path in _tree(commit).items() if _is_dvcs(path)} if knows(commit) else {}


def pointers_ever() -> dict[str, str]:
    """What DVC ever wrote into Git below this folder, as far as any commit that is here has it, abandoned ones too.

    Returns:
        Path, relative to this folder, by hash of the content: of pointers, and of each dvc.lock.
    """
    if says("rev-parse", "--git-dir") is None or not _has_commits():
        return {}
    what = (":(glob)**/*.dvc", f":(glob)**/{LOCK}")
    everywhere = ("--all", "--reflog", "--full-history", "-m")
    raw = ("--raw", "--no-renames", "--no-abbrev", "--relative", "-z", "--format=")
    words = (says("log", *everywhere, *raw, "--", *what) or "").split("\0")
    entries = ((facts.split()[3], path) for facts, path in itertools.pairwise(words) if facts.strip().startswith(":"))
    return {name: path for name, path in entries if set(name) != {"0"}}


def contents(names: Iterable[str]) -> dict[str, bytes]:
    """The content of objects by their hash; of what is not here, as in a partial clone, none."""
    done = _run(("cat-file", "--batch"), stdin="\n".join(names).encode())
    if done is None:
        return {}
    if done.returncode:
        raise _refusal(("cat-file",), done)
    found, sink = {}, io.BytesIO(done.stdout)
    for facts in iter(lambda: sink.readline().split(), []):
        if facts[-1] != b"missing":
            found[facts[0].decode()] = sink.read(int(facts[2]))
            sink.read(1)  # a line end
    return found


def not_fetched() -> list[str]:
    """Branches and tags of the repositories that this one is a clone of, whose commits are not here.

    Raises:
        GitError: one of them does not answer.
    """
    refs = [
        (f"{remote}/{name.removeprefix('refs/heads/').removeprefix('refs/tags/')}", commit)
        for remote in (says("remote") or "").split()
        for commit, name in (
            line.split("\t", 1) for line in (says("ls-remote", "--heads", "--tags", remote) or "").splitlines()
        )
    ]
    asked = "\n".join(commit for _, commit in refs).encode()
    done = _run(("cat-file", "--batch-check"), stdin=asked) if refs else None
    said = done.stdout.decode().splitlines() if done else []
    return [name for (name, _), line in zip(refs, said, strict=True) if line.endswith(" missing")]


def _tree(commit: str) -> dict[str, str]:
    """Path by hash, of all files of a commit."""
    listed = (says("ls-tree", "-r", "-z", "--full-tree", commit) or "").split("\0")
    return {entry.split()[2]: entry.partition("\t")[2] for entry in listed if entry}


def _is_dvcs(path: str) -> bool:
    return path.endswith(".dvc") or path.rpartition("/")[2] == LOCK


def _has_commits() -> bool:
    """Whether any ref names one; a branch without commits may stand beside others."""
    return _head() is not None or bool(says("for-each-ref", "--count=1"))


def knows(commit: str) -> bool:
    """Whether a commit is here; that of a version may be gone, after a rebase or in a shallow clone.

    Raises:
        GitError: Git refuses, or does not run.
    """
    return _object(f"{commit}^{{commit}}") is not None


def config(name: str) -> str:
    """A setting of Git, such as `user.name`; empty if there is none, or no Git that answers."""
    try:
        done = _run(["config", "--get", name])
    except GitError:
        return ""
    return done.stdout.decode(errors="replace").strip() if done and not done.returncode else ""


def _log(*words: str) -> str:
    """What `git log` prints; nothing outside Git and before the first commit."""
    return (says("log", *words) or "") if _head() else ""


def _head() -> str | None:
    """The commit of the checkout; None outside Git and before the first commit."""
    head = _object("HEAD")
    if head is None:
        says("symbolic-ref", "--quiet", "HEAD")  # else HEAD is damaged
    return head


def _object(name: str) -> str | None:
    """The full name of an object; None where there is none, and outside Git."""
    words = ("rev-parse", "--verify", "--quiet", "--end-of-options", name)
    done = _run(words)
    if done is None or done.returncode == 1:
        return None
    if done.returncode:
        raise _refusal(words, done)
    return done.stdout.decode().split()[-1]


def _run(
    words: Sequence[str], at: Path | None = None, stdin: bytes | None = None
) -> "subprocess.CompletedProcess[bytes] | None":
    """How a git command went; None outside Git."""
    command = ["git", *([] if any(word.startswith(":(") for word in words) else ["--literal-pathspecs"]), *words]
    try:
        done = subprocess.run(command, capture_output=True, check=False, cwd=at, input=stdin)
    except OSError as error:
        if not _is_inside(at):
            return None
        raise GitError(
            f"`git` does not run ({error.strerror}), and this is a Git repository; install Git, or put it on PATH, "
            "then run this again"
        ) from None
    return None if done.returncode and not _is_inside(at) else done


def _is_inside(at: Path | None) -> bool:
    """Whether this folder or one above is a repository, even a damaged one; looked for as Git does."""
    if os.environ.get("GIT_DIR"):
        return True
    here = (at or Path()).absolute()
    ends = os.environ.get("GIT_CEILING_DIRECTORIES", "").split(os.pathsep)
    for folder in (here, *here.parents):
        if folder != here and (str(folder) in ends or folder.stat().st_dev != here.stat().st_dev):
            return False
        if os.path.lexists(folder / ".git"):
            return True
    return False


def _refusal(words: Sequence[str], done: "subprocess.CompletedProcess[bytes]", at: Path | None = None) -> GitError:
    """An error of what Git says, which for a repository of another user is the command to run."""
    said = " ".join(done.stderr.decode(errors="replace").split())[:LONGEST] or f"exit code {done.returncode}"
    index = _run(["ls-files", "--", "dvc.yaml"], at)
    head = _run(["rev-parse", "--verify", "--quiet", "HEAD"], at)
    mend = "do what it says, or mend the repository"
    if index and head and index.returncode and not head.returncode:
        mend = "if its index is damaged, delete that file and run `git reset`, or mend it otherwise"
    return GitError(f"`git {words[0]}` fails: {readable(said)}; expected an answer; {mend}, until `git status` works")

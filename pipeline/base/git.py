"""What Git says of this checkout: commits, and what pointers were before. Home of Git."""

import subprocess
from collections.abc import Sequence


def says(*words: str) -> str | None:
    """What a git command prints; None where Git refuses, or is not there.

    Args:
        words: after `git`.
    """
    try:
        done = subprocess.run(["git", *words], capture_output=True, check=False)
    except OSError:
        return None
    return None if done.returncode else done.stdout.decode(errors="replace")


def commit() -> str:
    """The commit of the checkout, with a + if it has uncommitted changes; empty outside Git.

    dvc.lock is none of them: DVC has written it for the stages before promote.
    """
    head = says("rev-parse", "HEAD")
    changes = says("status", "--porcelain", "-uno", "--", ".", ":(exclude)dvc.lock")
    if head is None or changes is None:
        return ""
    return head.strip() + ("+" if changes.strip() else "")


def first_commit_with(text: str, path: str) -> str | None:
    """The commit, shortened, that brought a text into a file; None if there is none."""
    commits = (says("log", "--reverse", "--format=%h", f"-S{text}", "--", path) or "").split()
    return commits[0] if commits else None


def has_known(path: str) -> bool:
    """Whether Git has or had a file of this path, as after `git revert`."""
    return bool(says("log", "--max-count=1", "--format=%H", "--", path))


def patches(path: str, at_most: int) -> str:
    """The newest changes of a file, as patches."""
    return says("log", f"--max-count={at_most}", "--patch", "--format=", "--", path) or ""


def oldest_change(paths: Sequence[str], since: str) -> int | None:
    """When the oldest change of some files after a commit was committed, in seconds since 1970.

    Args:
        paths: of the files.
        since: the commit. If it is empty, or Git does not know it or any change after it, the newest change counts.

    Returns:
        None if no change is committed.
    """
    after = says("log", "--format=%ct", f"{since}..HEAD", "--", *paths) if since else None
    dates = (after or says("log", "--format=%ct", "--max-count=1", "--", *paths) or "").split()
    return int(dates[-1]) if dates else None

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


def patches(path: str, at_most: int) -> str:
    """The newest changes of a file as patches: on all branches, in stashes, in commits that a reset or a rebase left
    behind, and in the index.

    Args:
        path: of the file.
        at_most: commits.
    """
    everywhere = ("--all", "--reflog", "--full-history", "-m")
    log = says("log", *everywhere, f"--max-count={at_most}", "--patch", "--format=", "--", path)
    return (log or "") + (says("diff", "--cached", "--", path) or "")


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
    """
    after = says("log", "--format=%ct", f"{since}..HEAD", "--", *paths) if since else None
    dates = (after or says("log", "--format=%ct", "--max-count=1", "--", *paths) or "").split()
    return int(dates[-1]) if dates else None

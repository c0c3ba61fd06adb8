"""The actor: who runs this, as a history names them: a run of continuous integration, or a person."""

import getpass
import os
import platform

from pipeline.base import git


def name() -> str:
    """For example `Ada <ada@example.org>`, or `ada in run 123 of owner/repository`."""
    if os.environ.get("GITHUB_ACTIONS") == "true":
        who, run = os.environ.get("GITHUB_ACTOR", "GitHub"), os.environ.get("GITHUB_RUN_ID", "?")
        return f"{who} in run {run} of {os.environ.get('GITHUB_REPOSITORY', '?')}"
    person, address = git.config("user.name"), git.config("user.email")
    who = f"{person} <{address}>" if person and address else person or address or f"{_account()} on {platform.node()}"
    signed_in = os.environ.get("MLFLOW_TRACKING_USERNAME")
    return f"{who}, signed in as {signed_in}" if signed_in else who


def _account() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container's user without a name
        return "somebody"

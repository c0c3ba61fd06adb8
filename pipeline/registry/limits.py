"""Limits of MLflow's databases: SQLite takes any text, PostgreSQL and MySQL refuse one that is too long. Pure.

The narrowest of MLflow 3.17's columns (`mlflow/store/tracking/dbmodels/models.py`,
`mlflow/store/model_registry/dbmodels/models.py`) and checks (`mlflow/utils/validation.py`), in characters.
"""

import math
import re
from collections.abc import Mapping
from typing import Any

DESCRIPTION = 5000
"""Of a version and of a registered model: `model_versions.description`, `registered_models.description`."""
VERSION_TAG = 16_000
"""Value of a tag of a version: text, of which MLflow allows 100,000; MySQL holds 65,535 bytes."""
MODEL_TAG = 5000
"""Value of a tag of a registered model: `registered_model_tags.value`."""
RUN_TAG = 8000
"""Value of a tag of a run, its note too: `tags.value`."""
PARAM = 6000
"""Value of a param: `MAX_PARAM_VAL_LENGTH`; an older server's column holds as many."""
KEY = 250
"""Name of a tag, a param or a metric: `tags.key`, `params.key`, `metrics.key`."""
NAME = 250
"""Name of a run: `runs.name`."""
MODEL = 256
"""Name of a registered model and of an experiment; settings allow 100 (`registry.settings`)."""
ALIAS = 255
"""`MAX_REGISTERED_MODEL_ALIAS_LENGTH`; settings allow 50."""
SOURCE = 500
"""Where the files of a version are: `model_versions.source`."""
ARTIFACTS = 200
"""Where a run keeps artifacts: `runs.artifact_uri`."""

ARTIFACT_ROOT = ARTIFACTS - len("/" + 32 * "0" + "/artifacts")
"""Where an experiment keeps artifacts: each of its runs has a folder there."""

CUT = "\n\n… (cut here: the whole is {pointer})"
UNHELD = re.compile("[\0\ud800-\udfff]")
"""Characters that a database does not hold: NUL, and halves of a surrogate pair, which are no text."""
UNNAMED = re.compile(r"[^\w./: -]", re.ASCII)
"""What the name of a param, a tag or a metric may not have."""


def held(text: str) -> str:
    """The text with a mark (U+FFFD) for each character that no database holds."""
    return UNHELD.sub("\ufffd", text)


def cut(text: str, limit: int, pointer: str = "") -> str:
    """A text as it can be written: whole, or cut at the end of a paragraph, a line or a word.

    Args:
        text: may be of any length.
        limit: characters that are held.
        pointer: where the whole is, in words; it stands at the end of what is cut.
    """
    text = held(text)
    if len(text) <= limit:
        return text
    end = CUT.format(pointer=pointer) if pointer else " …"
    room = text[: limit - len(end)]
    for boundary in ("\n\n", "\n", " "):
        at = room.rfind(boundary)
        if at > len(room) // 2:
            room = room[:at]
            break
    return f"{_closed(room.rstrip())}{end}"[:limit]


def _closed(text: str) -> str:
    """Markdown without a code block that is open at its end: it would swallow what stands behind it."""
    opened = text.rfind("```")
    return text[:opened].rstrip() if text.count("```") % 2 else text


def key(text: str) -> str:
    """The name of a tag, a param or a metric, with `_` for what it may not have."""
    return UNNAMED.sub("_", text)[:KEY]


def params(values: Mapping[str, Any]) -> dict[str, str]:
    """Params as they can be written."""
    return {key(name): cut(str(value), PARAM) for name, value in values.items()}


def tags(values: Mapping[str, str], limit: int = RUN_TAG, pointer: str = "") -> dict[str, str]:
    """Tags as they can be written."""
    return {key(name): cut(value, limit, pointer) for name, value in values.items()}


def number(value: float) -> float:
    """A metric as all databases hold it: an infinite or huge one as the largest there is, as MLflow writes it.

    Not a number stays what it is: MLflow has a column for that.
    """
    try:
        value = float(value)
    except OverflowError:
        value = math.inf if value > 0 else -math.inf
    largest = 1.7976931348623157e308
    return value if math.isnan(value) else min(max(value, -largest), largest)

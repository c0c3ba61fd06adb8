"""Which registered model a project keeps up to date: a part of section resolve of params.yaml."""

import re
from typing import Annotated

from pydantic import field_validator

from pipeline.base.params import Section, fits


class RegisteredModel(Section, part=True):
    """The registered model in MLflow, and the alias of its version in production."""

    registered_model: Annotated[
        str,
        fits(
            r"[A-Za-z0-9][A-Za-z0-9 _.-]{0,99}",
            "at most 100 letters, digits, spaces or any of _.-, beginning with a letter or digit",
        ),
    ]
    alias: Annotated[
        str, fits(r"[a-z][a-z0-9_-]{0,49}", "at most 50 small letters, digits or any of _-, beginning with a letter")
    ]

    @property
    def anchor_alias(self) -> str:
        """Alias of the version that was the best that there ever was (`judging.lifetime`)."""
        return f"{self.alias}-anchor"

    @property
    def challenger_alias(self) -> str:
        """Alias of the version that waits until a person promotes or rejects it."""
        return "challenger" if self.alias == "champion" else f"{self.alias}-challenger"

    @field_validator("alias")
    @classmethod
    def _is_not_mlflows_own(cls, alias: str) -> str:
        if re.fullmatch(r"latest|v\d+", alias):
            raise ValueError(f"{alias} is an alias that MLflow keeps for itself; choose another, e.g. champion")
        return alias

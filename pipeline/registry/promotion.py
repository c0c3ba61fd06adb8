"""Promotion: who moves the alias."""

from pipeline.base.params import Section


class Promote(Section):
    """Who moves the alias."""

    automatic: bool

"""What became of a version in the registry, as far as its card tells it."""

from pipeline.artifacts.artifact import Artifact, Count


class Filed(Artifact):
    """What became of a challenger."""

    number: Count
    """Of its version; 0 until it has one."""
    rival: int | None
    """Number of the version that it was judged against."""
    decision: str
    """The verdict's word."""
    standing: str
    """See `registry.chain.Standing`."""
    said: str
    """What was done, in a sentence."""
    is_promoted: bool = False
    """Whether it is or was champion."""
    decided: str = ""
    """By whom and when; empty where nobody has yet."""
    is_person: bool = False
    """Whether a person did."""
    alias: str = "champion"
    """Of the version in production."""

    @property
    def name(self) -> str:
        """v7."""
        return f"v{self.number}" if self.number else "this version"

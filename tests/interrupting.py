"""Kills at chosen calls: a client of MLflow that ends its process, as a test sees it, before or after a call."""

from typing import Any

from pipeline.registry.client import Registry


class KilledError(BaseException):
    """Nothing after it is done; no `except Exception` holds it up."""


class Interrupted:
    """A client that is killed at its n-th call that writes."""

    WRITES = ("create_", "set_", "delete_", "update_", "log_")

    def __init__(self, client: Any, at: int, is_after: bool) -> None:
        self._client = client
        self._at = at
        self._is_after = is_after
        self.calls: list[str] = []

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._client, name)
        if not name.startswith(self.WRITES) or not callable(found):
            return found

        def call(*values: Any, **named: Any) -> Any:
            self.calls.append(name)
            is_now = len(self.calls) == self._at
            if is_now and not self._is_after:
                raise KilledError(name)
            given = found(*values, **named)
            if is_now:
                raise KilledError(name)
            return given

        return call


def interrupt(reg: Registry, at: int, is_after: bool) -> Interrupted:
    """Let a registry be killed at its n-th call that writes."""
    found = Interrupted(reg.connection.client, at, is_after)
    reg.connection.__dict__["client"] = found
    return found

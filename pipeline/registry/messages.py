"""Messages: an event of the history as receivers get it, and its signature. Pure.

A webhook's is as Standard Webhooks 1.0.0 says (standardwebhooks.com), for which receivers find libraries.
"""

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import quote, urlsplit

from pipeline.registry.chain import Event, Kind

TYPES: Mapping[Kind, str] = {
    "began": "champion.began",
    "nominated": "challenger.nominated",
    "promoted": "champion.promoted",
    "rejected": "challenger.rejected",
    "rolled back": "champion.rolled_back",
    "moved": "champion.moved",
}

SECRET = "whsec_"  # noqa: S105 - what a secret begins with
SECRET_BYTES = range(24, 65)
"""How long one may be."""


@dataclass(frozen=True)
class Message:
    """What a receiver is told of an event: the same bytes each time, so that it may be sent twice."""

    number: int
    """Of the event, in the history."""
    id: str
    """Hash of the event: who gets it twice knows it by that."""
    type: str
    timestamp: str
    """When it happened, ISO 8601 in UTC."""
    data: Mapping[str, Any]

    @property
    def body(self) -> dict[str, Any]:
        """As JSON has it."""
        return {"type": self.type, "timestamp": self.timestamp, "data": dict(self.data)}


def of(number: int, event: Event, registered_model: str, sentence: str, uri: str) -> Message:
    """The message of an event.

    Args:
        number: of the event, in the history.
        event: that happened.
        registered_model: whose history it is.
        sentence: that tells people what happened.
        uri: of the registry.
    """
    name = quote(registered_model)
    data = {
        "number": number,
        "event": asdict(event),
        "registered_model": registered_model,
        "version_uri": _uri(name, event.version),
        "source_uri": _uri(name, event.source) if event.source else None,
        "alias_uri": f"models:/{name}@{event.alias}",
        "link": _link(uri, name, event),
        "text": sentence,
    }
    return Message(number, event.hash, TYPES[event.kind], event.when, data)


def _uri(name: str, version: int) -> str:
    return f"models:/{name}/{version}"


def _link(uri: str, name: str, event: Event) -> str | None:
    """Page of the version, if the registry is a server that has pages."""
    parts = urlsplit(uri)
    if parts.scheme not in ("http", "https"):
        return None
    host = parts.netloc.rpartition("@")[2]  # without the password that it may carry
    return f"{parts.scheme}://{host}{parts.path.rstrip('/')}/#/models/{name}/versions/{event.version}"


def encoded(body: Mapping[str, Any]) -> bytes:
    """JSON in ASCII, in one line."""
    return json.dumps(body, separators=(",", ":")).encode()


def secrets_of(text: str) -> list[bytes]:
    """What a variable with secrets holds: one, or while it is replaced the new one and the old one, with a space.

    Raises:
        ValueError: that is no secret. Says what is expected, and never what was there.
    """
    keys: list[bytes] = []
    for part in text.split():
        try:
            key = base64.b64decode(part.removeprefix(SECRET), validate=True)
        except (binascii.Error, ValueError):
            key = b""
        if not part.startswith(SECRET) or len(key) not in SECRET_BYTES:
            keys = []
            break
        keys.append(key)
    if not keys:
        raise ValueError(
            f"expected {SECRET} and then {SECRET_BYTES[0]} to {SECRET_BYTES[-1]} random bytes in base64; "
            f'`echo "{SECRET}$(openssl rand -base64 32)"` makes one, which the receiver needs too'
        )
    return keys


def signed(message_id: str, timestamp: int, body: bytes, keys: Sequence[bytes]) -> str:
    """The header webhook-signature: one for each key.

    Args:
        message_id: the header webhook-id.
        timestamp: seconds since 1970 of this attempt.
        body: the bytes that are sent.
        keys: that the receiver may know.
    """
    content = f"{message_id}.{timestamp}.".encode() + body
    found = [hmac.new(key, content, hashlib.sha256).digest() for key in keys]
    return " ".join(f"v1,{base64.b64encode(one).decode()}" for one in found)

"""Receivers of events: who is told when the alias moves, as section promote of params.yaml names them. Pure."""

import hashlib
import ipaddress
from collections.abc import Mapping
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import BeforeValidator, ValidationError, field_validator

from pipeline.base import words
from pipeline.base.params import Section, fits
from pipeline.registry.chain import Kind

MOVED: tuple[Kind, ...] = ("promoted", "rolled back", "moved")
"""The alias names another version now. That a history began is no move."""

DECIDED: tuple[Kind, ...] = ("nominated", "rejected")
"""A version waits for a person, or a person declined it."""

Variable = Annotated[
    str, fits(r"[A-Z_][A-Z0-9_]{0,99}", "the name of an environment variable in capitals, and not what it holds")
]
"""In capitals, for what a secret or a token looks like has small letters."""

EXPECTED = "{url, secret_env} of a webhook or {github, event_type, token_env} of a repository, and perhaps events"


class Interest(Section, part=True):
    """What a receiver is told of."""

    events: Literal["moves", "all"] = "moves"
    """`all`: also that a version waits for a person, and that one was declined."""

    def wants(self, kind: Kind) -> bool:
        """Whether it is told of such events."""
        return kind in MOVED or (self.events == "all" and kind in DECIDED)


class Webhook(Interest):
    """An address that takes signed messages (Standard Webhooks 1.0.0, standardwebhooks.com)."""

    url: str
    secret_env: Variable
    """Environment variable with the secret that both sides know."""

    @property
    def name(self) -> str:
        """For people. What stands after a question mark may be secret."""
        parts = urlsplit(self.url)
        return f"{parts.netloc}{parts.path}"

    @property
    def identity(self) -> str:
        """Another one is another receiver."""
        return _short(self.url)

    @field_validator("url")
    @classmethod
    def _is_safe(cls, url: str) -> str:
        if fault := fault_of_address(url):
            raise ValueError(fault)
        return url


class Repository(Interest):
    """A repository on GitHub, whose workflows start on `repository_dispatch`."""

    github: Annotated[
        str,
        fits(
            r"[A-Za-z0-9][A-Za-z0-9-]{0,38}/(?!\.{1,2}$)[A-Za-z0-9._-]{1,100}",
            "OWNER/REPOSITORY, without an address before it",
        ),
    ]
    event_type: Annotated[str, fits(r"[A-Za-z0-9_.-]{1,100}", "at most 100 letters, digits or any of _.-")]
    token_env: Variable
    """Environment variable with a token that may write the contents of the repository."""

    @property
    def name(self) -> str:
        """For people."""
        return f"GitHub {self.github}"

    @property
    def identity(self) -> str:
        """Another one is another receiver."""
        return _short(f"{self.github.lower()} {self.event_type}")


def _short(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def fault_of_address(url: str) -> str:
    """What is wrong with an address to which something is sent; empty if nothing."""
    shown = f"url {url[:200]!r}"
    if len(url) > 2000 or not url.isascii() or not url.isprintable() or " " in url:
        return f"{shown}: expected at most 2,000 printable ASCII characters without spaces"
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        return f"{shown}: expected an address such as https://ml.example.org/moved"
    if parts.username is not None or parts.password is not None:
        return "url holds a name or a password before an @; expected none: this file is in Git, and messages are signed"
    is_here = parts.scheme == "http" and _is_loopback(host)
    if not host or parts.fragment or not (parts.scheme == "https" or is_here):
        return f"{shown}: expected https://HOST/PATH (http:// only to this machine, such as http://127.0.0.1:8080/)"
    return ""


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _read(value: Any) -> Any:
    """A receiver as it stands in params.yaml.

    Raises:
        ValueError: says what is expected.
    """
    if not isinstance(value, Mapping):
        raise ValueError(f"a receiver is {value!r}; expected {EXPECTED}")
    kind = Repository if "github" in value else Webhook
    try:
        return kind.model_validate(value)
    except ValidationError as error:
        fault = error.errors()[0]
    name = ".".join(str(part) for part in fault["loc"])
    if fault["type"] in ("missing", "extra_forbidden"):
        named = ", ".join(words.readable(str(key)) for key in value) or "no keys"
        raise ValueError(f"a receiver has {named}; expected {EXPECTED}")
    if fault["type"] == "value_error":
        raise ValueError(str(fault["ctx"]["error"]))
    expected = str(fault["msg"]).removeprefix("Input should be ")
    if name.endswith("_env"):  # it may be the secret itself
        raise ValueError(f"{name} is no name of a variable; expected {expected}")
    raise ValueError(f"{name} is {fault['input']!r}; expected {expected}")


Receiver = Annotated[Webhook | Repository, BeforeValidator(_read)]
"""One of them, told apart by its keys."""

"""Delivery: one message to one receiver by HTTP, within a time limit. Home of requests."""

import os
import queue
import re
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from pipeline.base import words
from pipeline.base.errors import one_line
from pipeline.registry import limits, messages
from pipeline.registry.messages import Message
from pipeline.registry.receivers import Repository, Webhook, fault_of_address

TRIES = 3
"""How often a message is sent to a receiver that is not there for a moment."""

PAUSE = 0.3
"""Seconds before the second try; then twice as long."""

SHOWN = 160
"""Characters of an answer that are shown."""

BUSY = (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS)

GITHUB = "https://api.github.com"


class DeliveryError(Exception):
    """A receiver did not take a message; says why, and what was expected."""

    def __init__(self, what: str, is_passing: bool = False, is_refused: bool = False) -> None:
        super().__init__(what)
        self.is_passing = is_passing
        """Whether it may be otherwise in a moment."""
        self.is_refused = is_refused
        """Whether it is this message that the receiver does not want."""


@dataclass(frozen=True)
class Envelope:
    """What is sent."""

    url: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes
    secrets: tuple[str, ...] = field(repr=False)
    """What no message may show."""


@dataclass(frozen=True)
class Answer:
    """What comes back, as far as anybody looks at it."""

    status: int
    location: str
    text: str


def send(receiver: Webhook | Repository, message: Message, seconds: float) -> None:
    """Send a message, and wait until the receiver has it.

    Args:
        receiver: of the message.
        message: to send.
        seconds: that it may take, for each try.

    Raises:
        DeliveryError: the receiver may not have it. It may have it all the same: an answer can be lost.
    """
    for attempt in range(TRIES):
        envelope = _envelope(receiver, message)
        try:
            _judge(receiver, _answer(envelope, seconds), envelope)
        except DeliveryError as error:
            if not error.is_passing or attempt == TRIES - 1:
                raise
            time.sleep(PAUSE * 2**attempt)
        else:
            return


def _envelope(receiver: Webhook | Repository, message: Message) -> Envelope:
    if isinstance(receiver, Webhook):
        return _signed(receiver, message)
    base = os.environ.get("GITHUB_API_URL") or GITHUB
    if fault := fault_of_address(base):
        raise DeliveryError(f"GITHUB_API_URL: {fault}")
    token = _variable(receiver.token_env, f"a token that may write the contents of {receiver.github}")
    if not re.fullmatch(r"[\x21-\x7e]+", token):
        raise DeliveryError(f"{receiver.token_env} is no token: expected letters, digits and signs without spaces")
    headers = {
        "Accept": "application/vnd.github+json",
        "Authorization": f"Bearer {token}",
        "Content-Type": "application/json",
        "X-GitHub-Api-Version": "2022-11-28",
    }
    body = {"event_type": receiver.event_type, "client_payload": {"id": message.id, **message.body}}
    url = f"{base.rstrip('/')}/repos/{receiver.github}/dispatches"
    return Envelope(url, headers, messages.encoded(body), (token,))


def _signed(receiver: Webhook, message: Message) -> Envelope:
    text = _variable(receiver.secret_env, f"the secret that {receiver.name} knows")
    try:
        keys = messages.secrets_of(text)
    except ValueError as error:
        raise DeliveryError(f"{receiver.secret_env} is no secret: {error}") from None
    body, now = messages.encoded(message.body), int(time.time())
    headers = {
        "Content-Type": "application/json",
        "webhook-id": message.id,
        "webhook-timestamp": str(now),
        "webhook-signature": messages.signed(message.id, now, body, keys),
    }
    return Envelope(receiver.url, headers, body, tuple(text.split()))


def _variable(name: str, what: str) -> str:
    value = os.environ.get(name, "").strip()
    if not value:
        raise DeliveryError(f"the environment variable {name} is not set; expected {what}; set it, in CI as a secret")
    return value


def _answer(envelope: Envelope, seconds: float) -> Answer:
    """The answer, in time: the limits of requests are for each byte, and finding a host has none."""
    answers: queue.SimpleQueue[Answer | Exception] = queue.SimpleQueue()

    def ask() -> None:
        try:
            answers.put(_asked(envelope, seconds))
        except Exception as error:  # noqa: BLE001 - requests, urllib3, ssl, a proxy's library that is missing
            answers.put(error)

    threading.Thread(target=ask, daemon=True).start()
    try:
        found = answers.get(timeout=seconds)
    except queue.Empty:
        raise DeliveryError(f"no answer within {seconds:g} s; expected one, 2xx") from None
    if isinstance(found, Exception):
        raise _fault(found, envelope, seconds)
    return found


def _asked(envelope: Envelope, seconds: float) -> Answer:
    import requests

    is_here = envelope.url.startswith("http://")  # this machine: nothing to prove, and no proxy reaches it
    with requests.Session() as session:
        session.trust_env = False  # a password in ~/.netrc would take the token's place
        session.proxies = {} if is_here else requests.utils.get_environ_proxies(envelope.url)
        session.headers.update({"User-Agent": "Evergreen", "Accept-Encoding": "identity"})
        with session.post(
            envelope.url,
            data=envelope.body,
            headers=dict(envelope.headers),
            timeout=seconds,
            allow_redirects=False,  # a secret is for the address that people wrote down
            stream=True,
            verify=os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE") or True,
        ) as response:
            text = "" if response.ok else response.raw.read(4 * SHOWN).decode("utf-8", "replace")
            return Answer(response.status_code, response.headers.get("Location", ""), text)


def _judge(receiver: Webhook | Repository, answer: Answer, envelope: Envelope) -> None:
    """Find out whether the receiver has the message.

    Raises:
        DeliveryError: it has not.
    """
    status = answer.status
    if 200 <= status < 300:
        return
    said = f"{status}{f': {text}' if (text := _shown(answer.text, envelope)) else ''}"
    if 300 <= status < 400:
        where = _shown(answer.location, envelope) or "nowhere"
        raise DeliveryError(
            f"it sends on to {where} ({status}); expected an answer: what is secret goes nowhere else; if that is the "
            "receiver, write it into promote.notify"
        )
    if status == HTTPStatus.GONE:
        raise DeliveryError(f"it is gone for good ({said}); expected an answer, 2xx; take it out of promote.notify")
    if isinstance(receiver, Repository) and status in (401, 403, 404):
        raise DeliveryError(
            f"it was refused ({said}); expected {receiver.token_env} to hold a token that may write the contents of "
            f"{receiver.github}"
        )
    if status in (401, 403):
        raise DeliveryError(
            f"it does not believe the signature ({said}); expected that it knows the secret in {_named(receiver)}"
        )
    if status == 404:
        raise DeliveryError(f"there is nothing at this address ({said}); expected the receiver; see promote.notify")
    if status >= 500 or status in BUSY:
        raise DeliveryError(f"it is not well, or busy ({said}); expected an answer, 2xx", is_passing=True)
    raise DeliveryError(f"it does not want this event ({said}); expected an answer, 2xx", is_refused=True)


def _named(receiver: Webhook | Repository) -> str:
    """Environment variable with what it knows us by."""
    return receiver.secret_env if isinstance(receiver, Webhook) else receiver.token_env


def _fault(error: Exception, envelope: Envelope, seconds: float) -> DeliveryError:
    """Why there was no answer."""
    import requests

    if isinstance(error, requests.exceptions.Timeout):
        return DeliveryError(f"no answer within {seconds:g} s; expected one, 2xx")
    reason = _shown(one_line(_cause(error)), envelope)
    if isinstance(error, requests.exceptions.SSLError):
        return DeliveryError(f"its certificate is not trusted ({reason}); expected one that REQUESTS_CA_BUNDLE knows")
    if isinstance(error, requests.exceptions.ConnectionError):
        return DeliveryError(f"it is not reached ({reason}); expected an answer, 2xx", is_passing=True)
    return DeliveryError(f"it cannot be sent ({type(error).__name__}: {reason}); expected an answer, 2xx")


def _cause(error: BaseException) -> BaseException:
    """What is behind an error of requests, whose own text holds the whole address."""
    inner: Any = error.args[0] if error.args else None
    return getattr(inner, "reason", None) or (inner if isinstance(inner, BaseException) else error)


def _shown(text: str, envelope: Envelope) -> str:
    """A text from outside, short, on one line, without what is secret."""
    for secret in (*envelope.secrets, envelope.url.partition("?")[2]):
        text = text.replace(secret, "***") if secret else text
    return words.readable(limits.cut(" ".join(text.split()), SHOWN))

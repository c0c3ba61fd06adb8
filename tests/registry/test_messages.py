"""What receivers get: the message and its signature, held against numbers that others published."""

import json
import re
import subprocess
import time

import pytest
from receiving import SECRET, verified

from pipeline.registry import messages
from pipeline.registry.chain import Event

EVENT = Event(
    kind="promoted", alias="champion", version=3, source=2, when="2026-05-31T14:30:00+00:00",
    who="Ada <ada@example.org>", why="better: “by far”", run_id="abc",
)  # fmt: skip


def test_a_signature_is_that_of_the_published_example():
    """Of the documents of svix, from which Standard Webhooks took its scheme."""
    (key,) = messages.secrets_of("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    body = b'{"test": 2432232314}'
    signature = messages.signed("msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, body, [key])
    assert signature == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_while_a_secret_is_replaced_a_message_is_signed_with_both():
    other = SECRET.replace("A", "B")
    keys = messages.secrets_of(f"{SECRET} {other}")
    now = int(time.time())
    headers = {
        "webhook-id": "x",
        "webhook-timestamp": str(now),
        "webhook-signature": messages.signed("x", now, b"{}", keys),
    }
    assert verified(headers, b"{}", SECRET) == verified(headers, b"{}", other) == {}
    with pytest.raises(AssertionError, match="somebody else"):
        verified(headers, b"{ }", SECRET)


@pytest.mark.parametrize(
    "text", ["", "secret", "whsec_", "whsec_c2hvcnQ=", f"{SECRET} other", SECRET[6:], "whsec_é" * 9]
)
def test_what_is_no_secret_is_refused_and_not_shown(text):
    with pytest.raises(
        ValueError, match=r"expected whsec_ and then 24 to 64 random bytes in base64; `echo "
    ) as refused:
        messages.secrets_of(text)
    assert not text or text not in str(refused.value).replace("whsec_ and", "").replace("whsec_$", "")


def test_the_command_that_makes_a_secret_makes_one():
    with pytest.raises(ValueError, match="openssl") as refused:
        messages.secrets_of("")
    (told,) = re.findall("`(.*)`", str(refused.value))
    made = subprocess.run(told, shell=True, capture_output=True, text=True, check=True).stdout  # noqa: S602 - the test
    assert [len(key) for key in messages.secrets_of(made)] == [32]


def test_a_message_says_what_happened_and_where_it_is():
    message = messages.of(7, EVENT, "my model", "v3 became champion", "https://ada:secret@mlflow.example.org/a/")
    body = json.loads(messages.encoded(message.body))
    assert (body["type"], body["timestamp"]) == ("champion.promoted", EVENT.when)
    data = body["data"]
    assert Event(**data["event"]) == EVENT
    assert Event(**data["event"]).hash == message.id, "whoever gets it can check the id"
    assert (data["version_uri"], data["source_uri"]) == ("models:/my%20model/3", "models:/my%20model/2")
    assert (data["number"], data["alias_uri"]) == (7, "models:/my%20model@champion")
    assert data["link"] == "https://mlflow.example.org/a/#/models/my%20model/versions/3"
    assert data["text"] == "v3 became champion"
    assert messages.of(7, EVENT, "my model", "", "sqlite:///x.db").data["link"] is None
    assert messages.encoded(message.body).isascii()

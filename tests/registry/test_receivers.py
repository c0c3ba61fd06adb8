"""Receivers as params.yaml names them: what cannot be one is refused in words."""

import re

import pytest

from pipeline.base import params
from pipeline.base.errors import ParamsError
from pipeline.base.params import Section
from pipeline.registry.promotion import Promote
from pipeline.registry.receivers import Repository, Webhook

HOOK = {"url": "https://ml.example.org/moved", "secret_env": "HOOK_SECRET"}
GITHUB = {"github": "owner/repository", "event_type": "champion-moved", "token_env": "GITHUB_TOKEN"}


class Only(Section):
    promote: Promote


def load(*receivers: object) -> tuple[Webhook | Repository, ...]:
    return params.checked(
        {"promote": {"automatic": True, "notify": list(receivers), "cost_per_hour": None}}, Only, "params.yaml"
    ).promote.notify


def test_both_kinds_are_told_apart_by_their_keys():
    hook, github = load(HOOK, GITHUB | {"events": "all"})
    assert isinstance(hook, Webhook)
    assert isinstance(github, Repository)
    assert (hook.name, github.name) == ("ml.example.org/moved", "GitHub owner/repository")
    assert [hook.wants(kind) for kind in ("promoted", "rolled back", "moved", "nominated", "rejected", "began")] == [
        True, True, True, False, False, False,
    ]  # fmt: skip
    assert github.wants("nominated")
    assert github.wants("rejected")
    assert not github.wants("began")


def test_what_is_written_down_of_them_can_be_read_again():
    given = load(HOOK, GITHUB)
    assert load(*[one.model_dump(mode="json") for one in given]) == given


@pytest.mark.parametrize(
    "url",
    [
        "http://localhost:1/",
        "http://127.0.0.1:8080/a",
        "http://[::1]:1/",
        "https://a.example/?code=1",
        "https://[::2]/",
    ],
)
def test_addresses_that_are_safe(url):
    assert load(HOOK | {"url": url})


def test_what_may_be_secret_in_an_address_is_no_part_of_its_name():
    (hook,) = load(HOOK | {"url": "https://a.example/b?code=sesame"})
    assert hook.name == "a.example/b"


def test_another_secret_or_token_is_no_other_receiver():
    (one,), (other,) = load(HOOK), load(HOOK | {"secret_env": "OTHER", "events": "all"})
    assert one.identity == other.identity
    (one,), (other,) = load(GITHUB), load(GITHUB | {"event_type": "other"})
    assert one.identity != other.identity


KEYS = "expected {url, secret_env} of a webhook or {github, event_type, token_env} of a repository, and perhaps events"


@pytest.mark.parametrize(
    ("receiver", "message"),
    [
        ("https://a.example", f"a receiver is 'https://a.example'; {KEYS}"),
        ({}, f"a receiver has no keys; {KEYS}"),
        ({"url": "https://a.example"}, f"a receiver has url; {KEYS}"),
        (HOOK | {"secret": "abc"}, f"a receiver has url, secret_env, secret; {KEYS}"),
        (HOOK | GITHUB, f"a receiver has url, secret_env, github, event_type, token_env; {KEYS}"),
        (HOOK | {"events": "some"}, "events is 'some'; expected 'moves' or 'all'"),
        (HOOK | {"secret_env": "whsec_sesame"}, "secret_env is no name of a variable; expected the name of an environ"),
        (HOOK | {"url": "http://a.example/"}, "url 'http://a.example/': expected https://HOST/PATH (http:// only to "),
        (HOOK | {"url": "http://127.0.0.1.a.example/"}, "expected https://HOST/PATH"),
        (HOOK | {"url": "http://2130706433/"}, "expected https://HOST/PATH"),
        (HOOK | {"url": "file:///etc/passwd"}, "expected https://HOST/PATH"),
        (HOOK | {"url": "https://"}, "expected https://HOST/PATH"),
        (HOOK | {"url": "https://a.example/#b"}, "expected https://HOST/PATH"),
        (HOOK | {"url": "https://a.example:99999/"}, "expected an address such as https://ml.example.org/moved"),
        (HOOK | {"url": "https://ada:x@a.example/"}, "url holds a name or a password before an @; expected none"),
        (HOOK | {"url": "https://a.example/ b"}, "expected at most 2,000 printable ASCII characters without spaces"),
        (HOOK | {"url": "https://é.example/"}, "expected at most 2,000 printable ASCII characters without spaces"),
        (HOOK | {"url": 7}, "url is 7; expected a valid string"),
        (GITHUB | {"github": "https://github.com/a/b"}, "expected OWNER/REPOSITORY, without an address before it"),
        (GITHUB | {"github": "owner/.."}, "expected OWNER/REPOSITORY"),
        (GITHUB | {"github": "owner/a/b"}, "expected OWNER/REPOSITORY"),
        (GITHUB | {"event_type": "a" * 101}, "expected at most 100 letters, digits or any of _.-"),
        (GITHUB | {"token_env": "ghp_sesame"}, "expected the name of an environment variable in capitals, and not "),
    ],
)  # fmt: skip
def test_what_cannot_be_one_is_refused_in_words(receiver, message):
    with pytest.raises(ParamsError, match=re.escape(message)) as refused:
        load(receiver)
    assert str(refused.value).startswith("params.yaml: promote.notify")
    assert ":x@" not in str(refused.value)
    assert "sesame" not in str(refused.value)


def test_the_same_one_twice_is_refused():
    with pytest.raises(ParamsError, match=r"ml.example.org/moved is there twice; expected each receiver once; delete"):
        load(HOOK, HOOK | {"secret_env": "OTHER"})

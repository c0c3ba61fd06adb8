"""Delivery of one message to real servers on this machine, however they behave."""

import contextlib
import datetime
import ipaddress
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from receiving import SECRET, Got, Receiver, receiver

from pipeline.registry import delivery, messages
from pipeline.registry.chain import Event
from pipeline.registry.delivery import DeliveryError
from pipeline.registry.receivers import Repository, Webhook

TOKEN = "ghp_sesame"  # noqa: S105 - of a test
MESSAGE = messages.of(
    7,
    Event(kind="promoted", alias="champion", version=3, source=2, when="2026-05-31T14:30:00+00:00", who="a", why="b"),
    "evergreen",
    "v3 became champion",
    "sqlite:///a.db",
)


@pytest.fixture(autouse=True)
def account(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("GITHUB_API_URL", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOOK_SECRET", SECRET)
    monkeypatch.setenv("HOOK_TOKEN", TOKEN)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(delivery, "PAUSE", 0.01)


@pytest.fixture
def running() -> Iterator[Receiver]:
    with receiver() as mine:
        yield mine


def hook(running: Receiver, path: str = "/moved") -> Webhook:
    return Webhook(url=f"{running.url}{path}", secret_env="HOOK_SECRET")  # noqa: S106 - its name


GITHUB = Repository(github="owner/repository", event_type="champion-moved", token_env="HOOK_TOKEN")  # noqa: S106


def send(to: Webhook | Repository, seconds: float = 5.0) -> None:
    delivery.send(to, MESSAGE, seconds)


def fault(to: Webhook | Repository, seconds: float = 5.0) -> str:
    with pytest.raises(DeliveryError) as failed:
        send(to, seconds)
    said = str(failed.value)
    assert not {"sesame", SECRET} & set(re.split(r"[\s/?='\"]", said)), "what is secret is not shown"
    assert said.isprintable()
    return said


def test_a_webhook_gets_a_message_that_it_can_believe(running):
    send(hook(running))
    (got,) = running.got
    assert got.path == "/moved"
    assert got.headers["Content-Type"] == "application/json"
    assert got.id == MESSAGE.id
    assert got.message == MESSAGE.body


def test_the_same_event_is_the_same_message_each_time(running):
    send(hook(running))
    send(hook(running))
    assert running.got[0].body == running.got[1].body
    assert running.got[0].id == running.got[1].id


def test_github_gets_a_repository_dispatch(running, monkeypatch):
    import json

    monkeypatch.setenv("GITHUB_API_URL", f"{running.url}/api/v3/")
    running.answer = lambda _: 204
    send(GITHUB)
    (got,) = running.got
    assert got.path == "/api/v3/repos/owner/repository/dispatches"
    assert got.headers["Authorization"] == f"Bearer {TOKEN}"
    assert got.headers["Accept"] == "application/vnd.github+json"
    body = json.loads(got.body)
    assert set(body) == {"event_type", "client_payload"}
    assert body["event_type"] == "champion-moved"
    assert len(body["client_payload"]) <= 10, "GitHub takes no more"
    assert body["client_payload"] == {"id": MESSAGE.id, **MESSAGE.body}


@pytest.mark.parametrize(
    ("name", "what"), [("HOOK_SECRET", "the secret that "), ("HOOK_TOKEN", "a token that may write")]
)
def test_a_variable_that_is_not_set_is_named(running, monkeypatch, name, what):
    monkeypatch.setenv(name, " ")
    to = hook(running) if name == "HOOK_SECRET" else GITHUB
    assert f"the environment variable {name} is not set; expected {what}" in fault(to)
    assert running.got == []


def test_a_wrong_secret_or_token_is_told_and_not_shown(running, monkeypatch):
    monkeypatch.setenv("HOOK_SECRET", "sesame")
    assert fault(hook(running)).startswith("HOOK_SECRET is no secret: expected whsec_ and then 24 to 64 random bytes")
    monkeypatch.setenv("HOOK_TOKEN", "ghp\nsesame")
    assert fault(GITHUB) == "HOOK_TOKEN is no token: expected letters, digits and signs without spaces"
    assert running.got == []


def test_an_address_of_github_that_is_not_safe_is_refused(monkeypatch):
    monkeypatch.setenv("GITHUB_API_URL", "http://a.example")
    assert fault(GITHUB).startswith("GITHUB_API_URL: url 'http://a.example': expected https://HOST/PATH")


def answered(status: int, text: str = "", **headers: str) -> Callable[[Got], Any]:
    return lambda _: (status, headers, text)


@pytest.mark.parametrize(
    ("status", "said", "tries"),
    [
        (400, "it does not want this event (400: no\\nway); expected an answer, 2xx", 1),
        (401, "it does not believe the signature (401: ", 1),
        (404, "there is nothing at this address (404: ", 1),
        (410, "it is gone for good (410: no way); expected an answer, 2xx; take it out of promote.notify", 1),
        (429, "it is not well, or busy (429: ", 3),
        (500, "it is not well, or busy (500: ", 3),
        (503, "it is not well, or busy (503: ", 3),
    ],
)
def test_a_refusal_is_told_by_its_cause(running, status, said, tries):
    running.answer = answered(status, "no\nway")
    assert fault(hook(running)).startswith(said.replace("\\n", " "))
    assert len(running.got) == tries


@pytest.mark.parametrize("status", [401, 403, 404])
def test_github_refuses_by_a_token_that_may_not(running, monkeypatch, status):
    monkeypatch.setenv("GITHUB_API_URL", running.url)
    running.answer = answered(status, f'{{"message": "Not Found", "yours": "{TOKEN}"}}')
    said = fault(GITHUB)
    assert said.endswith("expected HOOK_TOKEN to hold a token that may write the contents of owner/repository")
    assert '"yours": "***"' in said


def test_a_moment_of_weakness_is_waited_for(running):
    running.answer = lambda _: 503 if len(running.got) < 3 else 200
    send(hook(running))
    assert len({got.id for got in running.got}) == 1
    assert len(running.got) == 3


def test_an_answer_is_shown_shortly_and_harms_no_terminal(running):
    running.answer = answered(400, "\x1b[31m" + "x" * 100_000)
    said = fault(hook(running))
    assert len(said) < 400
    assert "\\x1b[31m" in said


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_nothing_is_sent_on_to_another_address(running, status):
    with receiver() as other:
        running.answer = answered(status, Location=f"{other.url}/stolen")
        said = fault(hook(running))
        assert other.got == []
    assert f"it sends on to {other.url}/stolen ({status}); expected an answer: what is secret goes nowhere else" in said


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def test_a_receiver_that_is_not_there_is_told_without_what_is_secret():
    nobody = Webhook(url=f"http://127.0.0.1:{free_port()}/a?code=sesame", secret_env="HOOK_SECRET")  # noqa: S106
    assert re.match(r"it is not reached \(.*Connection refused.*\); expected an answer, 2xx", fault(nobody))


def test_a_host_that_does_not_exist_is_told():
    nobody = Webhook(url="https://nobody.invalid/", secret_env="HOOK_SECRET")  # noqa: S106
    assert fault(nobody).startswith("it is not reached (")


@contextlib.contextmanager
def slow(each: bytes, begin: bytes = b"HTTP/1.1 200 OK\r\nX: ") -> Iterator[str]:
    """A server that takes a request, begins to answer, and then sends some of its answer now and then; its address."""
    ended = threading.Event()

    def serve(server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while not ended.is_set():
                connection, _ = server.accept()
                connection.sendall(begin)
                while not ended.wait(0.05):
                    connection.sendall(each)

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=serve, args=(server,), daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.getsockname()[1]}"
        finally:
            ended.set()


@pytest.mark.parametrize("each", [b"", b"x"], ids=["silent", "trickling"])
def test_a_slow_receiver_is_not_waited_for_longer_than_the_limit(each):
    with slow(each) as url:
        begun = time.monotonic()
        said = fault(Webhook(url=url, secret_env="HOOK_SECRET"), seconds=0.4)  # noqa: S106
        assert said == "no answer within 0.4 s; expected one, 2xx"
        assert time.monotonic() - begun < 2.0


def test_of_an_answer_without_end_only_the_beginning_is_read():
    with slow(b"x" * 1000, b"HTTP/1.1 400 no\r\nContent-Length: 9999999999\r\n\r\n") as url:
        said = fault(Webhook(url=url, secret_env="HOOK_SECRET"), seconds=2.0)  # noqa: S106
    assert said.startswith("it does not want this event (400: xxx")


def test_no_proxy_gets_what_is_for_this_machine(running, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    send(hook(running))
    assert len(running.got) == 1


def test_https_goes_by_the_proxy_of_the_account(monkeypatch):
    monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{free_port()}")
    assert "proxy" in fault(Webhook(url="https://a.example/", secret_env="HOOK_SECRET"))  # noqa: S106


def test_a_password_in_netrc_does_not_take_the_place_of_the_token(running, monkeypatch, tmp_path):
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login ada password sesame\n")
    monkeypatch.setenv("GITHUB_API_URL", running.url)
    send(GITHUB)
    assert running.got[0].headers["Authorization"] == f"Bearer {TOKEN}"


@pytest.fixture
def certified(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """An HTTPS server with a certificate that nobody knows; its address and the certificate."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([])
    now, day = datetime.datetime.now(datetime.UTC), datetime.timedelta(days=1)
    here = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now - day, now + day)
        .add_extension(here, critical=True)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path / "server.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(private + certificate.public_bytes(serialization.Encoding.PEM))

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield f"https://127.0.0.1:{server.server_port}/", path
        server.shutdown()
        thread.join()


def test_a_certificate_has_to_be_known(certified, monkeypatch):
    url, path = certified
    to = Webhook(url=url, secret_env="HOOK_SECRET")  # noqa: S106
    said = fault(to)
    assert said.startswith("its certificate is not trusted (")
    assert said.endswith("expected one that REQUESTS_CA_BUNDLE knows")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(path))
    send(to)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nowhere.pem")
    assert fault(to).startswith("it cannot be sent (OSError: Could not find a suitable TLS CA certificate bundle")

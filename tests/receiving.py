"""A real receiver of webhooks on this machine, and what one has to do to believe them."""

import base64
import contextlib
import hashlib
import hmac
import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()


def verified(headers: Mapping[str, str], body: bytes, secret: str) -> dict[str, Any]:
    """The message, if whoever knows the secret sent it just now; the README shows this."""
    name, when = headers["webhook-id"], headers["webhook-timestamp"]
    key = base64.b64decode(secret.removeprefix("whsec_"))
    wanted = hmac.new(key, f"{name}.{when}.".encode() + body, hashlib.sha256).digest()
    given = [base64.b64decode(one[3:]) for one in headers["webhook-signature"].split() if one.startswith("v1,")]
    assert abs(time.time() - int(when)) < 300, "an old message, sent again by somebody else"
    assert any(hmac.compare_digest(wanted, one) for one in given), "somebody else signed it"
    message: dict[str, Any] = json.loads(body)
    return message


@dataclass(frozen=True)
class Got:
    """A request as it came in."""

    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def message(self) -> dict[str, Any]:
        return verified(self.headers, self.body, SECRET)


@dataclass
class Receiver:
    """Answers as a test wants it, and keeps what it got."""

    url: str = ""
    got: list[Got] = field(default_factory=list)
    answer: Callable[[Got], Any] = lambda _: 200
    """Status, or status and headers and text; runs before the answer is sent."""

    @property
    def numbers(self) -> list[int]:
        return [json.loads(one.body)["data"]["number"] for one in self.got]


@contextlib.contextmanager
def receiver() -> Iterator[Receiver]:
    """A receiver that runs."""
    mine = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got = Got(self.path, dict(self.headers), self.rfile.read(int(self.headers["Content-Length"])))
            mine.got.append(got)
            answer = mine.answer(got)
            status, headers, text = answer if isinstance(answer, tuple) else (answer, {}, "")
            with contextlib.suppress(ConnectionError):
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text.encode())

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        mine.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield mine
        finally:
            server.shutdown()
            thread.join()

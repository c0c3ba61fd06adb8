"""A DVC remote on this machine that counts what is asked of it, and fails as it is told to.

`dvc remote add --default counted $URL` takes it as any other HTTP remote, for `dvc push` too. DVC's
question whether an HTTP remote has an object is a GET as well, so a push counts some.
"""

import re
import threading
from collections import Counter
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Self, cast

Content = Callable[[str], bytes | None]
"""From a hash, `.dir` included, to the object; None where there is no such object."""

_OBJECT = re.compile(r"/files/md5/([0-9a-f]{2})/([0-9a-f]{30}(?:\.dir)?)")


class CountingRemote:
    """Serves objects from a folder, or from a function, as long as the `with` block runs."""

    def __init__(self, content: Path | Content) -> None:
        self._folder = content if isinstance(content, Path) else None
        self._find = self._read if isinstance(content, Path) else content
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.remote = self
        self._busy = 0
        self.gets = 0
        """Objects sent whole."""
        self.bytes = 0
        """Bytes of their bodies."""
        self.asked: Counter[str] = Counter()
        """GETs per hash, whatever the answer."""
        self.busiest = 0
        """The largest number of GETs in work at one time."""
        self.delay = 0.0
        """Seconds before each answer to a GET."""
        self.refuse = 0
        """The next GETs to answer with status 500."""
        self.cut: set[str] = set()
        """Hashes of which only the first half is sent, and the connection closed."""
        self.stall: set[str] = set()
        """Hashes that are not answered until the server ends."""
        self.flip: set[str] = set()
        """Hashes whose last bit is sent wrong."""

    @property
    def url(self) -> str:
        """The remote's address, as DVC wants it."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._server.shutdown()
        self._server.server_close()

    def forget(self) -> None:
        """Begin to count anew."""
        with self._lock:
            self.gets = self.bytes = self.busiest = 0
            self.asked.clear()

    def _path(self, digest: str) -> Path:
        assert self._folder
        return self._folder / "files/md5" / digest[:2] / digest[2:]

    def _read(self, digest: str) -> bytes | None:
        path = self._path(digest)
        return path.read_bytes() if path.is_file() else None

    def _write(self, digest: str, body: bytes) -> bool:
        if self._folder is None:
            return False
        self._path(digest).parent.mkdir(parents=True, exist_ok=True)
        self._path(digest).write_bytes(body)
        return True

    def _begin(self, digest: str) -> bool:
        """Whether this GET is to be answered; counted either way."""
        with self._lock:
            self.asked[digest] += 1
            self._busy += 1
            self.busiest = max(self.busiest, self._busy)
            self.refuse -= (is_refused := self.refuse > 0)
        self._ended.wait(self.delay)
        if digest in self.stall:
            self._ended.wait()
        return not is_refused

    def _end(self) -> None:
        with self._lock:
            self._busy -= 1

    def _count(self, body: bytes) -> None:
        """Before the body goes out: who has it may look at the figures at once."""
        with self._lock:
            self.gets += 1
            self.bytes += len(body)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128
    remote: CountingRemote

    def handle_error(self, *_: object) -> None:
        """A client that went away is no news."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else each small body waits 40 ms for an acknowledgement

    def do_HEAD(self) -> None:
        digest = self._digest()
        body = self._remote._find(digest) if digest else None
        self._answer(404 if body is None else 200, length=len(body or b""))

    def do_GET(self) -> None:
        digest = self._digest()
        if digest is None:
            self._answer(404)
            return
        try:
            if self._remote._begin(digest):
                self._send(digest)
            else:
                self._answer(500)
        finally:
            self._remote._end()

    def do_PUT(self) -> None:
        body, digest = self._body(), self._digest()
        self._answer(201 if digest and self._remote._write(digest, body) else 405)

    do_POST = do_PUT  # noqa: N815 - the name that http.server calls

    def log_message(self, *_: object) -> None:
        """Silent: the counts are the log."""

    @property
    def _remote(self) -> CountingRemote:
        return cast(_Server, self.server).remote

    def _digest(self) -> str | None:
        found = _OBJECT.fullmatch(self.path)
        return found[1] + found[2] if found else None

    def _send(self, digest: str) -> None:
        body = self._remote._find(digest)
        if body is None:
            self._answer(404)
        elif digest in self._remote.cut:
            self._answer(200, body[: len(body) // 2], length=len(body))
            self.close_connection = True
        else:
            self._remote._count(body)
            self._answer(200, body[:-1] + bytes([body[-1] ^ 1]) if digest in self._remote.flip else body)

    def _answer(self, status: int, body: bytes = b"", *, length: int | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        self.wfile.write(body)

    def _body(self) -> bytes:
        """DVC sends what it pushes in chunks (RFC 9112, 7.1)."""
        if self.headers["Transfer-Encoding"] != "chunked":
            return self.rfile.read(int(self.headers["Content-Length"] or 0))
        chunks = []
        while size := int(self.rfile.readline(), 16):
            chunks.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(chunks)

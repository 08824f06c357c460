"""A web server of one file on this machine, which misbehaves as a test tells it to."""

import contextlib
import gzip
import hashlib
import http.server
import re
import threading
import time

import numpy

from imgcls.io import downloads
from imgcls.io.downloads import RemoteFile, RetryPolicy

CONTENT = numpy.random.default_rng(0).integers(0, 256, 300_000, dtype=numpy.uint8).tobytes()
PACKED = gzip.compress(CONTENT, mtime=0)
QUICK = RetryPolicy(rounds=3, pause=0.01, timeout=0.3, min_bytes=1000)


class Server(http.server.ThreadingHTTPServer):
    """Answers each request with the next behavior of a list, of which the last one stays; records
    the headers of each request.
    """

    daemon_threads = True

    def __init__(self, behaviors, body=PACKED):
        super().__init__(("127.0.0.1", 0), Handler)
        self.behaviors = behaviors
        self.body = body
        self.asked = []

    @property
    def requests(self):
        return len(self.asked)

    def next_behavior(self, headers):
        self.asked.append(headers)
        return self.behaviors[min(self.requests, len(self.behaviors)) - 1]


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves one file, with ranges (RFC 9110, section 14), as the next behavior says."""

    def do_GET(self):
        behavior = self.server.next_behavior(self.headers)
        if behavior in ("404", "500"):
            self.send_error(int(behavior))
        elif behavior == "elsewhere" and not self.path.startswith("/moved"):
            self.answer(302, b"", {"Location": "/moved" + self.path})
        elif behavior == "nowhere":
            self.answer(302, b"", {"Location": "http://[bad"})
        elif behavior == "in circles":
            self.answer(302, b"", {"Location": self.path})
        else:
            self.send_file(behavior)

    def send_file(self, behavior):
        body = {
            "lie": gzip.compress(b"other bytes"),
            "not gzip": b"<html>sign in</html>",
            "tail": PACKED + b"tail",
        }.get(behavior, self.server.body)
        start = self.asked_start(behavior)
        if start > len(body) - 1:
            self.answer(416, b"", {"Content-Range": f"bytes */{len(body)}"})
            return
        sent = body[start:]
        headers = {
            "Content-Length": str(len(sent) + {"too long": 50, "too short": -50}.get(behavior, 0)),
            "ETag": '"one"',
        }
        if behavior == "weak":
            headers |= {"ETag": 'W/"one"', "Last-Modified": "Mon, 01 Jan 2024 00:00:00 GMT"}
        if behavior == "no length":
            del headers["Content-Length"]
        if behavior == "huge":
            headers["Content-Length"] = str(1 << 40)
        if start:
            headers["Content-Range"] = (
                "bytes"
                f" {start + (7 if behavior == 'wrong range' else 0)}-{len(body) - 1}/{len(body)}"
            )
        self.answer(206 if start else 200, self.crop(sent, behavior), headers)
        if behavior == "stall":
            time.sleep(1)
        if behavior == "trickle":
            with contextlib.suppress(OSError):
                for byte in sent[:50]:
                    self.wfile.write(bytes([byte]))
                    time.sleep(0.02)

    def asked_start(self, behavior):
        asked, condition = (
            re.match(r"bytes=(\d+)-", self.headers["Range"] or ""),
            self.headers["If-Range"],
        )
        if (
            not asked
            or behavior == "ignores ranges"
            or condition not in (None, '"one"', "Mon, 01 Jan 2024 00:00:00 GMT")
        ):
            return 0
        return int(asked[1])

    def crop(self, sent, behavior):
        return {
            "drop": sent[: len(sent) // 2],
            "weak": sent[: len(sent) // 2],
            "stall": sent[:100],
            "trickle": b"",
        }.get(behavior, sent)

    def answer(self, status, body, headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()

    def log_message(self, *arguments):
        """Stay silent."""


@contextlib.contextmanager
def serving(*behaviors, body=PACKED):
    with Server(behaviors, body) as server:
        threading.Thread(
            target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True
        ).start()
        yield server, f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


def remote(*mirrors, digest_of="content"):
    hashed = CONTENT if digest_of == "content" else PACKED
    return RemoteFile("data.gz", hashlib.sha256(hashed).hexdigest(), mirrors, 1_000_000, digest_of)


def fetch(folder, *mirrors, digest_of="content", **options):
    return downloads.fetch(remote(*mirrors, digest_of=digest_of), folder, retry=QUICK, **options)


def names(folder):
    return sorted(path.name for path in folder.iterdir())

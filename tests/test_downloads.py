"""Downloads survive a bad server, and what they leave is whole; the server is a real one, on this machine."""

import contextlib
import gzip
import hashlib
import http.server
import socket
import threading
import time

import pytest

from imgcls import downloads
from imgcls.downloads import Patience, RemoteFile
from imgcls.errors import DataError

CONTENT = bytes(range(256)) * 2000
PACKED = gzip.compress(CONTENT)
QUICK = Patience(rounds=3, timeout=0.3, pause=0.01)


class Server(http.server.ThreadingHTTPServer):
    """Answers each request with the next behaviour of a list; the last one stays."""

    daemon_threads = True

    def __init__(self, behaviours):
        super().__init__(("127.0.0.1", 0), Handler)
        self.behaviours = behaviours
        self.requests = 0

    def next_behaviour(self):
        self.requests += 1
        return self.behaviours[min(self.requests, len(self.behaviours)) - 1]


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        behaviour = self.server.next_behaviour()
        if behaviour == "fail":
            self.send_error(500)
            return
        body = {"lie": gzip.compress(b"other bytes"), "not gzip": b"<html>sign in</html>"}.get(behaviour, PACKED)
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if behaviour == "good":
            self.wfile.write(body)
        elif behaviour == "stall":
            self.wfile.write(body[:100])
            self.wfile.flush()
            time.sleep(1)
        elif behaviour == "truncate":
            self.wfile.write(body[:100])
        else:
            self.wfile.write(body)

    def log_message(self, *arguments):
        """Stay silent."""


@contextlib.contextmanager
def serving(*behaviours):
    with Server(behaviours) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield server, f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


def remote(*mirrors):
    return RemoteFile("data.gz", hashlib.sha256(CONTENT).hexdigest(), mirrors)


@pytest.mark.parametrize("behaviour", ["fail", "truncate", "lie", "not gzip", "stall"])
def test_a_bad_answer_is_tried_again(tmp_path, behaviour):
    with serving(behaviour, "good") as (server, url):
        path = downloads.fetch(remote(url), tmp_path, QUICK)
    assert gzip.decompress(path.read_bytes()) == CONTENT
    assert server.requests == 2


def test_the_next_mirror_is_tried_at_once(tmp_path):
    with serving("fail") as (first, first_url), serving("good") as (second, second_url):
        downloads.fetch(remote(first_url, second_url), tmp_path, QUICK)
    assert (first.requests, second.requests) == (1, 1)


@pytest.mark.parametrize(
    ("behaviour", "reason"),
    [
        ("fail", "HTTP Error 500"),
        ("truncate", f"the connection ended after 100 of {len(PACKED):,} bytes"),
        ("lie", "it holds other bytes"),
        ("not gzip", "incorrect header check"),
        ("stall", "timed out"),
    ],
)
def test_a_server_that_stays_bad_is_named_and_leaves_no_file(tmp_path, behaviour, reason):
    with serving(behaviour) as (server, url), pytest.raises(DataError) as caught:
        downloads.fetch(remote(url), tmp_path, QUICK)
    assert f"{url}data.gz: " in str(caught.value)
    assert reason in str(caught.value)
    assert "data.path" in str(caught.value)
    assert server.requests == 3
    assert [path.name for path in tmp_path.iterdir()] == [".lock"]


def test_without_a_network_the_message_says_so(tmp_path):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/"
    with pytest.raises(DataError, match=r"(?s)Connection refused.*check the network connection"):
        downloads.fetch(remote(url), tmp_path, QUICK)


def test_a_file_that_is_there_is_not_asked_for(tmp_path):
    (tmp_path / "data.gz").write_bytes(gzip.compress(CONTENT, compresslevel=1))
    with serving("good") as (server, url):
        downloads.fetch(remote(url), tmp_path, QUICK)
    assert server.requests == 0


def test_a_damaged_file_is_downloaded_again(tmp_path):
    (tmp_path / "data.gz").write_bytes(PACKED[:-20])
    with serving("good") as (_, url):
        path = downloads.fetch(remote(url), tmp_path, QUICK)
    assert path.read_bytes() == PACKED

"""Downloads survive a bad server, and what they leave is whole; the server is a real one, on this
machine.
"""

import errno
import gzip
import hashlib
import json
import os
import re
import socket
import subprocess
import sys
import time

import pytest
from download_server import CONTENT, PACKED, QUICK, fetch, names, remote, serving

from imgcls.errors import DataError, UserError
from imgcls.io import downloads, terminal

BAD = [
    "404",
    "500",
    "drop",
    "lie",
    "not gzip",
    "tail",
    "stall",
    "trickle",
    "too short",
    "huge",
    "nowhere",
    "in circles",
]


@pytest.mark.parametrize("digest_of", ["content", "file"])
@pytest.mark.parametrize("behavior", BAD)
def test_a_bad_response_is_retried(tmp_path, behavior, digest_of):
    with serving(*[behavior] * (10 if behavior == "in circles" else 1), "good") as (_, url):
        path = downloads.fetch(remote(url, digest_of=digest_of), tmp_path, retry=QUICK)
    assert path.read_bytes() == PACKED
    assert names(tmp_path) == [".lock", "data.gz"]


@pytest.mark.parametrize("behavior", ["elsewhere", "no length", "too long"])
@pytest.mark.parametrize("digest_of", ["content", "file"])
def test_an_unusual_response_with_the_right_bytes_is_accepted(tmp_path, behavior, digest_of):
    with serving(behavior) as (server, url):
        assert fetch(tmp_path, url, digest_of=digest_of).read_bytes() == PACKED
    assert server.requests == (2 if behavior == "elsewhere" else 1)


def test_the_next_mirror_is_tried_at_once(tmp_path):
    with serving("500") as (first, first_url), serving("good") as (second, second_url):
        fetch(tmp_path, first_url, second_url)
    assert (first.requests, second.requests) == (1, 1)


REASONS = {
    "404": "HTTP Error 404",
    "500": "HTTP Error 500",
    "lie": "the SHA-256 of the uncompressed content is",
    "not gzip": "it is not a gzip file, or damaged",
    "tail": "other bytes follow the end of the gzip data",
    "trickle": "stalled: ",
    "stall": "timed out",
    "huge": "the server announces 1,099,511,627,776 bytes, more than the maximum of 1,000,000",
    "nowhere": "the server redirects to an invalid address",
    "in circles": "infinite loop",
}


@pytest.mark.parametrize("behavior", REASONS)
def test_a_persistent_error_names_the_server_and_leaves_no_file(tmp_path, behavior):
    with serving(behavior) as (_, url), pytest.raises(DataError) as caught:
        fetch(tmp_path, url)
    assert f"{url}data.gz: " in str(caught.value)
    assert REASONS[behavior] in str(caught.value)
    assert "data.path" in str(caught.value)
    assert "data.gz" not in names(tmp_path)


def test_an_endless_response_is_stopped(tmp_path):
    with (
        serving("no length", body=bytes(1_200_000)) as (_, url),
        pytest.raises(DataError, match="sends more than the maximum of 1,000,000 bytes"),
    ):
        fetch(tmp_path, url, digest_of="file")
    assert names(tmp_path) == [".lock"]


@pytest.mark.parametrize("digest_of", ["content", "file"])
def test_an_interrupted_download_is_resumed_by_the_next_command(tmp_path, digest_of):
    half = len(PACKED) // 2
    with serving("drop", "404", "404", "good") as (server, url):
        with pytest.raises(DataError, match="cannot download"):
            fetch(tmp_path, url, digest_of=digest_of)
        assert names(tmp_path) == [".data.gz.part", ".data.gz.part.json", ".lock"]
        assert (tmp_path / ".data.gz.part").read_bytes() == PACKED[:half]
        assert fetch(tmp_path, url, digest_of=digest_of).read_bytes() == PACKED
    assert server.asked[-1]["Range"] == f"bytes={half}-"
    assert server.asked[-1]["If-Range"] == '"one"'
    assert names(tmp_path) == [".lock", "data.gz"]


def test_a_killed_download_is_resumed(tmp_path):
    code = (
        "import sys; from pathlib import Path; from imgcls.io.downloads import *; "
        "fetch(RemoteFile('data.gz', '0' * 64, (sys.argv[1],), 1000000), Path(sys.argv[2]))"
    )
    with serving("stall", "good") as (server, url):
        process = subprocess.Popen(
            [sys.executable, "-c", code, url, tmp_path], stderr=subprocess.DEVNULL
        )
        while (
            not (tmp_path / ".data.gz.part").exists()
            or not (tmp_path / ".data.gz.part").stat().st_size
        ):
            assert process.poll() is None
            time.sleep(0.01)
        process.kill()
        process.wait()
        assert fetch(tmp_path, url).read_bytes() == PACKED
    assert server.asked[-1]["Range"] == "bytes=100-"


def test_every_attempt_resumes_the_download(tmp_path):
    with serving("drop", "drop", "good") as (server, url):
        fetch(tmp_path, url)
    starts = [int((asked["Range"] or "bytes=0-")[6:-1]) for asked in server.asked]
    assert starts == [0, len(PACKED) // 2, len(PACKED) // 2 + (len(PACKED) - len(PACKED) // 2) // 2]


def test_a_modification_date_is_preferred_to_a_weak_etag(tmp_path):
    with serving("weak", "good") as (server, url):
        fetch(tmp_path, url)
    assert server.asked[-1]["If-Range"] == "Mon, 01 Jan 2024 00:00:00 GMT"


@pytest.mark.parametrize("behavior", ["ignores ranges", "wrong range"])
def test_a_server_without_ranges_restarts_the_download(tmp_path, behavior):
    with serving("drop", behavior, "good") as (server, url):
        assert fetch(tmp_path, url).read_bytes() == PACKED
    assert server.requests == (2 if behavior == "ignores ranges" else 3)


def test_a_file_that_changed_on_the_server_is_downloaded_from_the_start(tmp_path):
    with serving("drop") as (_, url), pytest.raises(DataError):
        fetch(tmp_path, url)
    origin = json.loads((tmp_path / ".data.gz.part.json").read_text())
    (tmp_path / ".data.gz.part.json").write_text(json.dumps(origin | {"validator": '"older"'}))
    with serving("good") as (server, url):
        (tmp_path / ".data.gz.part.json").write_text(
            json.dumps({"url": f"{url}data.gz", "validator": '"older"'})
        )
        fetch(tmp_path, url)
    assert server.requests == 1
    assert server.asked[0]["If-Range"] == '"older"'


def test_a_partial_file_that_is_too_long_is_removed(tmp_path):
    (tmp_path / ".data.gz.part").write_bytes(PACKED[:-1] + b"wrong")
    with serving("good") as (server, url):
        assert fetch(tmp_path, url, digest_of="file").read_bytes() == PACKED
    assert [asked["Range"] for asked in server.asked] == [f"bytes={len(PACKED) + 4}-", None]


def test_a_complete_partial_file_needs_no_server(tmp_path):
    (tmp_path / ".data.gz.part").write_bytes(PACKED)
    with serving("good") as (server, url):
        fetch(tmp_path, url)
    assert server.requests == 0
    assert names(tmp_path) == [".lock", "data.gz"]


@pytest.mark.parametrize(("digest_of", "starts"), [("file", len(PACKED) // 2), ("content", 0)])
def test_another_mirror_resumes_only_if_its_file_is_identical(tmp_path, digest_of, starts):
    with serving("drop") as (_, first), serving("good") as (second, url):
        assert fetch(tmp_path, first, url, digest_of=digest_of).read_bytes() == PACKED
    assert second.asked[0]["Range"] == (f"bytes={starts}-" if starts else None)
    assert second.asked[0]["If-Range"] is None


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff"])
def test_a_damaged_origin_file_restarts_the_download(tmp_path, content):
    (tmp_path / ".data.gz.part").write_bytes(PACKED[:1000])
    (tmp_path / ".data.gz.part.json").write_bytes(content)
    with serving("good") as (server, url):
        fetch(tmp_path, url)
    assert [asked["Range"] for asked in server.asked] == [None]


def test_an_error_without_a_network_mentions_the_connection(tmp_path):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/"
    with pytest.raises(DataError, match=r"(?s)Connection refused.*check the network connection"):
        fetch(tmp_path, url)


def test_offline_accepts_a_local_file_or_says_what_to_put_where(tmp_path):
    with serving("good") as (server, url):
        with pytest.raises(DataError) as caught:
            fetch(tmp_path, url, offline=True)
        (tmp_path / "data.gz").write_bytes(PACKED)
        assert fetch(tmp_path, url, offline=True) == tmp_path / "data.gz"
    assert server.requests == 0
    for said in (
        f"{tmp_path / 'data.gz'} is missing",
        "data.offline",
        f"get it from {url}data.gz",
        hashlib.sha256(CONTENT).hexdigest(),
    ):
        assert said in str(caught.value)


def test_an_existing_file_is_not_requested(tmp_path):
    (tmp_path / "data.gz").write_bytes(gzip.compress(CONTENT, compresslevel=1))
    with serving("good") as (server, url):
        fetch(tmp_path, url)
    assert server.requests == 0


def test_a_damaged_file_is_downloaded_again(tmp_path, capsys):
    (tmp_path / "data.gz").write_bytes(PACKED[:-20])
    with serving("good") as (_, url):
        path = fetch(tmp_path, url)
    assert path.read_bytes() == PACKED
    assert "data.gz is damaged, or another file of this name" in capsys.readouterr().err


def test_a_full_disk_is_reported_in_one_sentence(tmp_path):
    (tmp_path / ".data.gz.part").symlink_to("/dev/full")
    with (
        serving("good") as (_, url),
        pytest.raises(
            UserError, match=r"the disk is full: cannot write .*free some space and run the same"
        ),
    ):
        fetch(tmp_path, url)
    with (
        pytest.raises(OSError, match=os.strerror(errno.ENOSPC)),
        open("/dev/full", "wb", buffering=0) as stream,
    ):
        stream.write(b"x")


def test_a_log_gets_one_line_per_download_and_a_terminal_a_progress_bar(
    tmp_path, capsys, monkeypatch
):
    with serving("drop", "good") as (_, url):
        fetch(tmp_path, url)
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        f"note: downloading {url}data.gz (0.3 MB)",
        f"note: downloading {url}data.gz (0.3 MB), continuing after the first 0.2 MB",
    ]
    monkeypatch.setattr(terminal, "is_terminal", lambda: True)
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "120")
    with terminal.show_download("http://example/data.gz", 1_000_000, 4_000_000) as advance:
        advance(1_000_000)
    assert re.search(r"data\.gz.*2\.0/4\.0 MB", capsys.readouterr().err)

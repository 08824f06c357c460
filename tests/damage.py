"""Ways in which a file that imgcls wrote can be damaged, and the one line that must be said of
it.
"""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import pytest

from imgcls.errors import DataError

Damage = Callable[[Path], None]


def _replace(content: bytes) -> Damage:
    def damage(path: Path) -> None:
        path.write_bytes(content)

    return damage


def _edit(change: Callable[[dict[str, Any]], Any]) -> Damage:
    """Change the JSON object in a file, or in its last line."""

    def damage(path: Path) -> None:
        lines = path.read_text().splitlines()
        earlier, text = (lines[:-1], lines[-1]) if path.suffix == ".jsonl" else ([], "".join(lines))
        changed = json.dumps(change(json.loads(text)))
        path.write_text("".join(f"{line}\n" for line in [*earlier, changed]))

    return damage


def _first(value: dict[str, Any], new: Any) -> dict[str, Any]:
    return {**value, next(key for key in value if key != "format"): new}


def _truncate(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: 2 * len(content) // 3])


def _repeat_key(path: Path) -> None:
    text = path.read_text()
    head, brace, rest = text.rpartition("}")
    key = next(iter(json.loads(text.splitlines()[-1] if path.suffix == ".jsonl" else text)))
    path.write_text(f'{head}, "{key}": 1{brace}{rest}')


def _make_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _make_dangling_link(path: Path) -> None:
    path.unlink()
    path.symlink_to("nowhere")


def _make_link_loop(path: Path) -> None:
    path.unlink()
    path.symlink_to(path.name)


def _make_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def _forbid(path: Path) -> None:
    path.chmod(0)
    if os.geteuid() == 0:
        pytest.skip("root may read everything")


IN_ITS_PLACE: dict[str, Damage] = {
    "folder": _make_folder,
    "dangling link": _make_dangling_link,
    "link loop": _make_link_loop,
    "pipe": _make_pipe,
    "no permission": _forbid,
}
"""Something else lies there, or nobody may read it."""

OF_BYTES: dict[str, Damage] = {
    "empty": _replace(b""),
    "truncated": _truncate,
    "zeros": _replace(bytes(100)),
    "not UTF-8": _replace(b'{"\xff": 1}\n'),
}

OF_JSON: dict[str, Damage] = {
    "not JSON": _replace(b"{'a': 1}\n"),
    "deep": _replace(b"[" * 100_000 + b"]" * 100_000 + b"\n"),
    "deep objects": _replace(b'{"a": ' * 50_000 + b"1" + b"}" * 50_000 + b"\n"),
    "list": _replace(b"[]\n"),
    "number": _replace(b"3\n"),
    "text": _replace(b'"text"\n'),
    "null": _replace(b"null\n"),
    "empty object": _replace(b"{}\n"),
    "key stands twice": _repeat_key,
    "NaN": _edit(lambda value: _first(value, float("nan"))),
    "long number": _replace(b'{"step": ' + b"1" * 10_000 + b"}\n"),
    "unknown key": _edit(lambda value: {**value, "later": 1}),
    "control characters": _edit(lambda value: {**value, "\x1b[31m\n\udcff": 1}),
    "object instead of a value": _edit(lambda value: _first(value, {"a": 1})),
    "true instead of a value": _edit(lambda value: _first(value, True)),
}


def _change_arrays(change: Callable[[dict[str, Any]], Any]) -> Damage:
    def damage(path: Path) -> None:
        with numpy.load(path) as archive:
            arrays = dict(archive)
        change(arrays)
        with path.open("wb") as stream:
            numpy.savez(stream, **arrays)

    return damage


def _pickle(path: Path) -> None:
    with path.open("wb") as stream:
        numpy.save(stream, numpy.array([{"a": 1}], dtype=object), allow_pickle=True)


def _save_one_array(path: Path) -> None:
    with path.open("wb") as stream:
        numpy.save(stream, numpy.arange(3))


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 255
    path.write_bytes(content)


OF_ARRAYS: dict[str, Damage] = {
    "one array": _save_one_array,
    "pickle": _pickle,
    "flipped byte": _flip,
    "pickled array": _change_arrays(
        lambda arrays: arrays.update({next(iter(arrays)): numpy.array([None, {}], dtype=object)})
    ),
    "no array": _change_arrays(dict.clear),
    "unknown array": _change_arrays(lambda arrays: arrays.update(later=numpy.zeros(3))),
    "other shape": _change_arrays(
        lambda arrays: arrays.update({next(iter(arrays)): next(iter(arrays.values()))[..., None]})
    ),
    "other dtype": _change_arrays(
        lambda arrays: arrays.update(
            {next(iter(arrays)): numpy.zeros(next(iter(arrays.values())).shape, numpy.complex64)}
        )
    ),
}

JSON = {**IN_ITS_PLACE, **OF_BYTES, **OF_JSON}
ARRAYS = {**IN_ITS_PLACE, **OF_BYTES, **OF_ARRAYS}


def assert_refused_in_one_line(read: Callable[[], Any], path: Path) -> str:
    """Require that reading a damaged file ends with exit code 3 and one line that names the file,
    in words of our own, and says what to do; return it.
    """
    with pytest.raises(DataError) as caught:
        read()
    message = str(caught.value)
    assert caught.value.exit_code == 3
    assert str(path) in message
    assert message.isprintable(), message
    what, _, advice = message.rpartition("; ")
    assert what, message
    assert advice, message
    assert not any(word in message for word in ("Input", "validation error", "Errno")), message
    return message

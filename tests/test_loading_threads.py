"""The threads that load images end with training, however it ends."""

import weakref

import pytest
from experiments import SGD

from imgcls.errors import DataError, DivergenceError, Interrupted
from imgcls.io.signals import StopRequest
from imgcls.verbs import train


@pytest.mark.parametrize(
    ("reason", "rate"),
    [("the loss is not finite", 1e30), ("image 7 is damaged", 0.1), ("SIGTERM", 0.1)],
)
def test_no_stream_outlives_an_error_as_its_threads_could_never_end_at_the_exit_of_python(
    digits, monkeypatch, reason, rate
):
    from imgcls.input import iterators
    from imgcls.input.batches import Examples

    streams, calls = [], []
    make_iterator, read = iterators.make_iterator, Examples.read

    def remember(*arguments):
        iterator = make_iterator(*arguments)
        streams.append(weakref.ref(iterator._iterator))
        return iterator

    def read_or_fail(examples, positions):
        calls.append(positions)
        if reason == "image 7 is damaged" and len(calls) == 5:
            raise DataError(reason)
        return read(examples, positions)

    monkeypatch.setattr(iterators, "make_iterator", remember)
    monkeypatch.setattr(Examples, "read", read_or_fail)
    if reason == "SIGTERM":
        monkeypatch.setattr(StopRequest, "reason", reason)
    settings = digits("train.device_cache_mib=0", f"train.optimizer={SGD % rate}")
    with pytest.raises((DataError, DivergenceError, Interrupted), match=reason) as caught:
        train.train(settings)
    assert caught.traceback  # its frames hold what they did not let go of
    assert [stream() for stream in streams] == [None, None]

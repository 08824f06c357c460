"""Memory that is used again: only once nobody uses it any more."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy

from imgcls.image import buffers


def address(array):
    return array.__array_interface__["data"][0]


def test_a_batch_is_made_of_the_memory_of_one_that_is_gone():
    batches = buffers.BatchBuffers()
    first, place = batches.acquire((3, 4, 5, 1))
    where = address(first)
    del first
    second, again = batches.acquire((5, 4, 3, 1))
    assert (address(second), again) == (where, place)


def test_memory_to_which_a_view_refers_is_not_used_again():
    batches = buffers.BatchBuffers()
    first, _ = batches.acquire((3, 4, 5, 1))
    first[:] = 7
    row = first[1:2, ::2].T
    del first
    batches.acquire((3, 4, 5, 1))[0][:] = 9
    assert (row == 7).all()


def test_batches_outlive_what_lent_them():
    array, _ = buffers.BatchBuffers().acquire((3, 4, 5, 1))
    array[:] = 7
    assert (array == 7).all()


def test_a_larger_batch_gets_memory_of_its_own():
    batches = buffers.BatchBuffers()
    batches.acquire((3, 4, 5, 1))
    larger, _ = batches.acquire((3000, 4, 5, 1))
    larger[:] = 7
    batches.acquire((3, 4, 5, 1))[0][:] = 9
    assert (larger == 7).all()


def test_tensorflow_takes_a_batch_without_a_copy():
    assert address(buffers.BatchBuffers().acquire((3, 7, 5, 1))[0]) % 64 == 0


def test_threads_that_ask_at_once_get_memory_of_their_own():
    batches = buffers.BatchBuffers()
    with ThreadPoolExecutor(8) as threads:
        lent = list(threads.map(lambda _: batches.acquire((100, 100)), range(200)))
    assert len({place.offset for _, place in lent}) == len(lent)
    for number, (array, _) in enumerate(lent):
        array[:] = number
    assert all((array == number).all() for number, (array, _) in enumerate(lent))


def test_what_a_borrower_writes_from_a_byte_on_is_in_the_batch():
    batches = buffers.BatchBuffers()
    batches.acquire((9, 9))
    array, place = batches.acquire((4, 2, 2, 1))
    array[:] = 1
    borrowed = buffers.MappedBuffers(batches.file)
    borrowed.map(place, 8)
    borrowed.array((1, 2, 2, 1))[:] = 5
    assert array[:, 0, 0, 0].tolist() == [1, 1, 5, 1]


def test_scratch_is_the_same_memory_in_one_thread_and_another_in_the_next():
    scratch, places = buffers.Scratch(), []

    def ask():
        places.append(
            {
                address(scratch.array("decoded", shape))
                for shape in ((40, 50, 3), (4, 5, 1), (40, 50, 3))
            }
        )

    ask()
    thread = threading.Thread(target=ask)
    thread.start()
    thread.join()
    assert len(places[0]) == 1
    assert len(places[0] | places[1]) == 2


def test_what_is_asked_for_by_two_names_does_not_overlap():
    scratch = buffers.Scratch()
    assert not numpy.shares_memory(
        scratch.array("decoded", (4, 5, 3)), scratch.array("smoothed", (4, 5, 3))
    )


def test_very_large_images_are_not_kept():
    scratch = buffers.Scratch()
    first = scratch.array("decoded", (buffers.MAX_SCRATCH + 1,))
    assert not numpy.shares_memory(first, scratch.array("decoded", (buffers.MAX_SCRATCH + 1,)))

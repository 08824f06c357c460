"""Memory that is used again: only once nobody uses it any more."""

import threading

import numpy

from imgcls import buffers


def address(array):
    return array.__array_interface__["data"][0]


def test_a_batch_is_made_of_the_memory_of_one_that_is_gone():
    batches = buffers.Batches()
    first = batches.array((3, 4, 5, 1))
    place = address(first)
    del first
    assert address(batches.array((3, 4, 5, 1))) == place


def test_memory_to_which_a_view_refers_is_not_used_again():
    batches = buffers.Batches()
    first = batches.array((3, 4, 5, 1))
    first[:] = 7
    row = first[1:2, ::2].T
    del first
    batches.array((3, 4, 5, 1))[:] = 9
    assert (row == 7).all()


def test_a_batch_of_another_size_gets_memory_of_its_own():
    batches = buffers.Batches()
    batches.array((3, 4, 5, 1))
    larger = batches.array((300, 4, 5, 1))
    larger[:] = 7
    batches.array((3, 4, 5, 1))[:] = 9
    assert (larger == 7).all()


def test_tensorflow_takes_a_batch_without_a_copy():
    assert address(buffers.Batches().array((3, 7, 5, 1))) % 64 == 0


def test_scratch_is_the_same_memory_in_one_thread_and_another_in_the_next():
    scratch, places = buffers.Scratch(), []

    def ask():
        places.append({address(scratch.array("decoded", shape)) for shape in ((40, 50, 3), (4, 5, 1), (40, 50, 3))})

    ask()
    thread = threading.Thread(target=ask)
    thread.start()
    thread.join()
    assert len(places[0]) == 1
    assert len(places[0] | places[1]) == 2


def test_what_is_asked_for_by_two_names_does_not_overlap():
    scratch = buffers.Scratch()
    assert not numpy.shares_memory(scratch.array("decoded", (4, 5, 3)), scratch.array("smoothed", (4, 5, 3)))


def test_very_large_images_are_not_kept():
    scratch = buffers.Scratch()
    first = scratch.array("decoded", (buffers.LARGEST + 1,))
    assert not numpy.shares_memory(first, scratch.array("decoded", (buffers.LARGEST + 1,)))

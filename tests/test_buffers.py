"""Memory is reused, but only once nothing refers to it."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy

from imgcls.image import buffers


def address(array):
    return array.__array_interface__["data"][0]


def test_the_memory_of_a_deleted_batch_is_reused():
    batches = buffers.BatchBuffers()
    first, region = batches.acquire((3, 4, 5, 1))
    before = address(first)
    del first
    second, again = batches.acquire((5, 4, 3, 1))
    assert (address(second), again) == (before, region)


def test_memory_is_not_reused_while_a_view_refers_to_it():
    batches = buffers.BatchBuffers()
    first, _ = batches.acquire((3, 4, 5, 1))
    first[:] = 7
    row = first[1:2, ::2].T
    del first
    batches.acquire((3, 4, 5, 1))[0][:] = 9
    assert (row == 7).all()


def test_batches_outlive_their_buffers():
    array, _ = buffers.BatchBuffers().acquire((3, 4, 5, 1))
    array[:] = 7
    assert (array == 7).all()


def test_a_larger_batch_gets_its_own_memory():
    batches = buffers.BatchBuffers()
    batches.acquire((3, 4, 5, 1))
    larger, _ = batches.acquire((3000, 4, 5, 1))
    larger[:] = 7
    batches.acquire((3, 4, 5, 1))[0][:] = 9
    assert (larger == 7).all()


def test_batches_are_aligned_so_that_tensorflow_does_not_copy_them():
    assert address(buffers.BatchBuffers().acquire((3, 7, 5, 1))[0]) % 64 == 0


def test_concurrent_threads_get_their_own_memory():
    batches = buffers.BatchBuffers()
    with ThreadPoolExecutor(8) as threads:
        acquired = list(threads.map(lambda _: batches.acquire((100, 100)), range(200)))
    assert len({region.offset for _, region in acquired}) == len(acquired)
    for number, (array, _) in enumerate(acquired):
        array[:] = number
    assert all((array == number).all() for number, (array, _) in enumerate(acquired))


def test_a_batch_contains_what_another_process_writes():
    batches = buffers.BatchBuffers()
    batches.acquire((9, 9))
    array, region = batches.acquire((4, 2, 2, 1))
    array[:] = 1
    mapped = buffers.MappedBuffers(batches.file)
    mapped.map(region, 8)
    mapped.allocate((1, 2, 2, 1))[:] = 5
    assert array[:, 0, 0, 0].tolist() == [1, 1, 5, 1]


def test_scratch_memory_is_reused_within_a_thread_but_not_across_threads():
    scratch, addresses = buffers.Scratch(), []

    def use():
        addresses.append(
            {
                address(scratch.get_array("decoded", shape))
                for shape in ((40, 50, 3), (4, 5, 1), (40, 50, 3))
            }
        )

    use()
    thread = threading.Thread(target=use)
    thread.start()
    thread.join()
    assert len(addresses[0]) == 1
    assert len(addresses[0] | addresses[1]) == 2


def test_arrays_with_different_names_do_not_overlap():
    scratch = buffers.Scratch()
    assert not numpy.shares_memory(
        scratch.get_array("decoded", (4, 5, 3)), scratch.get_array("smoothed", (4, 5, 3))
    )


def test_memory_of_very_large_images_is_not_reused():
    scratch = buffers.Scratch()
    first = scratch.get_array("decoded", (buffers.MAX_SCRATCH + 1,))
    assert not numpy.shares_memory(first, scratch.get_array("decoded", (buffers.MAX_SCRATCH + 1,)))

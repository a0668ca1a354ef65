"""Learning how many rows a forward pass takes."""

from __future__ import annotations

from longshore.workers.models.batch_size import MIN_BATCHES, MIN_GAIN, NO_LENGTH, BatchSizes, LearnedBatchSize, bucket


def run(sizes: BatchSizes, rate_of: dict[int, float], batches: int) -> int:
    """Feed it batches whose rate depends on their size alone; gives the size it ends with."""
    for _ in range(batches):
        rows = sizes.rows(NO_LENGTH)
        sizes.record(NO_LENGTH, rows, rows / rate_of[rows])
    return sizes.rows(NO_LENGTH)


def test_it_grows_while_that_is_faster() -> None:
    sizes = BatchSizes(32, 1024)
    assert run(sizes, {32: 100.0, 64: 180.0, 128: 300.0, 256: 301.0}, MIN_BATCHES * 4) == 128
    assert sizes.learned == {NO_LENGTH: LearnedBatchSize(128, 300.0, settled=True)}


def test_what_is_settled_is_not_measured_again() -> None:
    sizes = BatchSizes(32, 1024, known={NO_LENGTH: LearnedBatchSize(128, 300.0, settled=True)})
    assert run(sizes, {128: 1.0}, 50) == 128
    assert sizes.learned == {}


def test_what_is_not_settled_is_measured_anew_and_goes_on_growing() -> None:
    sizes = BatchSizes(32, 1024, known={NO_LENGTH: LearnedBatchSize(128, 1e9)})
    rate_of = {128: 300.0, 256: 300.0 * MIN_GAIN * 1.01, 512: 1.0}
    assert run(sizes, rate_of, MIN_BATCHES * 3) == 256
    assert sizes.learned == {NO_LENGTH: LearnedBatchSize(256, 300.0 * MIN_GAIN * 1.01, settled=True)}


def test_it_shrinks_where_the_first_doubling_is_slower() -> None:
    sizes = BatchSizes(32, 1024)
    assert run(sizes, {32: 100.0, 64: 90.0, 16: 110.0, 8: 120.0, 4: 121.0}, MIN_BATCHES * 5) == 8
    assert sizes.learned == {NO_LENGTH: LearnedBatchSize(8, 120.0, settled=True)}


def test_it_stays_where_neither_is_faster() -> None:
    sizes = BatchSizes(32, 1024)
    assert run(sizes, {32: 100.0, 64: 101.0, 16: 101.0}, MIN_BATCHES * 3) == 32
    assert sizes.learned == {NO_LENGTH: LearnedBatchSize(32, 100.0, settled=True)}


def test_what_has_grown_does_not_shrink() -> None:
    sizes = BatchSizes(32, 1024)
    assert run(sizes, {32: 100.0, 64: 200.0, 128: 150.0}, MIN_BATCHES * 6) == 64


def test_it_shrinks_to_a_single_row() -> None:
    sizes = BatchSizes(2, 1024)
    assert run(sizes, {2: 100.0, 4: 90.0, 1: 200.0}, MIN_BATCHES * 10) == 1
    assert sizes.learned[NO_LENGTH].settled


def test_it_never_exceeds_the_largest() -> None:
    sizes = BatchSizes(512, 1000)
    assert run(sizes, {512: 100.0}, MIN_BATCHES) == 512
    assert sizes.learned[NO_LENGTH].settled
    assert BatchSizes(4096, 1000).rows(NO_LENGTH) == 1000


def test_batches_of_other_sizes_say_nothing() -> None:
    sizes = BatchSizes(32, 1024)
    for _ in range(100):
        sizes.record(NO_LENGTH, 7, 0.001)
    assert (sizes.rows(NO_LENGTH), sizes.learned) == (32, {})


def test_a_size_that_does_not_fit_is_halved_for_good() -> None:
    sizes = BatchSizes(32, 1024)
    assert run(sizes, {32: 100.0, 64: 200.0, 128: 300.0}, MIN_BATCHES * 2) == 128
    assert sizes.record_out_of_memory(NO_LENGTH, 128) == 64
    assert run(sizes, {64: 500.0}, 50) == 64
    assert sizes.learned[NO_LENGTH] == LearnedBatchSize(64, 0.0, settled=True)


def test_a_given_size_is_honoured_and_halved() -> None:
    sizes = BatchSizes(100, 100, fixed=100)
    assert run(sizes, {100: 1.0}, 20) == 100
    assert [sizes.record_out_of_memory(NO_LENGTH, rows) for rows in (100, 50, 3)] == [50, 25, 1]
    assert (sizes.rows(NO_LENGTH), sizes.learned) == (1, {})


def test_lengths_are_learned_apart() -> None:
    sizes = BatchSizes(32, 1024)
    assert [bucket(length) for length in (1, 16, 17, 128, 129)] == [16, 16, 32, 128, 256]
    sizes.record_out_of_memory(256, 32)
    assert (sizes.rows(256), sizes.rows(16)) == (16, 32)


def test_small_jobs_together_teach_more_than_their_own_size() -> None:
    """400 rows at a time: passes of 512 are never full, and yet they show that more rows are no slower."""
    sizes, passes = BatchSizes(32, 1024), []
    for _ in range(200):
        left = 400
        while left:
            rows = min(left, sizes.rows(NO_LENGTH))
            sizes.record(NO_LENGTH, rows, 0.02 + rows * 0.0001)
            left -= rows
            passes.append(rows)
    assert passes[-1] == 400
    assert sizes.learned[NO_LENGTH].rows == 512


def test_batches_that_are_hardly_larger_settle_nothing() -> None:
    sizes = BatchSizes(32, 1024)
    run(sizes, {32: 100.0}, MIN_BATCHES)
    for _ in range(100):
        sizes.record(NO_LENGTH, 33, 33 / 101.0)
    assert sizes.rows(NO_LENGTH) == 64
    assert not sizes.learned[NO_LENGTH].settled


def test_the_rest_of_a_window_tells_nothing() -> None:
    sizes = BatchSizes(32, 1024)
    for _ in range(100):
        sizes.record(NO_LENGTH, 31, 1e-9)
        sizes.record(NO_LENGTH, 33, 1e-9)
    assert (sizes.rows(NO_LENGTH), sizes.learned) == (32, {})

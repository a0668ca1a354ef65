"""``--devices`` and what the machine has."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longshore.shared.devices import DeviceSlot, Machine, detect_machine, parse_devices, visible_gpus
from longshore.shared.errors import InvalidInput

EIGHT = Machine(cores=tuple(range(8)))
TWO_GPUS = Machine(cores=tuple(range(8)), gpus=("2", "GPU-1f"))


@pytest.mark.parametrize("text", ["auto", "cpu", "cpu:1"])
def test_without_a_gpu_one_worker_has_all_cores(text: str) -> None:
    assert parse_devices(text, EIGHT) == (DeviceSlot("cpu:0", "cpu", EIGHT.cores, 8),)


@pytest.mark.parametrize("text", ["auto", "cuda", "cuda:0,cuda:1", "cuda:0, cuda:1"])
def test_every_gpu_is_a_slot_and_sees_itself_alone(text: str) -> None:
    assert parse_devices(text, TWO_GPUS) == (
        DeviceSlot("cuda:0", "gpu", (0, 1, 2, 3), 4, 0, "2"),
        DeviceSlot("cuda:1", "gpu", (4, 5, 6, 7), 4, 1, "GPU-1f"),
    )


def test_cpu_workers_and_a_gpu_share_the_cores() -> None:
    slots = parse_devices("cpu:2,cuda:1", TWO_GPUS)
    assert [(slot.name, slot.queue, slot.cuda_visible) for slot in slots] == [
        ("cpu:0", "cpu", ""),
        ("cpu:1", "cpu", ""),
        ("cuda:1", "gpu", "GPU-1f"),
    ]
    assert sorted(core for slot in slots for core in slot.cores) == list(range(8))


def test_several_gpus_are_one_slot_that_sees_them_all() -> None:
    machine = Machine(cores=tuple(range(8)), gpus=("2", "GPU-1f", "5"))
    both, single = parse_devices("cuda:0 + cuda:1, cuda:2", machine)
    assert both == DeviceSlot("cuda:0+cuda:1", "gpu", (0, 1, 2, 3), 4, 0, "2,GPU-1f")
    assert (both.devices, single.devices) == (2, 1)
    assert single.cuda_visible == "5"


@given(cores=st.sets(st.integers(0, 255), min_size=1, max_size=64), data=st.data())
def test_every_core_goes_to_one_cpu_worker_and_none_is_left_without(cores: set[int], data: st.DataObject) -> None:
    count = data.draw(st.integers(1, len(cores)))
    slots = parse_devices(f"cpu:{count}", Machine(tuple(sorted(cores))))
    assert [slot.name for slot in slots] == [f"cpu:{index}" for index in range(count)]
    assert sorted(core for slot in slots for core in slot.cores) == sorted(cores)
    sizes = {slot.threads for slot in slots}
    assert max(sizes) - min(sizes) <= 1
    assert min(sizes) >= 1


def test_more_gpus_than_cores_share_them_in_turn() -> None:
    slots = parse_devices("auto", Machine(cores=(3,), gpus=("0", "1")))
    assert [slot.cores for slot in slots] == [(3,), (3,)]


@pytest.mark.parametrize(
    ("text", "machine", "reason"),
    [
        ("cpu:9", EIGHT, "1 to 8"),
        ("cpu:0", EIGHT, "1 to 8"),
        ("cuda:0", EIGHT, "sees no GPU"),
        ("cuda:2", TWO_GPUS, "sees 2 GPUs"),
        ("cuda:1,cuda:1", TWO_GPUS, "names cuda:1 twice"),
        ("cuda,cuda:1", TWO_GPUS, "names cuda:1 twice"),
        ("cuda:0+cuda:1,cuda:1", TWO_GPUS, "names cuda:1 twice"),
        ("cuda:0+cuda:0", TWO_GPUS, "names cuda:0 twice"),
        ("cuda:0+cuda:2", TWO_GPUS, "sees 2 GPUs"),
        *(
            (bad, TWO_GPUS, "the forms are auto, cpu")
            for bad in (
                "cuda:0+cpu",
                "cuda:0+",
                "cuda+cuda:1",
                "+",
                "",
                "gpu",
                "cpu:",
                "cpu:two",
                "auto,cpu",
                "cuda:-1",
                ",",
            )
        ),
    ],
)
def test_what_cannot_be_had_is_refused(text: str, machine: Machine, reason: str) -> None:
    with pytest.raises(InvalidInput, match=reason) as refused:
        parse_devices(text, machine)
    assert refused.value.field == "devices"


@pytest.mark.parametrize(
    ("variable", "present", "seen"),
    [
        (None, 2, ("0", "1")),
        ("", 2, ()),
        ("-1", 2, ()),
        ("1,0", 2, ("1", "0")),
        ("0,7,1", 2, ("0",)),
        ("GPU-1f, MIG-2", 2, ("GPU-1f", "MIG-2")),
        ("0", 0, ()),
    ],
)
def test_hidden_gpus_are_not_seen(variable: str | None, present: int, seen: tuple[str, ...]) -> None:
    assert visible_gpus(variable, present) == seen


def test_this_machine_has_the_cores_this_process_may_use() -> None:
    machine = detect_machine({"CUDA_VISIBLE_DEVICES": ""})
    assert machine.gpus == ()
    allowed = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1)
    assert set(machine.cores) == set(allowed)


def test_looking_at_the_machine_imports_no_torch() -> None:
    code = "import sys, longshore.shared.devices as it; it.detect_machine(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

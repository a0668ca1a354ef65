from __future__ import annotations

from pathlib import Path

from longshore.broker.embedded.plan import Plan, Service


def test_longshores_own_services_stop_workers_first_and_give_them_time() -> None:
    services = Plan(home=Path("/home"), devices="cpu:2").build_services(7000)
    assert [service.name for service in services] == ["flower", "relay", "workers"]
    assert services[-1].argv[-2:] == ("--devices", "cpu:2")
    assert services[-1].grace_s >= 60
    assert services[0].argv[-4:] == ("--address", "127.0.0.1", "--port", "7000")


def test_flower_can_be_left_out() -> None:
    services = Plan(home=Path("/home"), flower=False).build_services(7000)
    assert [service.name for service in services] == ["relay", "workers"]


def test_a_plan_survives_its_way_to_the_background() -> None:
    plan = Plan(home=Path("/a home"), redis_port=7000, services=(Service(name="x", argv=("a", "b")),), migrate=())
    assert Plan.model_validate_json(plan.model_dump_json()) == plan

from __future__ import annotations

from pathlib import Path

from longshore.broker.embedded.plan import Plan, Service
from longshore.shared.settings import Process


def test_longshores_own_services_stop_the_gateway_and_the_workers_first_and_give_them_time() -> None:
    services = Plan(home=Path("/home"), devices="cpu:2").build_services(flower_port=7000, gateway_port=7001)
    assert [service.name for service in services] == ["flower", "relay", "workers", "gateway"]
    flower, _, workers, gateway = services
    assert workers.argv[-2:] == ("--devices", "cpu:2")
    assert workers.grace_s >= 60
    assert flower.argv[-4:] == ("--address", "127.0.0.1", "--port", "7000")
    assert gateway.argv[-4:] == ("--address", "127.0.0.1", "--port", "7001")
    assert gateway.process is Process.GATEWAY


def test_flower_and_the_gateway_can_be_left_out() -> None:
    services = Plan(home=Path("/home"), flower=False, gateway=False).build_services()
    assert [service.name for service in services] == ["relay", "workers"]


def test_services_of_a_test_come_without_the_gateway() -> None:
    plan = Plan(home=Path("/home"), services=())
    assert plan.build_services() == ()
    assert not plan.with_gateway


def test_a_plan_survives_its_way_to_the_background() -> None:
    plan = Plan(home=Path("/a home"), redis_port=7000, services=(Service(name="x", argv=("a", "b")),), migrate=())
    assert Plan.model_validate_json(plan.model_dump_json()) == plan

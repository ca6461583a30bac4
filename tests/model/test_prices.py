"""The fixed cost: what is counted, what it adds up to, and where the prices are from."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from model import prices
from model.settings import Environment, read_environment

ROOT = Path(__file__).parents[2]


def costs(**changes: Any) -> list[prices.Item]:
    text = (ROOT / "stacks" / "Pulumi.prod.yaml").read_text()
    values, problems = read_environment(
        yaml.safe_load(text)["config"]["gatepost:environment"] | changes
    )
    assert problems == []
    return prices.environment_cost(Environment(**values))


def test_what_a_company_would_run_has_its_sum_and_its_date() -> None:
    said = prices.describe(costs(), "us-east-1")
    # By hand: two t4g.small and a t4g.medium, two NAT gateways, four addresses, three root and
    # queue volumes, one for mail and two for certificates, three keys, two zones and an alias's.
    total = 730 * (2 * 0.0168 + 0.0336 + 2 * 0.045 + 4 * 0.005)
    total += 0.08 * (3 * (8 + 16) + 100 + 2) + 3 * 1.0 + 3 * 0.5
    lines = said.splitlines()
    assert lines[0].startswith("prices: us-east-1, on demand, USD, noted 2026-11 (")
    assert "where others hold" not in said
    assert lines[-1].split() == ["fixed", "cost", "a", "month", f"{total:.2f}"]
    assert [line.split()[0] for line in lines[1:-1]] == ["1", "2", "2", "4", "174", "3", "3"]


def test_a_type_that_is_not_in_the_table_is_not_forgotten() -> None:
    said = prices.describe(costs(instance_type="m7g.large"), "us-east-1")
    assert re.search(r"2 x m7g\.large +not in the table", said)
    assert said.endswith(" and more")


@pytest.mark.parametrize("region", ["eu-central-1", "ap-northeast-1"])
def test_another_region_than_the_table_s_is_told(region: str) -> None:
    first = prices.describe(costs(), region).splitlines()[0]
    assert first.endswith(f"; this stack is in {region}, where others hold")

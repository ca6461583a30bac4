"""A `World` to JSON and back."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.world.model import Instance, Volume, World
from lab.world.read import from_json, to_json
from tests.lab.network.worlds import company

worlds = st.builds(
    World,
    region=st.text(),
    account=st.text(),
    pointers=st.lists(st.tuples(st.text(), st.text())).map(tuple),
    instances=st.lists(st.from_type(Instance), max_size=3).map(tuple),
    stopped=st.lists(st.text()).map(tuple),
    volumes=st.lists(st.from_type(Volume), max_size=3).map(tuple),
)


@given(worlds)
def test_nothing_is_lost(world: World) -> None:
    assert from_json(to_json(world)) == world


def test_the_whole_company_survives() -> None:
    assert from_json(to_json(company())) == company()


def test_user_data_stays_byte_for_byte() -> None:
    (first, *rest) = company().instances
    data = bytes(range(256))
    world = replace(company(), instances=(replace(first, user_data=data), *rest))
    assert from_json(to_json(world)).instances[0].user_data == data


def test_a_missing_part_is_an_error() -> None:
    with pytest.raises(KeyError, match="vpcs"):
        from_json('{"region": "r", "account": "a"}')

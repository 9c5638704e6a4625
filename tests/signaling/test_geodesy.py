"""Two coordinate systems, and the way there and back."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signaling import geodesy

METRE = 1 / 111_000
"""In degrees of latitude."""


def test_a_well_known_pair_agrees() -> None:
    """Tiananmen, as map services publish it in both systems, six digits."""
    longitude, latitude = geodesy.to_gcj02(116.404, 39.915)
    assert (round(longitude, 5), round(latitude, 5)) == (116.41024, 39.91640)


@given(st.floats(73.1, 137.7), st.floats(1.0, 55.7))
def test_there_and_back_is_within_a_centimetre(longitude: float, latitude: float) -> None:
    back = geodesy.to_wgs84(*geodesy.to_gcj02(longitude, latitude))
    assert math.dist(back, (longitude, latitude)) < 0.01 * METRE


@given(st.floats(75, 135), st.floats(4, 53))
def test_the_shift_is_of_hundreds_of_metres(longitude: float, latitude: float) -> None:
    assert 0 < math.dist(geodesy.to_gcj02(longitude, latitude), (longitude, latitude)) < 2_000 * METRE


@pytest.mark.parametrize("place", [(0.0, 0.0), (-112.8, 27.2), (112.8, -27.2), (150.0, 30.0)])
def test_elsewhere_both_are_the_same(place: tuple[float, float]) -> None:
    assert geodesy.to_gcj02(*place) == geodesy.to_wgs84(*place) == place

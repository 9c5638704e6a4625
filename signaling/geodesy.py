"""Between the two coordinate systems in use: GCJ-02, in which our maps are drawn, and WGS 84, in which others write.

Pure.  The shift is the public approximation of GCJ-02, good to a few metres; the way back repeats it until it
meets itself.  Outside the box it is defined for, both are the same.
"""

from __future__ import annotations

import math

SEMI_MAJOR_M = 6_378_245.0
ECCENTRICITY_2 = 0.006_693_421_622_965_943
"""Of the ellipsoid of Krasovsky, 1940."""
WEST, EAST, SOUTH, NORTH = 72.004, 137.8347, 0.8293, 55.8271
ROUNDS = 6
"""Each leaves less than a thousandth of the error."""


def to_gcj02(longitude: float, latitude: float) -> tuple[float, float]:
    """Return (longitude, latitude) in GCJ-02 of a WGS 84 position, degrees."""
    if not (WEST <= longitude <= EAST and SOUTH <= latitude <= NORTH):
        return longitude, latitude
    east, north = _shift(longitude - 105.0, latitude - 35.0)
    sine = math.sin(math.radians(latitude))
    bulge = 1 - ECCENTRICITY_2 * sine * sine
    metres_north = math.radians(SEMI_MAJOR_M * (1 - ECCENTRICITY_2) / (bulge * math.sqrt(bulge)))
    metres_east = math.radians(SEMI_MAJOR_M / math.sqrt(bulge) * math.cos(math.radians(latitude)))
    return longitude + east / metres_east, latitude + north / metres_north


def to_wgs84(longitude: float, latitude: float) -> tuple[float, float]:
    """Return (longitude, latitude) in WGS 84 of a GCJ-02 position, degrees."""
    guess = longitude, latitude
    for _ in range(ROUNDS):
        there = to_gcj02(*guess)
        guess = guess[0] + longitude - there[0], guess[1] + latitude - there[1]
    return guess


def _shift(x: float, y: float) -> tuple[float, float]:
    """Return metres (east, north) at ``x``, ``y`` degrees from 105 E, 35 N."""
    root, both = math.sqrt(abs(x)), _waves(x, (6, 20.0), (2, 20.0))
    east = 300 + x + 2 * y + 0.1 * x * x + 0.1 * x * y + 0.1 * root
    east += both + _waves(x, (1, 20.0), (1 / 3, 40.0)) + _waves(x, (1 / 12, 150.0), (1 / 30, 300.0))
    north = -100 + 2 * x + 3 * y + 0.2 * y * y + 0.1 * x * y + 0.2 * root
    north += both + _waves(y, (1, 20.0), (1 / 3, 40.0)) + _waves(y, (1 / 12, 160.0), (1 / 30, 320.0))
    return east, north


def _waves(at: float, *waves: tuple[float, float]) -> float:
    """Return two thirds of the sum of sines of ``at`` half turns, each with its frequency and height."""
    return sum(height * math.sin(frequency * at * math.pi) for frequency, height in waves) * 2 / 3

"""The storm bench, small: what it counts adds up."""

import json

import pytest
from typer.testing import CliRunner

from gateway.bench import app


@pytest.mark.long
def test_a_small_storm_loses_nothing_and_its_urgent_alarm_is_seen() -> None:
    arguments = ["storm", "--sources", "60", "--seconds", "1", "--flapping", "20", "--seed", "7", "--json"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    figures = json.loads(result.output.splitlines()[-1])
    assert (figures["alarms"], figures["accepted"], figures["at_county"]) == (81, 81, 81)
    assert (figures["lost"], figures["refused"]) == (0, 0)
    assert figures["first_p1_card_s"] < 60
    assert figures["first_p1_picture_s"] < 60
    assert figures["card_messages"] < 81

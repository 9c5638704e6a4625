"""The engine's counters are typed, and nothing but integers comes through."""

from media.stats import growth, read

RAW = {
    "engine": {"packets_in": 10, "drop_replay": 2, "drop_srtp_auth": 0, "version": "x"},
    "transports": {3: {"rtt_us_now": 400, "packets_in": 9}},
    "sources": {4: {"packets": 9, "codec": "vp8"}},
    "sinks": {},
}


def test_counters_are_read_by_id() -> None:
    stats = read(RAW)
    assert stats.transports[3]["rtt_us_now"] == 400
    assert stats.sources[4] == {"packets": 9}
    assert stats.drops == {"replay": 2, "srtp_auth": 0}


def test_growth_leaves_momentary_values_alone() -> None:
    assert growth({"packets": 5, "rtt_us_now": 900}, {"packets": 9, "rtt_us_now": 400, "bytes": 7}) == {
        "packets": 4,
        "rtt_us_now": 400,
        "bytes": 7,
    }

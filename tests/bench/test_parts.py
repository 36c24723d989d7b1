"""What the benchmarks measure is what they say; no time is asserted."""

from xinglin.bench import imports, sizes


def test_a_consent_change_and_an_access_stay_within_600_bytes_of_bodies() -> None:
    found = sizes.run()
    assert 0 < found["consent_change_body_bytes"] <= 600 and 0 < found["access_body_bytes"] <= 600
    assert found["access_signed_bytes"] > found["access_body_bytes"]


def test_the_import_that_is_timed_takes_in_the_whole_sample_and_nothing_twice() -> None:
    found = imports.run()
    assert found["resources"] == found["unchanged"] == 1_614 and found["import_per_s"] > 0

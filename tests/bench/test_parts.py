"""What the benchmarks measure is what they say; no time is asserted."""

from xinglin.bench import checking, imports, sizes

BODY_BYTES_MAX = 600               # design.md 9


def test_a_consent_change_and_an_access_have_the_sizes_that_the_docs_say() -> None:
    found = sizes.run()
    assert found == {"consent_change_body_bytes": 227, "access_body_bytes": 567,
                     "consent_change_signed_bytes": 297, "access_signed_bytes": 709}
    assert max(found["consent_change_body_bytes"], found["access_body_bytes"]) <= BODY_BYTES_MAX


def test_the_import_that_is_timed_takes_in_the_whole_sample_and_nothing_twice() -> None:
    found = imports.run()
    assert found["resources"] == found["unchanged"] == 1_614 and found["import_per_s"] > 0


def test_what_is_checked_is_all_that_was_ordered() -> None:
    found = checking.run(200)
    assert found["transactions"] >= 200 and found["receipts"] == found["transactions"] and found["height"] > 0

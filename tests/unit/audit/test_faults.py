from services.audit.faults import FaultList, fault


def test_faults_are_kept_once_up_to_a_limit_and_counted_beyond() -> None:
    faults = FaultList(limit=3)
    faults.add(fault("k", str(number), "d") for number in (1, 2, 2, 3, 4, 5))
    assert [item.subject for item in faults.kept] == ["1", "2", "3"]
    assert faults.count == 5


def test_texts_of_tampered_rows_fit_into_a_report() -> None:
    found = fault("k", "a\x00b" * 10_000, "")
    assert len(found.subject) == 2_000
    assert "\x00" not in found.subject

import pytest

from generalist.demonstrations.journal import Journal, journal_path, read_journal

RECORDS = [b"one", b"", b"three" * 100]


def written(path, records=RECORDS):
    journal = Journal(path)
    for record in records:
        journal.append(record)
    return journal


def test_records_come_back_in_order(tmp_path):
    journal = written(tmp_path / "j")
    assert list(journal.records()) == RECORDS
    again = Journal(tmp_path / "j")
    again.append(b"four")
    assert list(read_journal(tmp_path / "j")) == [*RECORDS, b"four"]
    assert again.count == 4


def test_no_file_is_an_empty_journal(tmp_path):
    journal = Journal(tmp_path / "j")
    assert (journal.count, list(journal.records())) == (0, [])
    journal.remove()


@pytest.mark.parametrize("cut", range(1, 510, 37))
def test_a_record_that_was_cut_is_written_again(tmp_path, cut):
    path = tmp_path / "j"
    written(path)
    path.write_bytes(path.read_bytes()[:-cut])
    journal = Journal(path)
    assert journal.count == 2
    journal.append(b"anew")
    assert list(read_journal(path)) == [*RECORDS[:2], b"anew"]


def test_what_follows_a_damaged_record_is_gone_once_another_is_written(tmp_path):
    """A shorter record must not leave the end of the old one behind it."""
    path = tmp_path / "j"
    written(path)
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    journal = Journal(path)
    journal.append(b"x")
    assert path.stat().st_size == sum(12 + len(record) for record in (*RECORDS[:2], b"x"))


def test_a_damaged_record_ends_what_counts(tmp_path):
    path = tmp_path / "j"
    written(path)
    data = bytearray(path.read_bytes())
    data[12] ^= 1  # the first byte of "one"
    path.write_bytes(data)
    assert Journal(path).count == 0


def test_a_length_beyond_the_file_reserves_no_memory(tmp_path):
    path = tmp_path / "j"
    path.write_bytes(b"\xff" * 12 + b"rest")
    assert list(read_journal(path)) == []


def test_it_stands_beside_its_shard(tmp_path):
    assert journal_path(tmp_path / "x-00000-of-00002").name == ".journal-x-00000-of-00002"

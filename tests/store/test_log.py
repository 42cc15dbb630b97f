import json
import os

import pytest

from dale.errors import CorruptError, DiskError
from dale.store import Log


@pytest.fixture
def log(tmp_path):
    log = Log(tmp_path / "log.jsonl")
    for name in ("a", "a", "b"):
        log.add({"trajectory": name, "loss": 0.5})
    return log


def test_lines_are_added_and_cut(log):
    size = log.size
    log.add({"trajectory": "c", "loss": float("nan")})
    lines = log.path.read_text().splitlines()
    assert json.loads(lines[-1]) == {"trajectory": "c", "loss": None}
    log.cut(size)
    assert log.size == size
    log.cut(size + 1)
    assert log.size == size


def test_what_is_known_of_the_beginning_holds_while_it_grows(log):
    size, digest = log.size, log.digest
    log.check(size, digest)
    log.add({"trajectory": "c"})
    log.check(size, digest)
    log.check(0, Log(log.path.with_name("none")).digest)


def test_a_cut_a_missing_and_an_altered_log(log):
    size, digest = log.size, log.digest
    content = log.path.read_bytes()
    log.path.write_bytes(content.replace(b"0.5", b"0.4", 1))
    log.check(size)
    with pytest.raises(CorruptError, match=rf"was altered: its first {size} bytes"):
        log.check(size, digest)
    log.path.write_bytes(content[:-1])
    with pytest.raises(CorruptError, match=rf"was cut: .*{size - 1} .* least {size}"):
        log.check(size, digest)
    log.path.unlink()
    with pytest.raises(CorruptError, match=r"log\.jsonl is missing"):
        log.check(size, digest)


@pytest.mark.parametrize("rest", [b'{"trajectory": "z"', b"[]\n", b"{}\n", b"<\n"])
def test_where_the_lines_of_a_trajectory_begin(rest, log):
    whole = log.size
    line = whole // 3
    assert [log.before(name) for name in "abc"] == [0, 2 * line, whole]
    with open(log.path, "ab") as file:
        file.write(rest)
    assert log.before("c") == whole
    assert Log(log.path.with_name("none")).before("a") == 0


def test_a_disk_that_refuses(log, monkeypatch):
    def refuse(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(DiskError, match=r"log\.jsonl: No space left on device"):
        log.sync()

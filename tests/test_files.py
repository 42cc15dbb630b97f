import errno
import os
import stat
import threading

import pytest

from dale import files
from dale.errors import DiskError
from dale.files import PARTIAL, replacing, sweep, write_text, write_together


def partial(folder):
    return list(folder.rglob(f"*{PARTIAL}"))


def test_a_file_is_made_with_its_folders(tmp_path):
    path = tmp_path / "a" / "b" / "c.txt"
    write_text(path, "π\n")
    assert path.read_text("utf-8") == "π\n"
    assert not partial(tmp_path)


def test_the_usual_permissions_apply(tmp_path):
    write_text(tmp_path / "ours", "x")
    (tmp_path / "usual").write_text("x")
    modes = [stat.S_IMODE((tmp_path / n).stat().st_mode) for n in ("ours", "usual")]
    assert modes[0] == modes[1]


@pytest.mark.parametrize("error", [ValueError("x"), KeyboardInterrupt(), SystemExit()])
def test_whatever_the_block_raises_leaves_the_old_file(error, tmp_path):
    path = tmp_path / "a.txt"
    write_text(path, "old")

    def write():
        with replacing(path) as temporary:
            temporary.write_text("half")
            raise error

    with pytest.raises(type(error)):
        write()
    assert path.read_text() == "old"
    assert not partial(tmp_path)


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO])
@pytest.mark.parametrize("call", ["fsync", "replace", "chmod"])
def test_a_disk_that_refuses(code, call, tmp_path, monkeypatch):
    path = tmp_path / "a.txt"
    write_text(path, "old")

    def refuse(*arguments):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(files.os, call, refuse)
    with pytest.raises(DiskError, match=rf"a\.txt: {os.strerror(code)}; .* intact"):
        write_text(path, "new")
    monkeypatch.undo()
    assert path.read_text() == "old"
    assert not partial(tmp_path)


def refusing_from(monkeypatch, call, first):
    """Let the disk refuse from the n-th call on, counted from 0."""
    real, calls = getattr(os, call), iter(range(10**6))

    def refuse(*arguments):
        if next(calls) >= first:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(*arguments)

    monkeypatch.setattr(files.os, call, refuse)


def test_a_refused_first_write_does_not_speak_of_earlier_content(tmp_path, monkeypatch):
    refusing_from(monkeypatch, "fsync", 0)
    with pytest.raises(DiskError, match=r"No space left on device; nothing was lost$"):
        write_text(tmp_path / "a.txt", "new")
    assert list(tmp_path.iterdir()) == []


def test_a_refusal_after_the_rename_says_that_the_new_content_is_there(
    tmp_path, monkeypatch
):
    write_text(tmp_path / "a.txt", "old")
    refusing_from(monkeypatch, "fsync", 1)
    with pytest.raises(DiskError, match="the new content is there"):
        write_text(tmp_path / "a.txt", "new")
    assert (tmp_path / "a.txt").read_text() == "new"


@pytest.mark.parametrize("first", [0, 1])
def test_files_that_belong_together_change_together(first, tmp_path, monkeypatch):
    paths = [tmp_path / "a.txt", tmp_path / "b.txt"]
    write_together(dict.fromkeys(paths, "old"))
    assert [path.read_text() for path in paths] == ["old", "old"]
    refusing_from(monkeypatch, "fsync", first)
    with pytest.raises(DiskError, match=r"\.txt: No space left .*intact"):
        write_together(dict.fromkeys(paths, "new"))
    assert [path.read_text() for path in paths] == ["old", "old"]
    assert not partial(tmp_path)


def test_a_message_of_a_library_that_hides_the_number(tmp_path):
    def write(text):
        with replacing(tmp_path / "a"):
            raise RuntimeError(text)

    with pytest.raises(DiskError, match="os error 28"):
        write("I/O error: No space left on device (os error 28)")
    with pytest.raises(RuntimeError, match="something else"):
        write("something else")


def test_a_file_where_a_folder_must_be(tmp_path):
    (tmp_path / "a").write_text("mine")
    with pytest.raises(DiskError, match="could not write"):
        write_text(tmp_path / "a" / "b", "x")
    assert (tmp_path / "a").read_text() == "mine"


def test_readers_see_a_whole_file_at_every_moment(tmp_path):
    path, done = tmp_path / "a.txt", threading.Event()
    texts = {"a" * 5000, "b" * 7000}
    write_text(path, "a" * 5000)

    def write():
        for _ in range(40):
            for text in sorted(texts):
                write_text(path, text)
        done.set()

    writer = threading.Thread(target=write)
    writer.start()
    seen = set()
    while not done.is_set():
        seen.add(path.read_text())
    writer.join()
    assert seen <= texts


def test_sweeping_takes_only_what_was_left_half_written(tmp_path):
    kept = [tmp_path / "a.partial", tmp_path / ".hidden", tmp_path / "b" / "c.txt"]
    left = [tmp_path / f".x{PARTIAL}", tmp_path / "b" / f".c.txt.1{PARTIAL}"]
    (tmp_path / "b").mkdir()
    for path in (*kept, *left):
        path.write_text("x")
    sweep(tmp_path)
    assert all(path.exists() for path in kept)
    assert not any(path.exists() for path in left)

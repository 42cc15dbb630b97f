import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch

from dale.data import is_logits_file, read_logits, write_logits
from dale.errors import DataError, InputError
from dale.weights import save

LOGITS = np.random.default_rng(0).normal(size=(6, 3))
TARGETS = np.arange(6) % 3


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
@pytest.mark.parametrize("targets", [torch.from_numpy(TARGETS), None])
def test_what_is_written_is_read(suffix, targets, tmp_path):
    path = tmp_path / f"a{suffix}"
    write_logits(path, torch.from_numpy(LOGITS), targets)
    found = read_logits(path)
    assert torch.equal(found.logits_MNC[0], torch.from_numpy(LOGITS))
    if targets is None:
        assert found.targets_N is None
        with pytest.raises(DataError, match="expected targets beside the logits"):
            found.needed_targets()
    else:
        assert torch.equal(found.needed_targets(), targets)


def test_members_labels_and_half_precision(tmp_path):
    path = tmp_path / "a.npz"
    halves = np.stack([LOGITS, 2 * LOGITS]).astype(np.float16)
    np.savez(path, logits=halves, labels=TARGETS)
    found = read_logits(path)
    assert found.logits_MNC.shape == (2, 6, 3)
    assert found.logits_MNC.dtype == torch.float32


def test_the_digest_is_of_the_content(tmp_path):
    def digest(name, logits):
        np.savez(tmp_path / name, logits=logits, targets=TARGETS)
        return read_logits(tmp_path / name).digest()

    assert digest("a.npz", LOGITS) == digest("b.npz", LOGITS)
    assert digest("a.npz", LOGITS) != digest("c.npz", LOGITS + 1)


@pytest.mark.parametrize(
    ("arrays", "why"),
    [
        ({"scores": LOGITS}, "holds scores; expected logits"),
        (
            {"logits": LOGITS, "targets": TARGETS, "labels": TARGETS},
            "targets or labels",
        ),
        ({"logits": LOGITS.astype(int)}, "expected real numbers"),
        ({"logits": LOGITS[0]}, r"expected shape \(N, C\)"),
        ({"logits": LOGITS, "targets": TARGETS[:5]}, "to go with logits of 6"),
        ({"logits": LOGITS, "targets": TARGETS + 1}, r"classes in \[0, 3\)"),
        ({"logits": np.where(LOGITS > 0, np.nan, 0)}, "got NaN"),
        ({"logits": np.array(["a"])}, "cannot use numbers"),
    ],
)
def test_what_is_no_file_of_logits(arrays, why, tmp_path):
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(DataError, match=why) as refused:
        read_logits(tmp_path / "a.npz")
    assert "a.npz" in str(refused.value)


def test_paths(tmp_path):
    with pytest.raises(DataError, match=r"no file .*absent\.npz"):
        read_logits(tmp_path / "absent.npz")
    with pytest.raises(DataError, match=r"ending in \.npz, \.safetensors, \.parquet"):
        read_logits(tmp_path / "a.csv")
    with pytest.raises(InputError, match="ending in"):
        write_logits(tmp_path / "a.csv", torch.zeros(1, 2), None)
    (tmp_path / "run.npz").mkdir()
    assert not is_logits_file(tmp_path / "run.npz")
    save(tmp_path / "w.safetensors", {"weight": torch.zeros(2)}, {})
    with pytest.raises(DataError, match="holds weight"):
        read_logits(tmp_path / "w.safetensors")


@pytest.mark.parametrize("suffix", [".npz", ".safetensors", ".parquet"])
@pytest.mark.parametrize("kept", [0.0, 0.5])
def test_damaged_files_are_the_same_error(suffix, kept, tmp_path):
    path = tmp_path / f"a{suffix}"
    if suffix == ".parquet":
        tables = pytest.importorskip("pyarrow.parquet")
        arrow = pytest.importorskip("pyarrow")
        tables.write_table(arrow.table({"logits": LOGITS.tolist()}), path)
    else:
        write_logits(path, torch.from_numpy(LOGITS), None)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(kept * len(whole))])
    with pytest.raises(DataError) as refused:
        read_logits(path)
    assert f"a{suffix}" in str(refused.value)
    assert "\n" not in str(refused.value)


def test_parquet_needs_pyarrow(tmp_path, monkeypatch):
    (tmp_path / "a.parquet").write_bytes(b"")
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(InputError, match=r"run: pip install 'dale\[parquet\]'"):
        read_logits(tmp_path / "a.parquet")


def parquet(columns, path, monkeypatch):
    """A parquet file of columns of lists; a stand-in where pyarrow is missing."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ModuleNotFoundError:
        path.write_bytes(b"")
        table = SimpleNamespace(
            column_names=list(columns),
            column=lambda name: SimpleNamespace(to_pylist=lambda: columns[name]),
        )
        fake = ModuleType("pyarrow.parquet")
        fake.ParquetFile = lambda path: SimpleNamespace(read=lambda: table)
        monkeypatch.setitem(sys.modules, "pyarrow", ModuleType("pyarrow"))
        monkeypatch.setitem(sys.modules, "pyarrow.parquet", fake)
    else:
        pyarrow.parquet.write_table(pyarrow.table(columns), path)
    return path


def test_parquet_tables(tmp_path, monkeypatch):
    columns = {
        "id": list("abcdef"),
        "logits": LOGITS.tolist(),
        "labels": TARGETS.tolist(),
    }
    found = read_logits(parquet(columns, tmp_path / "a.parquet", monkeypatch))
    assert torch.equal(found.logits_MNC[0], torch.from_numpy(LOGITS))
    assert torch.equal(found.targets_N, torch.from_numpy(TARGETS))


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"logits": [[1.0, 2.0], [1.0]]}, "logits: the lists differ in length"),
        ({"logits": [[1.0, 2.0], None]}, "logits: row 1 is empty"),
        ({"z0": [1.0], "labels": [0]}, "has the columns z0, labels; expected a column"),
        ({"logits": [1.0, 2.0]}, r"expected shape \(N, C\)"),
        ({"logits": [[1.0, 2.0]], "labels": [2]}, r"expected classes in \[0, 2\)"),
    ],
)
def test_other_tables_are_refused(columns, message, tmp_path, monkeypatch):
    with pytest.raises(DataError, match=message):
        read_logits(parquet(columns, tmp_path / "a.parquet", monkeypatch))

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dale.errors import CorruptError, SchemaError, StoreError
from dale.store import sealed

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**40), 2**40) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=6,
)


@given(content=st.dictionaries(st.text(min_size=1, max_size=4), JSON, max_size=4))
def test_what_is_written_is_read(content, tmp_path_factory):
    content = {
        k: v for k, v in content.items() if k not in ("schema", "kind", "digest")
    }
    path = tmp_path_factory.mktemp("sealed") / "a.json"
    sealed.write(path, "thing", content)
    assert sealed.read(path, "thing") == content


def test_numbers_that_are_not_finite_become_null(tmp_path):
    sealed.write(tmp_path / "a.json", "thing", {"x": [1.0, float("nan"), float("inf")]})
    assert sealed.read(tmp_path / "a.json", "thing") == {"x": [1.0, None, None]}
    assert "NaN" not in (tmp_path / "a.json").read_text()


def test_every_truncation_is_named(tmp_path):
    path = tmp_path / "a.json"
    sealed.write(path, "thing", {"members": [1, 2, 3]})
    whole = path.read_text()
    for length in range(len(whole.rstrip())):
        path.write_text(whole[:length])
        with pytest.raises(CorruptError, match=r"a\.json"):
            sealed.read(path, "thing")


def test_an_altered_value_is_named(tmp_path):
    path = tmp_path / "a.json"
    sealed.write(path, "thing", {"step": 12})
    path.write_text(path.read_text().replace("12", "13"))
    with pytest.raises(CorruptError, match="does not match its seal"):
        sealed.read(path, "thing")


def test_a_newer_schema_is_named_and_refused(tmp_path):
    path = tmp_path / "a.json"
    sealed.write(path, "thing", {})
    newer = {**json.loads(path.read_text()), "schema": sealed.SCHEMA + 1}
    path.write_text(json.dumps(newer))
    with pytest.raises(SchemaError, match="a newer dale wrote it"):
        sealed.read(path, "thing")


def test_another_kind_and_a_missing_file(tmp_path):
    sealed.write(tmp_path / "a.json", "thing", {})
    with pytest.raises(StoreError, match="is a thing file; expected a other file"):
        sealed.read(tmp_path / "a.json", "other")
    with pytest.raises(StoreError, match=r"b\.json is missing"):
        sealed.read(tmp_path / "b.json", "thing")

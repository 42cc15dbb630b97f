"""The page: whole, valid, escaped, and without anything from elsewhere."""

import json
import re

import pytest

from dale.errors import InputError, SchemaError
from dale.report import render
from dale.report.sections import SECTIONS
from dale.report.style import scripts

SECTION_OF = {
    "prices": "prices",
    "table": "results",
    "schedules": "schedules",
    "log": "curves",
    "disagreement": "disagreement",
    "reliability": "reliability",
    "risk_coverage": "selective",
    "drift": "drift",
    "decisions": "decisions",
    "members": "members",
    "recipe": "recipe",
    "range_test": "range_test",
    "diagnosis": "diagnosis",
    "ergodicity": "ergodicity",
    "soundness": "soundness",
    "cross_validation": "folds",
    "diversity": "diversity",
}
NASTY = "</script><script>alert('x')</script>&\"<blink>"


def names(root):
    return [section.attributes["id"] for section in root.all("section")]


def figures(root):
    return json.loads(root.one("script", id="figures").text)


def replaced(value, old, new):
    """A copy of a JSON value with every leaf of one kind replaced."""
    if isinstance(value, dict):
        return {key: replaced(item, old, new) for key, item in value.items()}
    if isinstance(value, list):
        return [replaced(item, old, new) for item in value]
    kept = isinstance(value, bool) or not isinstance(value, old)
    return value if kept else new


def test_every_section_is_there_once_and_in_order(document, parse):
    root = parse(document)
    assert names(root) == [section.key for section in SECTIONS]
    links = root.one("nav").all("a")
    assert [link.attributes["href"] for link in links] == [f"#{n}" for n in names(root)]


@pytest.mark.parametrize(("key", "section"), SECTION_OF.items())
@pytest.mark.parametrize("empty", ["absent", None, [], {}])
def test_a_missing_section_is_left_out(document, parse, key, section, empty):
    document.pop(key)
    if empty != "absent":
        document[key] = empty
    gone = {section}
    if key == "log":  # these draw it too
        gone |= {"confidence", "consistency", "layers"}
    wanted = [s.key for s in SECTIONS if s.key not in gone]
    root = parse(document)
    assert names(root) == wanted
    assert f"#{section}" not in [a.attributes["href"] for a in root.all("a")]


def test_a_title_alone_makes_a_page(parse):
    root = parse({"title": "bare"})
    assert root.one("h1").text == "bare"
    assert root.one("title").text == "bare — dale"
    assert names(root) == []
    for name in ("nav", "main", "footer", "table", "figure", "noscript"):
        assert not list(root.all(name))


def test_plotly_is_on_the_page_once_and_only_for_plots(document):
    library = scripts()[0]
    assert render(document).count(library) == 1
    assert library not in render({"title": "bare"})


def test_nothing_is_loaded_from_elsewhere(document):
    page = render(document).replace(scripts()[0], "")
    assert not re.search(r"https?:|//[a-z]+\.|@import|url\(", page)
    sources = re.findall(r'(?:src|href|action|data|poster)="([^"]*)"', page)
    assert all(source == "data:," or source.startswith("#") for source in sources)


def test_the_browser_is_told_to_refuse_requests(parse):
    root = parse({"title": "bare"})
    policy = root.one("meta", http_equiv="Content-Security-Policy")
    assert policy.attributes["content"].startswith("default-src 'none';")


def test_ids_are_unique_and_references_resolve(document, parse):
    root = parse(document)
    elements = list(root.all())
    ids = [e.attributes["id"] for e in elements if "id" in e.attributes]
    assert len(ids) == len(set(ids))
    for element in elements:
        target = element.attributes.get("aria-labelledby")
        assert target is None or target in ids
        href = element.attributes.get("href", "data:,")
        assert href == "data:," or href[1:] in ids


def test_every_table_has_a_caption_and_every_plot_a_description(document, parse):
    root = parse(document)
    for table in root.all("table"):
        assert table.one("caption").text
    plots = list(root.all(class_="plot"))
    assert [plot.attributes["id"] for plot in plots] == list(figures(root))
    assert all(plot.attributes["aria-label"] for plot in plots)
    assert all(plot.attributes["role"] == "img" for plot in plots)


def test_text_from_the_document_never_becomes_markup(document, parse):
    clean = parse(document)
    dirty = parse(replaced(document, str, NASTY) | {"title": NASTY})
    assert dirty.one("h1").text == NASTY
    assert [e.name for e in dirty.all("script")] == ["script"] * 3
    assert not list(dirty.all("blink"))
    assert names(dirty) == names(clean)
    for figure in figures(dirty).values():
        assert "<script" not in json.dumps(figure)


@pytest.mark.parametrize("hole", [None, float("nan")])
def test_missing_numbers_are_dashes_and_never_break_the_json(document, parse, hole):
    document = replaced(document, (int, float), hole) | {"schema": 1}
    root = parse(document)
    assert "nan" not in root.one(class_="page").text.lower().replace("soup", "")
    cells = list(root.one(id="decisions").all("td", class_="number"))
    assert [cell.text for cell in cells] == ["1", "–", "–", "2", "–", "–"]
    text = root.one("script", id="figures").text
    assert json.loads(text, parse_constant=pytest.fail)
    assert "NaN" not in text


def test_single_holes_keep_the_rest(document, parse):
    root = parse(document)
    last = list(root.one(id="results").one("tbody").all("tr"))[2]
    texts = [cell.text for cell in last.all("td")]
    assert texts[:3] == ["single", "1", "9.00"]
    assert texts[4:7] == ["–", "2.00", "0.1000"]


def test_rendering_leaves_the_document_alone_and_repeats_itself(document):
    before = repr(document)
    assert render(document) == render(document)
    assert repr(document) == before


def test_unknown_keys_are_for_other_readers(document):
    assert render(document | {"extra": [1, 2]}) == render(document)


@pytest.mark.parametrize("title", [None, ""])
def test_a_document_without_a_title_is_refused(title):
    with pytest.raises(InputError, match="needs a title"):
        render({"title": title})


def test_a_newer_document_is_refused():
    with pytest.raises(SchemaError, match="schema 1, got 2"):
        render({"title": "new", "schema": 2})


def test_text_for_a_number_is_refused(document):
    document["table"]["rows"][0]["nll"] = "0.4"
    with pytest.raises(InputError, match=r"expected a number or null .* got '0.4'"):
        render(document)

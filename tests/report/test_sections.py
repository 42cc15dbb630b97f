"""What the sections say."""

import re

import pytest

from dale.errors import InputError
from dale.report.figures_merging import cosines
from dale.report.sections_results import COLUMNS, lowest
from dale.report.style import PALETTE, colours, css


def cells(table, column):
    """Texts of one column, by the place of its heading."""
    heads = [head.text for head in table.one("thead").all("th")]
    place = heads.index(column)
    rows = table.one("tbody").all("tr")
    return [[c for c in row.children if not isinstance(c, str)][place] for row in rows]


def bold(table, column):
    return [c.text for c in cells(table, column) if list(c.all("strong"))]


def test_the_lowest_of_every_ranked_column_is_marked(document, parse):
    table = parse(document).one("table", class_="sortable results")
    assert bold(table, "Error, %") == ["8.00"]
    assert bold(table, "NLL") == ["0.3000"]
    assert bold(table, "ECE, %") == ["2.00"] * 3
    assert bold(table, "T") == bold(table, "Networks") == []


def test_a_row_alone_is_not_the_best_of_anything(document, parse):
    del document["table"]["rows"][1:]
    table = parse(document).one("table", class_="sortable results")
    assert not list(table.all("strong"))


def test_the_bests_are_named(document, parse):
    tiles = [tile.text for tile in parse(document).one("dl", class_="bests").all("div")]
    assert tiles == [
        "Lowest error8.00\u202f%ensemble",
        "Lowest NLL0.3000ensemble",
        "Lowest NLL, calibrated0.2900ensemble",
    ]


@pytest.mark.parametrize("column", COLUMNS, ids=lambda column: column.key)
def test_a_column_without_numbers_is_left_out(document, parse, column):
    def heads():
        table = parse(document).one("table", class_="sortable results")
        return [head.text for head in table.one("thead").all("th")]

    assert column.title in heads()
    for row in document["table"]["rows"]:
        row[column.key] = None
    assert column.title not in heads()


def test_intervals_are_drawn_on_one_scale(document, parse):
    table = parse(document).one("table", class_="sortable results")
    lines = [cell.one("line").attributes for cell in cells(table, "Interval, %")]
    spans = [(float(line["x1"]), float(line["x2"])) for line in lines]
    assert spans[1] == (4.0, 48.0)
    assert spans[0] == (48.0, 92.0)
    assert cells(table, "Interval, %")[1].text == "7.00–9.00"


def test_an_interval_with_an_end_missing_is_a_dash(document, parse):
    document["table"]["rows"][0]["error_interval"] = [0.1, None]
    table = parse(document).one("table", class_="sortable results")
    assert cells(table, "Interval, %")[0].text == "–"


def test_numbers_are_sorted_by_their_full_precision(document, parse):
    document["table"]["rows"][0]["nll"] = float("inf")
    table = parse(document).one("table", class_="sortable results")
    values = [cell.attributes.get("data-value") for cell in cells(table, "NLL")]
    assert values == ["Infinity", "0.3", None]


def test_the_caption_says_which_examples(document, parse):
    table = parse(document).one("table", class_="sortable results")
    assert table.one("caption").text.startswith(
        "Scores on the test split (1,000 examples). Temperatures fitted on the val"
    )
    document["table"]["rows"][0]["n"] = 500
    table = parse(document).one("table", class_="sortable results")
    assert "examples" not in table.one("caption").text


def test_lowest_skips_holes():
    rows = [{"nll": 2.0}, {"nll": float("nan")}, {}, {"nll": 1.0}]
    assert lowest(rows, "nll") == 1.0
    assert lowest(rows, "ece") is None


def test_the_verdict_says_what_and_why(document, parse):
    card = parse(document).one(class_="verdict")
    assert card.one(class_="regime").text == "Overfits"
    assert card.one(class_="headline").text == "It overfits."
    assert [item.text for item in card.all("li")] == ["The gap grew."]
    assert "What it means. Average." in card.text
    numbers = [cell.text for cell in card.all("td", class_="number")]
    assert numbers == ["1.00\u202f%", "9.00\u202f%", "8.00\u202f%", "0.0500", "–", "–"]


def test_a_verdict_of_one_line_has_no_empty_parts(document, parse):
    document["verdict"] = {"headline": "Fine."}
    card = parse(document).one(class_="verdict")
    assert card.text == "Fine."
    assert not list(card.all("table")) + list(card.all("ul"))


@pytest.mark.parametrize(
    ("zone", "shown"), [("Z", " UTC"), ("+00:00", " UTC"), ("", "")]
)
def test_the_time_is_shown_to_the_minute(document, parse, zone, shown):
    document["created"] = f"2026-01-02T03:04:05{zone}"
    time = parse(document).one("time")
    assert time.text == f"2026-01-02 03:04{shown}"
    assert time.attributes["datetime"] == document["created"]


def test_a_soup_lists_its_decisions(document, parse):
    section = parse(document).one("section", id="decisions")
    assert section.one("caption").text == "greedy soup: 1 of 2 kept"
    kept, dropped = section.one("tbody").all("tr")
    assert kept.text == "1c01-s00400.90000.9100✓ kept"
    assert dropped.text.endswith("left out")


def test_members_are_folded_with_their_scores(document, parse):
    document["members"][1]["parents"] = ["a", "b"]
    section = parse(document).one("section", id="members")
    assert section.one("summary").text == "2 networks in this run"
    table = section.one("details").one("table")
    assert [c.text for c in cells(table, "val error")] == ["15.00\u202f%"] * 2
    assert [c.text for c in cells(table, "val nll")] == ["–"] * 2
    assert [c.text for c in cells(table, "Parents")] == ["–", "a, b"]
    digest = cells(table, "Digest")[0].one("code")
    assert digest.text == "0123456789ab"
    assert digest.attributes["title"] == "0123456789abcdef" * 4


def test_recipe_and_command_are_there_to_copy(document, parse):
    root = parse(document)
    recipe = root.one("section", id="recipe").one("details")
    assert recipe.one("pre").text == document["recipe"]
    assert recipe.one("button").attributes["aria-label"] == "Copy recipe"
    assert root.one("footer").one("pre").text == "dale demo digits"
    versions = [pair.text for pair in root.one("dl", class_="versions").all("div")]
    assert versions == ["dale0.1.0", "torch2.13.0", "device–"]


def test_reliability_stands_before_and_after(document, parse):
    section = parse(document).one("section", id="reliability")
    captions = [caption.text for caption in section.all("figcaption")]
    assert captions == [
        "Before calibrationECE 10.00\u202f% · NLL 0.3000",
        "After calibrationECE 0.00\u202f% · NLL 0.3000",
    ]
    document["reliability"][0]["after"] = None
    section = parse(document).one("section", id="reliability")
    assert len(list(section.all("figure"))) == 1


def test_the_mean_disagreement_leaves_out_the_diagonal(document, parse):
    section = parse(document).one("section", id="disagreement")
    assert "mean of pairs 6.00\u202f%" in section.one("figcaption").text


def test_a_matrix_that_is_not_square_is_refused(document, parse):
    document["disagreement"][0]["matrix"] = [[0.0, 0.1]]
    with pytest.raises(InputError, match=r"'snapshot': .* 2 × 2 .* rows of \[2\]"):
        parse(document)


def test_bins_that_do_not_fit_are_refused(document, parse):
    document["reliability"][0]["before"]["counts"].pop()
    with pytest.raises(InputError, match=r"bins \(4\), got \[3, 4, 4\]"):
        parse(document)


def test_a_name_keeps_its_colour_throughout(document):
    inks = colours(document)
    assert inks == {"snapshot": PALETTE[0], "single": PALETTE[1]}
    many = colours({"log": [{"trajectory": f"t{i}"} for i in range(9)]})
    assert len(many) == 9
    assert set(many.values()) == set(PALETTE)


def luminance(colour):
    """Relative luminance of a hex colour, as WCAG 2 defines it."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [
        c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts
    ]
    return sum(w * c for w, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(one, two):
    low, high = sorted((luminance(one), luminance(two)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_text_stands_out_in_both_schemes(scheme):
    blocks = css().split("prefers-color-scheme: dark")
    lines = [line.strip(" ;") for line in blocks[scheme].splitlines()]
    pairs = [line.removeprefix("--").split(": ") for line in lines if ": #" in line]
    inks = {name: value for name, value in pairs}
    for text in ("ink", "muted", "accent"):
        for ground in ("paper", "raised"):
            assert contrast(inks[text], inks[ground]) >= 4.5, (text, ground)
    for ground in ("scale-low", "scale-high"):
        assert contrast(inks["ink"], inks[ground]) >= 4.5, ground


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_numbers_stand_out_on_the_cells_of_cosines(scheme):
    block = css().split("prefers-color-scheme: dark")[scheme]
    inks = dict(re.findall(r"--(\w+): (#\w{6})", block))
    paper = [int(inks["paper"][i : i + 2], 16) for i in (1, 3, 5)]
    for _, colour in cosines({"cosines_KK": [[1.0]]}, ["a"])["data"][0]["colorscale"]:
        *rgb, alpha = map(float, re.findall(r"[\d.]+", colour))
        mixed = [alpha * c + (1 - alpha) * p for c, p in zip(rgb, paper, strict=True)]
        cell = "#" + "".join(f"{round(value):02x}" for value in mixed)
        assert contrast(inks["ink"], cell) >= 4.5, colour


def test_tensors_that_broke_are_named_first_and_long_names_are_broken(document, parse):
    (plain, _) = document["soundness"]["rows"]
    lost = {"ratio": 1.0, "not_finite": 1, "not_finite_before": 1, "nan": 1}
    document["soundness"]["rows"] = [
        *({**plain, "name": f"plain {i}", "ratio": 1.01} for i in range(9)),
        {**plain, "name": "gone", "ratio": 0},
        {**plain, "name": "nan", **lost},
    ]
    table = list(parse(document).one("section", id="soundness").all("table"))[-1]
    names = list(table.one("tbody").all("th"))
    assert [c.text for c in names][:3] == ["nan", "gone", "plain 0"]
    assert {c.attributes["class"] for c in names} == {"wrap"}

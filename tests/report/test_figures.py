"""Figures: plain plotly JSON with the right numbers in it."""

import json

import pytest

from dale.report.figures import axis, layout, line
from dale.report.figures_diagnosis import diversity
from dale.report.figures_judging import disagreement, pairs, reliability
from dale.report.figures_rates import layers, schedule
from dale.report.figures_training import curves, has
from dale.report.sections_folds import errors

INKS = {"snapshot": "#000001", "single": "#000002"}


def named(figure, name):
    return [trace for trace in figure["data"] if trace["name"] == name]


def test_every_figure_is_plain_json_on_a_clear_ground(document):
    log, members = document["log"], document["members"]
    made = [
        schedule(document["schedules"], INKS),
        curves(log, members, "loss", INKS),
        curves(log, members, "error", INKS),
        layers(log, "rates"),
        layers(log, "ratios"),
        errors(document["cross_validation"]["rows"]),
        disagreement(document["disagreement"][0], 0.1),
        reliability(document["reliability"][0]["before"], "ensemble"),
    ]
    for figure in made:
        assert json.loads(json.dumps(figure, allow_nan=False)) == figure
        frame = figure["layout"]
        assert frame["paper_bgcolor"] == frame["plot_bgcolor"] == "rgba(0,0,0,0)"
        assert frame["autosize"] is True
        assert "width" not in frame


def test_layers_are_strips_in_powers_of_ten(document):
    rows = [row for row in document["log"] if row["trajectory"] == "snapshot"]
    strips, crosses = layers(rows, "rates")["data"]
    assert strips["y"] == ["stem", "head"]
    assert strips["x"] == [40, 80]
    assert strips["z"] == [[None, None], pytest.approx([-1, -1.30103], abs=1e-5)]
    assert strips["customdata"][1] == [0.1, 0.05]
    ticks = strips["colorbar"]["ticktext"]  # few, however many decades there are
    assert (ticks[0], ticks[-1], len(ticks)) == ("0.05", "0.1", 5)
    assert (crosses["x"], crosses["y"]) == ([20.0], ["stem"])
    assert layers(rows, "ratios")["data"][0]["customdata"][1] == [None, None]


def test_each_fold_is_a_point_and_the_mean_a_stroke(document):
    made = errors(document["cross_validation"]["rows"])
    assert [trace["name"] for trace in made["data"]] == ["last", "ensemble", "mean"]
    assert made["data"][0]["x"] == pytest.approx([9, 11])
    assert made["data"][0]["customdata"] == [1, 2]
    assert made["data"][2]["x"] == pytest.approx([10, 8])


def test_ends_are_marked_at_the_rate_of_the_last_update(document):
    figure = schedule(document["schedules"], INKS)
    (marks,) = named(figure, "cycle end")
    assert marks["x"] == [40.0, 80.0]
    assert marks["y"] == [0.01, 0.02]


def test_an_end_before_any_known_rate_has_no_height():
    row = {"trajectory": "snapshot", "rate": [[5, 0.1]], "ends": [5, None, 6]}
    (marks,) = named(schedule([row], INKS), "cycle end")
    assert marks["x"] == [5.0, 6.0]
    assert marks["y"] == [None, 0.1]


def test_trajectories_on_one_schedule_share_a_line(document):
    (row,) = document["schedules"]
    other = row | {"ends": []}
    rows = [row, row | {"trajectory": "single"}, other]
    figure = schedule(rows, INKS)
    lines = [trace["name"] for trace in figure["data"] if trace["mode"] == "lines"]
    assert lines == ["snapshot, single", "snapshot"]
    assert figure["layout"]["showlegend"] is True
    assert schedule([row], INKS)["layout"]["showlegend"] is False


def test_holes_in_a_schedule_break_its_line():
    rate = [[0, 0.1], [1, float("nan")], [None, 0.3]]
    (trace,) = schedule([{"trajectory": "single", "rate": rate}], INKS)["data"]
    assert (trace["x"], trace["y"]) == ([0.0, 1.0], [0.1, None])


def test_errors_are_drawn_in_percent_and_losses_as_they_are(document):
    log = [row for row in document["log"] if row["trajectory"] == "single"]
    (error,) = named(curves(log, [], "error", INKS), "validation")
    (loss,) = named(curves(log, [], "loss", INKS), "training")
    assert error["y"] == pytest.approx([30.0, 15.0])
    assert loss["y"] == [1.0, 0.5]


def test_each_of_many_trajectories_has_one_entry_in_the_legend(document):
    figure = curves(document["log"], document["members"], "loss", INKS)
    shown = [trace["name"] for trace in figure["data"] if trace["showlegend"]]
    assert shown == ["snapshot", "single"]
    dashes = [trace["line"].get("dash") for trace in named(figure, "single")]
    assert dashes == ["dot", None]


def test_one_trajectory_alone_names_its_lines(document):
    log = [row for row in document["log"] if row["trajectory"] == "snapshot"]
    figure = curves(log, document["members"], "loss", INKS)
    shown = [trace["name"] for trace in figure["data"] if trace["showlegend"]]
    assert shown == ["training", "validation", "member"]


@pytest.mark.parametrize(
    ("step", "height"), [(40, 1.2), (60, 0.9), (80, 0.6), (10, 1.2), (99, 0.6)]
)
def test_members_are_marked_on_the_validation_curve(document, step, height):
    member = document["members"][0] | {"step": step}
    figure = curves(document["log"], [member], "loss", INKS)
    (marks,) = named(figure, "member")
    assert marks["x"] == [step]
    assert marks["y"] == pytest.approx([height])
    assert marks["text"] == ["c01-s0040"]


def test_members_without_a_place_are_not_marked(document):
    label = {"label": "soup", "trajectory": None, "step": None}
    figure = curves(document["log"], [label], "loss", INKS)
    assert not named(figure, "member")


def test_without_validation_members_are_marked_on_the_training_curve(document):
    log = [row | {"val_loss": None} for row in document["log"]]
    figure = curves(log, document["members"][:1], "loss", INKS)
    (marks,) = named(figure, "member")
    assert marks["y"] == [1.0]
    shown = [trace["name"] for trace in figure["data"] if trace["showlegend"]]
    assert shown == ["snapshot", "single"]


def test_rows_come_in_any_order_and_without_steps(document):
    rows = document["log"]
    mixed = [*reversed(rows), rows[0] | {"step": None}]
    figure = curves(mixed, [], "loss", INKS)
    assert all(trace["x"] == [40.0, 80.0] for trace in figure["data"])


def test_a_quantity_is_there_when_any_number_is():
    assert has([{"train_loss": None}, {"val_loss": 1.0}], "loss")
    assert not has([{"train_loss": float("nan")}], "loss")
    assert not has([], "loss")


def test_the_diagonal_of_disagreement_is_empty(document):
    (row,) = document["disagreement"]
    figure = disagreement(row, 0.1)
    (heat,) = figure["data"]
    assert heat["z"] == [[None, 5.0], [pytest.approx(7.0), None]]
    assert figure["layout"]["coloraxis"]["cmax"] == 10.0
    assert pairs(row) == [0.05, 0.07]


def test_members_that_always_agree_still_have_a_scale(document):
    (row,) = document["disagreement"]
    assert disagreement(row, 0.0)["layout"]["coloraxis"]["cmax"] == 1


@pytest.mark.parametrize(("count", "ticks"), [(2, 2), (16, 16), (17, 9), (40, 14)])
def test_labels_thin_out_as_members_grow(count, ticks):
    matrix = [[0.1] * count for _ in range(count)]
    row = {"group": "g", "labels": ["same"] * count, "matrix": matrix}
    figure = disagreement(row, 0.1)
    assert len(figure["layout"]["xaxis"]["ticktext"]) == ticks
    assert ("texttemplate" in figure["data"][0]) == (count <= 8)
    assert figure["layout"]["coloraxis"]["showscale"] == (count > 8)


def test_bars_stand_over_their_bins_and_empty_bins_are_empty(document):
    bars, diagonal, points, histogram = reliability(
        document["reliability"][0]["before"] | {"accuracy": [0.1, 0.3, 0.5, 0.8]}, "e"
    )["data"]
    assert bars["x"] == histogram["x"] == [0.125, 0.375, 0.625, 0.875]
    assert bars["width"] == [0.25] * 4
    assert bars["y"] == points["y"] == [0.1, None, 0.5, 0.8]
    assert points["x"] == [0.2, None, 0.6, 0.9]
    assert histogram["y"] == [10.0, 0.0, 30.0, 60.0]
    assert (diagonal["x"], diagonal["y"]) == ([0, 1], [0, 1])


def test_a_bin_with_an_edge_missing_is_not_drawn():
    bins = {
        "edges": [0.0, float("nan"), 1.0],
        "counts": [1, 1],
        "confidence": [0.3, 0.7],
        "accuracy": [0.3, 0.7],
    }
    bars = reliability(bins, "e")["data"][0]
    assert bars["x"] == bars["width"] == [None, None]


def test_no_examples_give_no_shares():
    bins = {"edges": [0, 1], "counts": [0], "confidence": [None], "accuracy": [None]}
    assert reliability(bins, "e")["data"][3]["y"] == [None]


def test_labels_are_text_to_plotly():
    assert line("<b>", [], [], "red")["name"] == "&lt;b&gt;"
    assert axis("a & b")["title"]["text"] == "a &amp; b"


def test_settings_go_over_the_defaults():
    assert axis("x", zeroline=True)["zeroline"] is True
    assert layout(200, showlegend=True) | {"height": 1} == layout(1, showlegend=True)
    stroke = line("a", [], [], "red", line={"width": 5})["line"]
    assert stroke == {"color": "red", "width": 5}


def test_a_map_has_long_cycles_above_and_rates_across(document):
    figure = diversity(document["diversity"], "error", 100.0)
    (heat,) = figure["data"]
    assert heat["z"] == [[40.0, 80.0], [20.0, 40.0]]
    assert heat["text"][1] == ["20.00 ± 1.00", "40.00 ± 1.00"]
    frame = figure["layout"]
    assert frame["xaxis"]["ticktext"] == ["0.1", "0.2"]
    assert frame["yaxis"]["ticktext"] == ["2", "4"]
    assert (frame["coloraxis"]["cmin"], frame["coloraxis"]["cmax"]) == (20.0, 80.0)
    document["diversity"]["cells"][0]["error"] = {"mean": None, "sd": None}
    (heat,) = diversity(document["diversity"], "error")["data"]
    assert heat["text"][1][0] == "–"

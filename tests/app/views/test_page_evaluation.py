"""The Evaluation page: results found or not, links, filters, and what can be taken away."""

import csv
import io

import pytest
from helpers.app_cases import TIMEOUT_S, start_afresh, text
from helpers.report_cases import ablation_report, knn_report, masks_report, write_history
from streamlit.testing.v1 import AppTest

from app.cache import evaluation
from app.cache.evaluation import results
from app.ui import layout
from dino.evaluation.summary.contents import Bar, Bars, Lines, Series

OTHER = knn_report(weights=knn_report().weights | {"name": "other", "sha256": "cd" * 32})
HOSTILE = "<img src=http://evil.example/a.png>![x](http://evil.example)"


@pytest.fixture(autouse=True)
def fresh(monkeypatch, tmp_path, small_weights):
    start_afresh(monkeypatch, tmp_path, small_weights)
    monkeypatch.setenv("DINO_RESULTS", str(tmp_path / "results"))
    monkeypatch.setattr(evaluation, "PROJECT_FOLDER", tmp_path / "project")


def script() -> None:
    from app.views.evaluation import page

    page.show()


def opened(**params: str) -> AppTest:
    at = AppTest.from_function(script, default_timeout=TIMEOUT_S)
    for name, value in params.items():
        at.query_params[name] = value
    at.run()
    assert not at.exception, at.exception
    return at


def test_without_results_the_page_says_what_to_do(tmp_path):
    at = opened()
    assert "Nothing was measured yet" in text(at)
    assert "python -m dino eval knn" in at.code[0].value
    assert not at.error


def test_figures_stand_beside_the_papers(tmp_path):
    write_history(tmp_path / "results", knn_report(), OTHER, masks_report())
    at = opened()
    said = text(at)
    assert at.selectbox(key="evaluation_task").value == "knn"
    for words in ("mine", "other", "62.3", "74.5", "not the same data", "Caron et al. 2021"):
        assert words in said
    assert "3 measurements" in said
    assert "ab" * 6 in said  # the digest of the weights
    assert any("<dl><dt>weights</dt><dd>" in element.value for element in at.get("html"))
    assert "&lt;" not in said
    assert len(at.get("plotly_chart")) == 1
    assert f"eval report {tmp_path / 'results'} --out report" in at.code[0].value


def test_a_link_opens_a_task_and_weights(tmp_path):
    write_history(tmp_path / "results", knn_report(), OTHER, masks_report())
    at = opened(task="segmentation")
    assert at.selectbox(key="evaluation_task").value == "segmentation"
    assert "oracle" in text(at)
    assert len(at.get("plotly_chart")) == 3
    at = opened(of="other")
    expanders = [e.label for e in at.expander]
    assert any(label.startswith("other on") for label in expanders)
    assert not any(label.startswith("mine on") for label in expanders)


def test_choices_come_into_the_address_and_defaults_leave_it(tmp_path):
    write_history(tmp_path / "results", knn_report(), masks_report())
    at = opened()
    assert "task" not in at.query_params
    at.selectbox(key="evaluation_task").set_value("segmentation").run()
    assert at.query_params["task"] == "segmentation"
    at.selectbox(key="evaluation_of").set_value("mine").run()
    assert at.query_params["of"] == "mine"
    at.selectbox(key="evaluation_task").set_value("knn").run()
    assert "task" not in at.query_params
    assert at.selectbox(key="evaluation_of").value == "mine"
    assert not at.exception


@pytest.mark.parametrize("params", [{"task": "nope"}, {"of": "nobody"}])
def test_a_link_to_what_is_not_there_shows_the_first(tmp_path, params):
    write_history(tmp_path / "results", knn_report())
    at = opened(**params)
    assert at.selectbox(key="evaluation_task").value == "knn"
    assert "62.3" in text(at)


def test_an_ablation_draws_its_curves(tmp_path):
    write_history(tmp_path / "results", ablation_report())
    at = opened()
    assert len(at.get("plotly_chart")) == 3
    assert "not the same training" in text(at)


def test_damaged_lines_are_counted_and_a_later_one_is_seen(tmp_path):
    folder = write_history(tmp_path / "results", knn_report(), "{broken")
    at = opened()
    assert "1 damaged line " in text(at)
    write_history(folder, knn_report(), OTHER)
    at.run()
    assert "other" in text(at)
    assert "damaged" not in text(at)


def test_foreign_text_is_escaped(tmp_path):
    weights = knn_report().weights | {"name": HOSTILE, "description": HOSTILE}
    hostile = knn_report(weights=weights, task=HOSTILE, rows=[{HOSTILE: HOSTILE}])
    write_history(tmp_path / "results", hostile)
    at = opened()
    for element in at.get("html"):
        assert "<img" not in element.value
    for element in at.markdown:
        assert "](http" not in element.value
        assert "<img" not in element.value
    assert all("<img" not in label.replace("\\<", "") for label in (e.label for e in at.expander))


def test_figures_that_came_with_the_code_are_a_last_resort(tmp_path):
    write_history(tmp_path / "project" / "docs" / "results", knn_report())
    at = opened()
    assert "come with the code" in text(at).replace("\n", " ")
    write_history(tmp_path / "results", OTHER)
    at = opened()
    assert "come with the code" not in text(at)


def test_results_are_looked_for_in_order(monkeypatch, tmp_path):
    monkeypatch.delenv("DINO_RESULTS")
    monkeypatch.chdir(tmp_path)
    assert results() is None
    write_history(tmp_path / "checkpoints" / "results", OTHER)
    assert results().history.reports == (OTHER,)
    write_history(tmp_path / "results", knn_report())
    assert results().history.reports == (knn_report(),)


def test_everything_can_be_taken_away(monkeypatch, tmp_path):
    write_history(tmp_path / "results", knn_report(), masks_report())
    labels = [button.proto.label for button in opened().get("download_button")]
    assert labels == ["Report, HTML", "Report, Markdown", "All rows, CSV"]
    made: dict[str, bytes] = {}

    def keep(*files: tuple) -> None:
        made.update({file_name: make() for _, file_name, _, make in files})

    monkeypatch.setattr(layout, "downloads", keep)
    opened()
    assert made["report.html"].startswith(b"<!doctype html>")
    assert b"not the same data" in made["report.md"]
    rows = list(csv.DictReader(io.StringIO(made["results.csv"].decode())))
    assert [row["task"] for row in rows] == ["knn"] * 2 + ["segmentation"] * 8


def test_charts_hold_the_figures_they_are_given():
    from app.views.evaluation.charts import bars, lines

    figure = bars(Bars("t", "words", "%", 1, (Bar("<b>mine", 20.04, 0), Bar("theirs", 40, 1))))
    ours, published = figure.data
    assert (list(ours.x), list(published.x)) == ([20.04], [40])
    assert list(ours.text) == ["20.0"]
    assert list(figure.layout.yaxis.ticktext) == ["&lt;b>mine", "theirs"]
    long = "k = 200, T = 0.07, supervised_vitti16_imagenette"
    tall = bars(Bars("t", "words", "%", 1, (Bar(long, 20, 0),)))
    assert list(tall.layout.yaxis.ticktext) == [
        "k = 200, T = 0.07, supervised_<br>vitti16_imagenette"
    ]
    assert tall.layout.height > bars(Bars("t", "words", "%", 1, (Bar("a", 20, 0),))).layout.height
    points = ((0.0, 1.0), (1.0, 3.0))
    figure = lines(
        Lines("t", "words", "x", "y", (Series("one", points, 0, True),), (("ln K", 2.0),))
    )
    assert (list(figure.data[0].x), list(figure.data[0].y)) == ([0.0, 1.0], [1.0, 3.0])
    assert figure.data[0].line.dash == "dash"
    assert figure.layout.shapes[0].y0 == 2.0

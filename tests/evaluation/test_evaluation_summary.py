"""A report of measurements: published figures beside ours, and pages that need nothing else."""

import math
import re
from dataclasses import replace
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest
from helpers.report_cases import ablation_report, knn_report, masks_report

from dino.evaluation.published import published_figures, same_data
from dino.evaluation.summary import build_sections, html_page, markdown
from dino.evaluation.summary.contents import Bar, Bars, Lines, Series, Table
from dino.evaluation.summary.page import literal, table
from dino.evaluation.summary.sections import NOT_THE_SAME
from dino.evaluation.summary.svg import svg_chart, svg_file, ticks, wrap_label
from dino.system.words import counted, number, place, without_folders

IMAGENETTE = {"path": "val", "num_images": 3925, "num_train": 9469, "num_classes": 10}
HOSTILE = '<script src="http://evil.example/x.js">|`*_[a](http://evil.example)&'


class Page(HTMLParser):
    """Elements, attributes and text of a page; complains where tags do not nest."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.text, self._open = "", []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in ("meta", "path", "rect", "circle"):
            self._open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        self.text += data


def comparison(report) -> Table:
    return build_sections([report])[0].groups[0].comparison


def notes_by_data(contents: Table) -> dict[str, set[str]]:
    note, data = (contents.columns.index(name) for name in ("note", "data"))
    theirs = [row for index, row in enumerate(contents.rows) if index not in contents.strong]
    return {row[data]: {r[note] for r in theirs if r[data] == row[data]} for row in theirs}


def test_published_figures_stand_in_the_reference(shared):
    known = (shared / "anchors.md").read_text()
    for figure in published_figures():
        assert re.search(rf"(?<![\d.]){figure.value:g}(\.0)?(?!\.?\d)", known), figure
        assert figure.paper
        assert figure.source


def test_each_published_figure_is_there_once():
    figures = published_figures()
    assert len({(f.task, f.network, f.variant, f.metric, f.data, f.paper) for f in figures}) == len(
        figures
    )
    (ours,) = (f for f in published_figures("knn") if f.network == "ViT-S/16")
    assert (ours.value, ours.unit, ours.data) == (74.5, "%", "ImageNet")
    assert published_figures("unheard-of") == ()


@pytest.mark.parametrize(
    ("change", "same"),
    [({}, True), ({"num_images": 3924}, False), ({"num_train": None}, False)],
)
def test_a_data_set_is_known_by_every_count_of_it(change, same):
    assert same_data(IMAGENETTE | change, "Imagenette") is same
    assert not same_data(IMAGENETTE, "ImageNet")
    assert not same_data(IMAGENETTE, "a set nobody counted")


def test_other_data_are_named_so_in_every_row():
    notes = notes_by_data(comparison(knn_report()))
    assert notes == {"ImageNet": {NOT_THE_SAME}, "Imagenette": {NOT_THE_SAME}}


def test_the_same_data_are_named_so_and_alone_in_the_bars():
    report = knn_report(data=IMAGENETTE)
    notes = notes_by_data(comparison(report))
    assert notes["ImageNet"] == {NOT_THE_SAME}
    assert NOT_THE_SAME not in notes["Imagenette"].pop()
    (bars,) = build_sections([report])[0].groups[0].charts
    assert "other data" not in bars.title
    assert [bar.colour for bar in bars.bars] == [0] + [1] * 6


def test_ours_come_first_with_k_of_20():
    contents = comparison(knn_report())
    assert contents.strong == (0,)
    assert contents.rows[0] == ("mine", "k = 20, T = 0.07", "62.3", "", "imagenette/val", "ours")


def test_data_are_described_with_their_counts_and_no_year_is_one():
    data = {"path": "a/b/c", "train_path": "d/e/f", "year": 2017, "num_images": 1999}
    (section,) = build_sections([knn_report(data=data)])
    assert section.groups[0].data == "b/c: year 2017, 1,999 images, train: e/f"


def test_figures_on_the_same_data_share_a_table():
    other = knn_report(weights=knn_report().weights | {"name": "other", "sha256": "cd" * 32})
    elsewhere = knn_report(data={"path": "elsewhere", "num_images": 2})
    (section,) = build_sections([knn_report(), other, elsewhere])
    assert [len(group.measured) for group in section.groups] == [2, 1]
    assert section.groups[0].comparison.strong == (0, 1)


def test_masks_are_compared_at_60_percent_and_drawn_over_mass():
    (section,) = build_sections([masks_report()])
    (group,) = section.groups
    assert group.comparison.columns[1:4] == ("what", "J, best head (oracle), %", "CorLoc, %")
    ours = [group.comparison.rows[i][1:4] for i in group.comparison.strong]
    assert ours == [
        ("weights", "50.0", "–"),
        ("random weights", "30.0", "–"),
        ("weights, lost", "–", "60.0"),
        ("all foreground", "25.0", "–"),
    ]
    found = [row for row in group.comparison.rows if row[1] == "LOST" and "VOC07" in row]
    assert [(row[3], NOT_THE_SAME in row) for row in found] == [("61.9", True)]
    lines = next(chart for chart in group.charts if isinstance(chart, Lines))
    assert lines.series[0].points == ((0.5, 0.4), (0.6, 0.5), (0.7, 0.45))
    assert lines.levels == (("all foreground", 0.25),)
    assert "weights, best head at most 0.500, at 0.6" in lines.alt_text
    # The curve's masses and single heads stay out of the table.
    columns = ("network", "method", "mass", "best head", "mean head", "corloc", "iou")
    assert group.measured[0].table.columns == columns
    assert len(group.measured[0].table.rows) == 4


def test_an_ablation_shows_ends_in_the_table_and_curves_as_lines():
    (section,) = build_sections([ablation_report()])
    (group,) = section.groups
    assert {row[1] for row in group.comparison.rows} >= {"full", "no-centering", "mse"}
    assert all("not the same training" in row[3] for row in group.comparison.rows[2:])
    lines = {chart.title: chart for chart in group.charts if isinstance(chart, Lines)}
    assert [s.name for s in lines["KL of student and teacher"].series] == ["full", "no-centering"]
    assert lines["Entropy of the teacher's outputs"].levels == (
        ("log₂ K", pytest.approx(3.47 / math.log(2))),
    )
    # Files hold nats, people read bits.
    assert lines["KL of student and teacher"].y == "bits"
    assert lines["KL of student and teacher"].series[0].points[0] == (1, 0.5 / math.log(2))
    listed = group.measured[0].table
    assert listed.columns[:3] == ("variant", "knn", "max entropy, bits")
    assert listed.rows[0][2] == "5.01"
    assert len(group.measured[0].table.rows) == 2


def test_time_is_set_in_relation_to_the_first_row():
    rows = [
        {"crops": "2×224", "step_s": 2.0, "images_per_s": 2.0, "peak_bytes": 2**30},
        {"crops": "2×224 + 10×96", "step_s": 3.0, "images_per_s": 1.3, "peak_bytes": 2**31},
    ]
    contents = comparison(knn_report(task="cost", rows=rows, data={"path": "noise"}))
    column = contents.columns.index("time, first row = 1")
    times = {(row[1], row[-1]): row[column] for row in contents.rows}
    assert times["2×224 + 10×96", "ours"] == "1.50"
    assert times["2×224 + 10×96", "Caron et al. 2021, Table 8"] == f"{24.2 / 15.3:.2f}"
    assert contents.rows[1][contents.columns.index("peak memory, GB")] == "2.00"


@pytest.mark.parametrize(
    ("task", "rows", "expected"),
    [
        (
            "video",
            [
                {"network": "weights", "object": 1, "j_and_f": 0.9},
                {"network": "weights", "object": None, "j_and_f": 0.5},
            ],
            [("weights", "50.0")],
        ),
        (
            "retrieval",
            [{"network": "weights", "protocol": "hard", "map": 12.34}],
            [("weights, hard", "12.3")],
        ),
        (
            "copies",
            [
                {"network": "weights", "distortion": "crop", "map": 1.0},
                {"network": "weights", "distortion": "strong", "map": 70.0},
                {"network": "weights", "distortion": "all", "map": 80.0},
            ],
            [("weights, strong", "70.0"), ("weights, all", "80.0")],
        ),
    ],
)
def test_means_stand_for_evaluations_of_many_parts(task, rows, expected):
    contents = comparison(knn_report(task=task, rows=rows))
    assert [contents.rows[i][1:3] for i in contents.strong] == expected
    assert len(contents.rows) > len(expected)
    assert all(NOT_THE_SAME in row for row in contents.rows[len(expected) :])


def test_an_unknown_task_is_a_table_of_its_rows():
    report = knn_report(task="new_thing", rows=[{"a": 1, "b": "x"}, {"a": None, "c": 0.25}])
    sections = build_sections([masks_report(), report, knn_report()])
    assert [section.task for section in sections] == ["knn", "segmentation", "new_thing"]
    assert sections[2].title == "New thing"
    assert sections[2].groups[0].comparison is None
    contents = sections[2].groups[0].measured[0].table
    assert contents.columns == ("a", "b", "c")
    assert contents.rows == (("1", "x", "–"), ("–", "–", "0.2500"))
    assert "New thing" in html_page(sections)


def test_the_page_tells_everything_and_fetches_nothing():
    text = html_page(build_sections([knn_report(), masks_report(), ablation_report()]), ["two"])
    page = Page(text)
    for said in ("62.3", "74.5", "fp32", "cpu, 2 threads, 12.5 s", "2026-01-02 03:04", "ab" * 6):
        assert said in page.text
    assert "ab" * 7 not in page.text
    assert page.text.count(NOT_THE_SAME) == sum(len(published_figures(t)) for t in ("knn", "segmentation", "ablation"))  # fmt: skip
    assert "http" not in text
    assert not {"script", "link", "img", "iframe"} & set(page.tags)
    assert not [name for _, name, _ in page.attributes if name in ("src", "srcset", "data")]
    links = [value for tag, name, value in page.attributes if name == "href"]
    ids = {value for _, name, value in page.attributes if name == "id"}
    assert {f"#{name}" for name in ids} == set(links)
    assert "url(" not in text
    assert "@import" not in text
    assert "prefers-color-scheme: dark" in text
    assert "@media print" in text
    assert text.count("<svg") == 1 + 3 + 3
    assert all("aria-label=" in svg for svg in text.split("<svg")[1:])


def test_foreign_text_stays_text():
    weights = knn_report().weights | {"name": HOSTILE, "description": HOSTILE}
    hostile = knn_report(task=HOSTILE, weights=weights, rows=[{HOSTILE: HOSTILE}])
    for report in (hostile, replace(hostile, task="knn", rows=[{"k": HOSTILE, "top1": 1.0}])):
        sections = build_sections([report])
        page = Page(html_page(sections, [HOSTILE]))
        assert "script" not in page.tags
        assert HOSTILE in page.text
        text = markdown(sections, [HOSTILE])
        assert "<script" not in re.sub(r"\\<", "", text)
        assert "://" not in text
        assert not re.search(r"(?<!\\)\[a", text)
        bars = [
            line.count("|") - line.count("\\|") for line in text.splitlines() if line[:1] == "|"
        ]
        assert len(bars) > 2
        assert all(count > 1 for count in bars)


def test_nobody_learns_the_folders_of_this_machine():
    weights = knn_report().weights | {"description": "from /home/someone/secret/run/teacher.pt."}
    report = knn_report(
        weights=weights, settings={"networks": {"twin": ["/home/someone/deep/twin.pth", "ab"]}}
    )
    sections = build_sections([report])
    for text in (html_page(sections), markdown(sections)):
        assert "someone" not in text
        assert "secret" not in text
        assert "imagenette/val" in text
        assert "run/teacher.pt" in text
        assert "deep/twin.pth" in text


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("/a/b/c", "b/c"),
        ("C:\\Users\\me\\photos", "me/photos"),
        ("photos", "photos"),
        ("./x/", "x"),
        ("/", "–"),
    ],
)
def test_a_path_keeps_two_parts(path, shown):
    assert place(path) == shown


def test_only_absolute_paths_lose_their_folders():
    assert without_folders("see /home/me/x/y.pt, and ~/a/b/c") == "see x/y.pt, and b/c"
    for kept in (
        "exp(cosine / temperature)",
        "ViT-S/16",
        "see checkpoints/README.md",
        "and/or/not",
    ):
        assert without_folders(kept) == kept


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [
        (None, None, "–"),
        (True, None, "yes"),
        (12345, None, "12,345"),
        (0.123456, None, "0.1235"),
        (-1.5, 1, "−1.5"),
        (float("nan"), 1, "–"),
        (float("inf"), None, "∞"),
        ("two\nlines", None, "two lines"),
    ],
)
def test_values_are_written_alike(value, digits, text):
    assert number(value, digits) == text


def test_a_markdown_table_has_as_many_cells_in_every_row():
    contents = Table(("a|b", "n"), (("x|y", "1.5"), ("`z`", "–")), strong=(0,))
    assert table(contents).splitlines() == [
        "| a\\|b | n |",
        "| --- | ---: |",
        "| **x\\|y** | **1.5** |",
        "| \\`z\\` | – |",
    ]
    assert literal("a\n\nb") == "a b"


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1]), (0, 0, [0, 0.2, 0.4, 0.6, 0.8, 1]), (3, 47, [0, 10, 20, 30, 40, 50]), (-0.02, 0.05, [-0.02, 0, 0.02, 0.04, 0.06])],
)  # fmt: skip
def test_ticks_are_round_and_hold_the_range(low, high, expected):
    assert ticks(low, high) == pytest.approx(expected)


def test_a_line_is_drawn_where_its_points_are():
    chart = Lines("T", "words", "x", "", (Series("one", ((0, 0), (5, 10), (10, 5)), 0),))
    root = ElementTree.fromstring(svg_chart(chart))
    (path,) = [e.get("d") for e in root.iter("path") if e.get("class") == "curve" and "L" in e.get("d")]  # fmt: skip
    points = [tuple(map(float, pair.split())) for pair in path[1:].split("L")]
    (x0, y0), (x1, y1), (x2, y2) = points
    assert x1 - x0 == pytest.approx(x2 - x1, abs=0.2)
    assert y0 - y2 == pytest.approx(y2 - y1, abs=0.2)  # y falls upwards
    assert y0 > y2 > y1


def test_bars_are_as_long_as_their_values():
    chart = Bars("T", "words", "%", 1, (Bar("<a>", 20, 0), Bar("b" * 80, 40, 1), Bar("c", 0, 1)))
    root = ElementTree.fromstring(svg_file([chart, chart], "both"))
    space = "{http://www.w3.org/2000/svg}"
    first = root.find(f"{space}g")
    widths = [float(e.get("width")) for e in first.findall(f"{space}rect")][:3]
    assert widths[1] == pytest.approx(2 * widths[0], abs=0.2)
    assert widths[2] == 0
    texts = ["".join(e.itertext()) for e in first.findall(f"{space}text")]
    assert "<a><a>" in texts  # its title and itself
    assert "b" * 80 in first.findall(f"{space}text")[3].find(f"{space}title").text


def test_long_labels_take_as_many_lines_as_they_need_and_shift_the_bars_below():
    label = "k = 200, T = 0.07, supervised_vitti16_imagenette"
    chart = Bars("T", "words", "%", 1, (Bar(label, 20, 0), Bar("short", 40, 0)))
    root = ElementTree.fromstring(svg_chart(chart))
    title, *lines = [
        e for e in root.iter("text") if e.get("text-anchor") == "end" or e.get("class")
    ]
    assert title.text == "T"
    written = [line.find("title").tail for line in lines]
    assert written == ["k = 200, T = 0.07,", "supervised_vitti16_", "imagenette", "short"]
    assert all(len(line) < 28 for line in written)
    heights = [float(line.get("y")) for line in lines]
    assert heights == sorted(set(heights))
    first, second = (float(e.get("y")) for e in root.iter("rect"))
    assert first + 24 < second
    assert wrap_label("b" * 100, 30) == ["b" * 30, "b" * 30, "b" * 29 + "…"]
    assert wrap_label("", 30) == [""]


def test_many_figures_of_ours_leave_room_for_published_ones():
    def corloc(count: int) -> Bars:
        rows = [
            {"network": f"weights {n}", "method": "lost", "mass": None, "corloc": n / 100}
            for n in range(count)
        ]
        (section,) = build_sections([masks_report(rows=rows)])
        return next(chart for chart in section.groups[0].charts if "CorLoc" in chart.title)

    few, many = corloc(3), corloc(20)
    assert [bar.colour for bar in few.bars] == [0] * 3 + [1] * 6
    assert few.title == "CorLoc, %, published ones on other data"
    assert [bar.colour for bar in many.bars] == [0] * 10 + [1] * 6
    assert many.title == "CorLoc, %, the first 10 of our 20, published ones on other data"


def test_measurements_of_the_same_weights_and_data_are_told_apart_by_their_titles():
    warm = knn_report(settings={"size": 224, "resize": None, "temperature": 0.1})
    (section,) = build_sections([knn_report(), warm])
    titles = [measured.title for measured in section.groups[0].measured]
    assert titles == [
        f"mine on imagenette/val: temperature {value}, 2026-01-02 03:04" for value in (0.07, 0.1)
    ]
    (alone,) = build_sections([warm])
    assert alone.groups[0].measured[0].title == "mine on imagenette/val"


def test_a_count_of_one_is_singular():
    data = {"path": "a/b/c", "num_images": 1, "num_classes": 1, "num_train": 1}
    (section,) = build_sections([knn_report(data=data)])
    assert section.groups[0].data == "b/c: 1 image, 1 class, 1 train"
    assert [counted(n, "photo") for n in (0, 1, 2, 1200)] == [
        *("0 photos", "1 photo", "2 photos", "1,200 photos")
    ]
    assert [counted(n, "class", "classes") for n in (1, 2)] == ["1 class", "2 classes"]


def test_lines_with_one_point_or_one_height_are_drawn():
    for points in (((3, 2),), ((0, 0), (1, 0))):
        chart = Lines("T", "words", "x", "", (Series("one", points, 0),))
        assert "nan" not in svg_chart(chart)
        ElementTree.fromstring(svg_chart(chart))

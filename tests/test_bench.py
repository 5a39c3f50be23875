"""The table of speed: every row runs, and what it says follows from its figures."""

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from bench import __main__ as command
from bench import bounds, child, flops, page
from bench.outcome import NOT_APPLICABLE, NOT_MEASURED, PASS, SHORT, Outcome, Settings, row_verdict
from bench.record import Record
from bench.rows import int8, levers, maps
from bench.rows.growth import exponent
from bench.rows.processes import sent
from bench.rows.training import config_of
from bench.table import AT_LEAST, AT_MOST, BY_NUMBER, ROWS, Criterion, Row
from bench.timing import Times, forget_peak, in_turns, peak

TINY = Settings(torch.device("cpu"), tiny=True, repeats=1, shared=None)
# These start processes of their own, or a browser: `python -m bench --tiny` runs them.
IN_PROCESSES = {5, 16, 18}
NEED = {11: "no GPU", 17: "shared"}


@pytest.mark.parametrize("number", [r.number for r in ROWS if r.number not in IN_PROCESSES])
def test_every_row_runs_and_gives_what_the_table_asks(number):
    found = child.run(str(number), TINY)
    if number in NEED:
        assert found["status"] == NOT_MEASURED
        assert NEED[number] in found["reason"]
        return
    assert found["status"] == child.MEASURED
    asked = {criterion.figure for criterion in BY_NUMBER[number].criteria}
    optional = {"IoU of int8 masks"}
    assert asked - optional <= found["figures"].keys()
    for figure in found["figures"].values():
        assert figure is None or (math.isfinite(figure) and figure >= 0)
    # Where a CPU has no bf16 units, row 2 is for others: nothing is timed.
    applies = any(figure is not None for figure in found["figures"].values())
    assert found["ways"] or not applies
    json.dumps(found)


@pytest.mark.parametrize("units", [True, False], ids=["with bf16 units", "without"])
def test_rows_of_either_kind_of_processor_run_on_this_one(monkeypatch, units):
    """Which rows apply depends on the machine; that they work must not."""
    for module in (maps, int8):
        monkeypatch.setattr(
            module, "cpu_precisions", lambda: ("fp32", "bf16") if units else ("fp32",)
        )
    low, eight = maps.bfloat16(TINY), int8.quantised(TINY)
    assert bool(low.ways) == units
    assert all((figure is not None) == units for figure in low.figures.values())
    assert eight.ways
    assert all((figure is None) == units for figure in eight.figures.values())
    coarse = maps.coarse(TINY).figures
    assert coarse["fp32 over plain"] > 0
    assert (coarse["bf16 over plain"] is not None) == units


def test_levers_are_measured_and_stand_on_the_page():
    found = child.run("levers", TINY)
    assert found["status"] == child.MEASURED
    ways = {row["way"]: row["slower"] for row in found["rows"]}
    assert ways["everything"] == 1.0
    assert {"last block for CLS alone", "one log-softmax a view", "fused AdamW"} <= ways.keys()
    text = page.markdown({"rows": {}, "sections": {"levers": found}})
    assert text.count("| parameter by parameter") == 2


def test_no_lever_changes_what_a_step_learns():
    """Two steps without each: the second loss is of the weights and the teacher that the first left."""
    config = config_of(TINY)
    losses = {}
    for name, run in levers.variants(config, TINY.device, "fp32"):
        losses[name] = [float(run()) for _ in range(2)]
    whole = losses.pop("everything")
    assert whole[0] != whole[1]
    assert len(losses) == 5
    for name, found in losses.items():
        assert found == pytest.approx(whole, rel=1e-6), name


def test_rows_that_need_a_gpu_say_so():
    for number in (9, 10, 11):
        found = child.run(str(number), replace(TINY, tiny=False))
        assert (found["status"], found["reason"][:11]) == (NOT_MEASURED, "no GPU here")


ROW = Row(1, "what", "plain", "maps", "exact", (
    Criterion("ratio", AT_LEAST, 2, 4), Criterion("share", AT_MOST, 0.2), Criterion("wish", AT_LEAST, None, 3),
))  # fmt: skip


@pytest.mark.parametrize(
    ("figures", "expected"),
    [
        ({"ratio": 2.0, "share": 0.2, "wish": 1.0}, PASS),
        ({"ratio": 1.9, "share": 0.1, "wish": 9.0}, SHORT),
        ({"ratio": 3.0, "share": 0.21, "wish": 9.0}, SHORT),
        ({"ratio": 3.0, "wish": 9.0}, NOT_MEASURED),
        ({"ratio": None, "share": None, "wish": None}, NOT_APPLICABLE),
        ({"ratio": None, "share": 0.1, "wish": None}, PASS),
    ],
)
def test_a_row_is_as_good_as_its_worst_figure(figures, expected):
    assert row_verdict(ROW, figures) == expected


def test_the_page_puts_what_falls_short_first():
    def measured(row: Row, good: bool) -> dict:
        figures = {}
        for c in row.criteria:
            limit = c.stretch if c.bar is None else c.bar
            figures[c.figure] = limit if good else limit + (1 if c.sign == AT_MOST else -limit)
        return {"status": "measured", "figures": figures, "notes": [], "ways": []}

    rows = {"4": measured(BY_NUMBER[4], True), "13": measured(BY_NUMBER[13], False)}
    rows["7"] = {"status": "failed", "reason": "it broke"}
    text = page.markdown({"rows": rows, "sections": {}})
    table = [line for line in text.splitlines() if line.startswith("| ")]
    numbers = [line.split(" | ")[0] for line in table if line[2].isdigit()]
    assert numbers[:3] == ["| 7", "| 13", "| 4"]
    short = next(line for line in table if line.startswith("| 13"))
    assert "| 0× | ≥ 2× | **falls short** | ≥ 4× | not yet |" in short
    assert "| 1.5× | ≥ 1.5× | pass |" in next(line for line in table if line.startswith("| 4"))
    assert "Row 7: failed: it broke." in text
    assert "Row 9: not measured: not asked for yet." in text


def test_arithmetic_by_hand():
    # D 4, 1 block, patch 2, a 4×4 image: 5 tokens. A block: 2·5·4·(12·4 + 2·5) = 2,320; patches:
    # 2·4·12·4 = 384. The maps need no block, the keys of 5 tokens and a query (2·6·16), a row (2·5·4).
    shape = flops.Shape(dim=4, depth=1, patch=2)
    assert flops.forward(shape, 4) == pytest.approx(2.704e-6)
    assert flops.maps(shape, 4) == pytest.approx((384 + 192 + 40) * 1e-9)
    # What is known of ViT-S: 9.2 GFLOP at 224 px and patch 16; an image of the recipe 113.8.
    small = flops.Shape(patch=16)
    assert flops.forward(small, 224) == pytest.approx(9.2, abs=0.05)
    recipe = {"global_side": 224, "local_side": 96, "num_locals": 8, "out_dim": 65_536}
    assert flops.training_image(small, **recipe) == pytest.approx(113.8, abs=0.1)
    assert flops.training_image(small, **recipe, only_cls=True) == pytest.approx(105.9, abs=0.3)
    # By hand again, of one token read: keys and values 2·5·2·16, its own 2·10·16, attention 2·2·5·4.
    assert flops.block_for_cls(shape, 5) == pytest.approx((320 + 320 + 80) * 1e-9)
    assert flops.maps(small, 480, 240) == pytest.approx(flops.maps(small, 240, 480))
    assert flops.maps(small, 480, 480) == flops.maps(small, 480)


def test_efficiency_is_the_work_at_the_measured_rate_over_the_time(monkeypatch):
    from bench.networks import networks

    def timed(ways, _):
        seconds = {
            "plain, fp32": 3.0,
            "ours, fp32": 0.5,
            "attention kernel alone, fp32": 0.25,
            "exponentials of softmax alone, fp32": 0.2,
        }
        return {name: Times((seconds.get(name, 0.1),)) for name in ways}

    monkeypatch.setattr(maps, "in_turns", timed)
    monkeypatch.setattr(
        bounds, "products", lambda *_, **__: {"slow": (print, 1.0), "quick": (print, 10.0)}
    )
    found = networks(8, 480, tiny=True, precisions=("fp32",))
    outcome = Outcome()
    figures = maps._times(outcome, found, "fp32", {"peer": print}, TINY)
    work = flops.maps(flops.Shape(dim=128, depth=2, patch=8), 48)
    assert figures == pytest.approx(
        {
            "fp32 over plain": 6.0,
            "over the quickest peer": 0.2,
            "efficiency fp32": work / 100 / 0.5,  # the quicker product: 10 GFLOP in 0.1 s
        }
    )
    assert "takes 50% of our time" in outcome.notes[0]
    most = 3.0 / (work / 100)
    assert f"would reach {most:.2f}× in fp32 (100 GFLOP/s) of plain" in outcome.notes[1]
    usual = flops.forward(flops.Shape(dim=128, depth=2, patch=8), 48)
    assert f"efficiency would read {usual / 100 / 0.5:.0%}" in outcome.notes[3]
    # One block of two heads: 2 · 37 · 37 exponentials in 0.2 s, after products at 100 GFLOP/s.
    assert "softmax's 2.74e+03 exponentials" in outcome.notes[2]
    assert f"would take {(work / 100 + 0.2) / 0.5:.0%} of our time" in outcome.notes[2]
    assert f"at an efficiency of {work / 100 / (work / 100 + 0.2):.0%}" in outcome.notes[2]
    # 36 patches and CLS, one block: q·kᵀ and the values, each 37 · 37 · 128 products of two operations.
    assert flops.attention(flops.Shape(dim=128, depth=2, patch=8), 48) == pytest.approx(
        4e-9 * 37 * 37 * 128
    )


def test_times_are_taken_in_turns():
    calls = []
    times = in_turns({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, 3)
    # Once to warm up, and then each way begins in its turn.
    assert calls == ["a", "b", "a", "b", "b", "a", "a", "b"]
    assert len(times["a"].seconds) == 3
    assert Times((1.0, 2.0, 4.0)).median == 2.0
    assert Times((1.0, 2.0, 4.0)).spread == 1.5


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="only Linux reports it")
def test_memory_taken_again_after_it_was_freed_is_seen():
    """A network that is gone must not hide what a forward takes."""
    blocks = [bytes([number % 256]) * 60_000 for number in range(1_000)]
    last = b"x" * 60_000  # what lies below it is not given back of itself
    blocks.clear()
    before = forget_peak()
    blocks = [bytes([number % 256]) * 60_000 for number in range(1_000)]
    assert peak() - before > 50_000_000
    assert last


def test_exponents_and_traffic():
    assert exponent([1, 2, 4], [3, 12, 48]) == pytest.approx(2)
    assert exponent([1, 1], [3, 3]) is None
    assert sent(100, 1) == 0
    assert sent(100, 4) == 150


def test_a_row_that_breaks_is_named_and_the_others_go_on(tmp_path, monkeypatch, capsys):
    def measure(name: str, **_: object) -> dict:
        if name == "2":
            return {"status": child.FAILED, "reason": "no memory"}
        return {"status": "measured", "figures": {}, "notes": [], "ways": []}

    monkeypatch.setattr(child, "measure", measure)
    kept = Record(tmp_path / "speed.json")
    kept.put("13", {"status": "measured", "figures": {"over scikit-learn": 5.0}, "ways": []})
    assert command.main(["--only", "4,2", "--out", str(tmp_path)]) == 1
    rows = json.loads((tmp_path / "speed.json").read_text())["rows"]
    assert list(rows) == ["2", "4", "13"]
    assert rows["13"]["figures"] == {"over scikit-learn": 5.0}
    assert "no memory" in (tmp_path / "speed.md").read_text()
    assert "failed: no memory" in capsys.readouterr().out


def test_a_process_that_dies_or_hangs_is_a_failed_row(monkeypatch):
    options = {"device": "cpu", "tiny": True, "repeats": 1}
    assert child.measure("4", limit_s=0.01, **options)["reason"] == "took longer than 0 s"
    found = child.measure("99", limit_s=60, **options)
    assert found["status"] == child.FAILED
    assert "99" in found["reason"]


def test_an_unknown_row_is_named():
    with pytest.raises(SystemExit, match="--only got '99'; expected some of 1, 2"):
        command.main(["--only", "99"])


@pytest.mark.parametrize("folder", [".", "speed-zen4"])
def test_the_page_in_docs_is_made_of_its_figures(folder):
    docs = Path(page.__file__).resolve().parents[1] / "docs" / folder
    if not (docs / "speed.json").exists():
        pytest.skip("not measured yet")
    content = json.loads((docs / "speed.json").read_text())
    assert (docs / "speed.md").read_text() == page.markdown(content)

"""Reports as they are read: in a terminal, as a page, as JSON, as a picture."""

from __future__ import annotations

import io
import json
import os
import re
import sys
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from math import inf, nan
from pathlib import Path
from typing import Any

import health_reports
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastnn import plots
from fastnn.health.figures import RECENT, recent
from fastnn.health.html import report_page
from fastnn.health.html.lines import heights, line
from fastnn.health.html.numbers import figure, prose
from fastnn.health.html.scales import MAX_COLUMNS, VIRIDIS, colour, columns, decades
from fastnn.health.report import VERDICTS, LayerReport, Remedy, Report, Trial
from fastnn.health.text import MAX_ROWS, WIDTH
from fastnn.health.words import HEADLINES, number, percent, shortened
from fastnn.statistics import LayerStatistics, StepStatistics

reports = pytest.mark.parametrize("make", health_reports.ALL.values(), ids=health_reports.ALL)


class Page(HTMLParser):
    """What a page holds; an element that is not closed, or by another, is an error."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.words: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attributes]
        if tag != "meta":
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attributes]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.words.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.words))


def test_every_verdict_has_words() -> None:
    assert set(HEADLINES) == set(VERDICTS)


# In the terminal.


@reports
def test_text_fits_a_terminal(make: Callable[[], Report]) -> None:
    text = str(make())
    assert max(map(len, text.splitlines())) <= WIDTH
    assert text.isascii()
    assert not re.search(r"\bnan\b", text)


def test_text_says_all_there_is() -> None:
    report = health_reports.vanishing()
    text = re.sub(r"\s+", " ", str(report))
    assert text.startswith("Gradient health of sequential: vanishing =")
    assert f"Gradients vanish. {report.cause}" in text
    assert "after 40 steps of 128 rows: loss 2.302, accuracy 11 %" in text
    for layer in report.layers:
        assert re.search(rf"\b{layer.name} Dense [\d.e-]+ [\d.e-]+ .*? {layer.verdict}\b", text)
    # One cause for nine layers, which differs in its figures only.
    assert text.count("sigmoid passes on") == 1
    positions = [text.index(f"{remedy.name}: {remedy.change}") for remedy in report.remedies[:3]]
    assert positions == sorted(positions)
    assert "loss 2.302 -> 0.561, accuracy 11 -> 83 %, gradient first/last layer" in text
    assert "1.5e-7 -> 0.47" in text
    # Useless ones have no more than their names here; the page and JSON have their figures.
    named = "Tried and useless: learning_rate, clipping Not tried: dropout"
    assert positions[2] < text.index(named)
    assert "Broke off after 7 steps" not in text
    assert "model = report.cure()" in text


def test_text_names_the_first_remedy_that_helped() -> None:
    report = health_reports.vanishing()
    turned = replace(report, remedies=report.remedies[::-1])
    assert "To use the first: model = report.remedies[3].apply()" in str(turned)
    useless = replace(report, remedies=report.remedies[3:])
    assert "No remedy helped." in str(useless)
    assert ".apply()" not in str(useless) and ".cure()" not in str(useless)


def test_the_order_of_remedies_is_called_what_it_is() -> None:
    """The first may have learned less than the second: it undoes the cause."""
    report = health_reports.vanishing()
    for shown in (str(report), report_page(report)):
        assert "recommended first" in shown and "best first" not in shown


def test_a_longer_trial_says_so() -> None:
    report = health_reports.vanishing()
    first = report.remedies[0]
    assert first.trial is not None
    assert "untreated: " not in str(report) and "untreated after" not in report_page(report)
    longer = replace(first.trial, losses=first.trial.losses * 4)
    report = replace(report, remedies=(replace(first, trial=longer),))
    steps = len(first.trial.losses)
    assert f"After {4 * steps} steps (untreated: {steps}): " in str(report)
    assert f"After {4 * steps} steps" in report_page(report)
    assert "untreated after" in report_page(report)


def test_names_of_combinations_break_between_their_parts() -> None:
    report = health_reports.vanishing()
    name = "+".join(["loss", "input_scale", "batch_normalization", "learning_rate_default"] * 2)
    report = replace(report, remedies=(replace(report.remedies[0], name=name),))
    lines = str(report).split("\n")
    assert max(map(len, lines)) <= 80
    words = {word for line in lines for word in line.replace(":", "").split()}
    assert set(name.split("+")) <= words
    assert "input scale + batch normalization" in report_page(report)


def test_arguments_of_fit_are_part_of_a_remedy() -> None:
    report = health_reports.vanishing()
    first = replace(report.remedies[0], make_fit_arguments=lambda: {"batch_size": 8})
    report = replace(report, remedies=(first, *report.remedies[1:]))
    wanted = "model.fit(x, y, **report.fit_arguments)"
    assert f"first: model = report.cure()\n{' ' * 18}{wanted}\n" in str(report)
    assert report_page(report).count(wanted) == 2 and "remedies[1].fit" not in report_page(report)


def test_batches_of_another_size_are_told_and_drawn_over_the_same_rows() -> None:
    report = health_reports.vanishing()
    first = report.remedies[0]
    assert first.trial is not None
    larger = replace(first.trial, losses=(2.3, 1.2, 0.4), batch_size=1280)
    report = replace(report, remedies=(replace(first, trial=larger),))
    assert "After 3 steps of 1,280 rows: loss 2.302 -> 0.561" in re.sub(r"\s+", " ", str(report))
    page = report_page(report)
    words = "from 2.3 to 0.4 in 3 steps of 1,280 rows; untreated from "
    assert words in page and "in 40 steps of 128 rows" in page
    # 40 batches of 128 rows are 4 of 1280, of which the third stands at two thirds.
    (curve,) = re.findall(r'<path d="(M[^"]*)" class="treated"', page)
    assert [float(point.split()[0]) for point in curve[1:].split("L")] == [0.0, 33.33, 66.67]


def test_text_of_long_nets_leaves_out_the_middle() -> None:
    lines = str(health_reports.long({3, 20, 21})).splitlines()
    assert "... 14 healthy layers left out ..." in lines
    assert "... 22 healthy layers left out ..." in lines
    assert sum("BatchNorm." in line for line in lines) == 14
    lines = str(health_reports.long(set(range(50)))).splitlines()
    assert "... 26 dead layers left out ..." in lines
    assert sum("BatchNorm." in line for line in lines) == MAX_ROWS
    mixed = str(health_reports.long(set(range(50)) - {25})).splitlines()
    assert "... 26 layers left out: 25 dead, 1 healthy ..." in mixed
    short = str(health_reports.long(set(), MAX_ROWS)).splitlines()
    assert sum("BatchNorm." in line for line in short) == MAX_ROWS


def test_text_holds_no_control_characters() -> None:
    report = health_reports.vanishing(names=["a\x1b[31m\nb", "c\td\u2028", "e"])
    report = replace(report, cause="one\ntwo\x07", model_name="m\r")
    assert all(c.isprintable() for line in str(report).split("\n") for c in line)


def test_repr_is_one_line() -> None:
    report = health_reports.vanishing()
    assert repr(report) == "<Report: vanishing, 12 layers, 6 remedies>"
    assert "StepStatistics" not in repr(report.untreated)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (nan, "-"), (inf, "inf"), (-inf, "-inf"), (0.0, "0"), (5.0, "5"), (0.5, "0.5"),
        (123.4, "123"), (999.7, "1000"), (1234.0, "1234"), (9999.6, "1.0e4"),
        (0.00994, "9.9e-3"), (-1.23e-7, "-1.2e-7"), (1e300, "1.0e300"),
    ],
)  # fmt: skip
def test_numbers(value: float, text: str) -> None:
    assert number(value) == text


def test_shares_are_whole_only_if_they_are() -> None:
    values = (0.0, 1e-9, 0.5, 0.9999, 1.0, nan, inf)
    assert [percent(value) for value in values] == ["0", "1", "50", "99", "100", "-", "-"]


def test_names_keep_their_ends() -> None:
    assert shortened("encoder_block_12", 10) == "enco..k_12"
    assert len(shortened("x" * 100, 7)) == 7


def test_tables_show_medians_of_the_last_steps() -> None:
    def step(i: int, norm: float) -> StepStatistics:
        layer = LayerStatistics("a", gradient_norm=norm, gradient_size=4, nonfinite=1)
        return StepStatistics(i, {"a": layer})

    steps = [step(i, norm) for i, norm in enumerate([100.0, 2.0, nan, 6.0, 4.0, 8.0])]
    seen = recent(steps, "a")
    assert seen is not None and RECENT == 5
    assert seen.gradient_norm == 5.0 and seen.gradient_rms == 2.5
    assert seen.nonfinite == 6
    assert np.isnan(seen.mean) and recent(steps, "b") is None


# As a page.


@reports
def test_page_is_whole_and_needs_nothing(make: Callable[[], Report]) -> None:
    text = report_page(make())
    page = Page(text)
    assert page.tags.count("h1") == 1
    assert not {"script", "link", "img", "iframe", "object"} & set(page.tags)
    loading = {"src", "href", "srcset", "data", "action", "xlink:href"}
    assert not [entry for entry in page.attributes if entry[1] in loading]
    assert not re.search(r"https?:|//|url\(|@import", text)
    assert not re.search(r"\b(nan|inf)\b", page.text)
    for _, name, value in page.attributes:
        if name in ("x", "x1", "x2", "cx", "d", "viewbox", "style"):
            assert not re.search(r"nan|inf", value)


def test_page_follows_the_readers_scheme_and_width() -> None:
    text = report_page(health_reports.vanishing())
    assert "@media (prefers-color-scheme: dark)" in text
    assert '<meta name="color-scheme" content="light dark">' in text
    assert 'name="viewport" content="width=device-width' in text
    light, dark = re.findall(r":root \{(.*?)\}", text, re.DOTALL)
    colours = [set(re.findall(r"--([\w-]+):", scheme)) for scheme in (light, dark)]
    assert colours[0] == colours[1] == set(re.findall(r"var\(--([\w-]+)\)", text))


def test_page_says_all_there_is() -> None:
    report = health_reports.vanishing()
    page = Page(report_page(report))
    for words in (
        "Gradients vanish", prose(report.cause), "9 of 12", "1.5×10⁻⁷", "2.302 → 0.561",
        "11 % → 83 %", "1.5×10⁻⁷ → 0.47", "Tried and useless", "Not tried",
        "Broke off after 7 steps", "model = report.cure()",
    ):  # fmt: skip
        assert words in page.text
    for remedy in report.remedies:
        assert remedy.change in page.text
    labels = [value for tag, name, value in page.attributes if name == "aria-label"]
    for layer in report.layers:
        assert layer.name in page.text
        # Its row in both maps, its activations, its updates.
        assert sum(label.startswith(f"{layer.name}: ") for label in labels) == 4
    assert page.tags.count("svg") == len(labels) - 1  # the legend is no picture
    # Two maps of 12 layers by 40 steps: before and after.
    assert page.text.count(", step 39:") == 24
    assert page.tags.count("rect") == 2 * 12 * 40


def test_page_gives_advice_only_where_it_has_some() -> None:
    report = health_reports.vanishing()
    useless = replace(report, remedies=report.remedies[3:])
    assert "No remedy that was tried helped." in Page(report_page(useless)).text
    well = replace(useless, verdict="healthy")
    assert "No remedy" not in Page(report_page(well)).text
    turned = Page(report_page(replace(report, remedies=report.remedies[::-1])))
    assert "model = report.remedies[3].apply()" in turned.text


def test_page_escapes_all_text() -> None:
    evil = "<script>alert('x')</script>\"&amp;"
    layer = LayerReport(evil, evil, evil, evil, {evil: 1.0})
    seen = LayerStatistics(evil, 1.0, 1.0, 4, 1.0, 1e-3, 0, evil, 0.1, 0.2, 0.1, 0.1, 0.1)
    trial = Trial((1.0, 2.0), error=evil, steps=(StepStatistics(0, {evil: seen}),))
    remedy = Remedy(evil, evil, trial, True, health_reports.never)
    report = Report(evil, evil, (layer,), (remedy,), trial, model_name=evil)
    text = report_page(report)
    assert "<script" not in text
    page = Page(text)
    assert "script" not in page.tags
    assert page.text.count(evil) >= 8
    frame = report._repr_html_()
    assert Page(frame).tags == ["iframe"]
    assert dict((name, value) for _, name, value in Page(frame).attributes)["srcdoc"] == text


def test_page_marks_what_is_not_finite_and_what_is_zero() -> None:
    page = Page(report_page(health_reports.exploding()))
    assert page.text.count(", step 9: not finite") == 8
    classes = [value for tag, name, value in page.attributes if (tag, name) == ("rect", "class")]
    assert classes == ["lost"] * 8
    page = Page(report_page(health_reports.long({3})))
    classes = [value for tag, name, value in page.attributes if (tag, name) == ("rect", "class")]
    assert classes == ["zero"] * health_reports.STEPS


def test_page_is_replaced_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "report.html"
    health_reports.healthy().to_html(path)
    before = path.read_bytes()
    assert before == report_page(health_reports.healthy()).encode()

    def no_space(fd: int) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(os, "fsync", no_space)
    with pytest.raises(OSError, match="no space"):
        health_reports.vanishing().to_html(path)
    with pytest.raises(OSError, match="no space"):
        health_reports.vanishing().to_json(path)
    assert path.read_bytes() == before and os.listdir(tmp_path) == ["report.html"]
    with pytest.raises(FileNotFoundError):
        health_reports.healthy().to_html(tmp_path / "nowhere" / "report.html")


def test_scales() -> None:
    assert [colour(place) for place in (0.0, 0.5, 1.0)] == [VIRIDIS[0], VIRIDIS[5], VIRIDIS[10]]
    scale = decades([3e-7, 0.02, nan, inf, 0.0])
    assert (scale.low, scale.high) == (-7, -1) and scale.place(1e-4) == pytest.approx(0.5)
    assert scale.ticks(4) == [-7, -5, -3, -1]
    narrow = decades([2e-3])
    assert narrow.low <= -3 < -2 <= narrow.high and narrow.high - narrow.low == 4
    for n in (1, MAX_COLUMNS, MAX_COLUMNS + 1, 1000):
        groups = columns(range(n))
        assert len(groups) <= MAX_COLUMNS and [i for group in groups for i in group] == [*range(n)]


def test_curves_break_where_nothing_is_known() -> None:
    values = [1.0, 3.0, nan, 2.0, inf]
    place = heights(values, log=False)
    assert (place(3.0), place(2.0), place(1.0)) == (0.0, 20.0, 40.0)
    curve = line(values, place, 5, "mean")
    assert 'd="M0.00 40.00L25.00 0.00M75.00 20.00h.01"' in curve
    logarithmic = heights([1.0, 100.0], log=True)
    assert logarithmic(10.0) == pytest.approx(20.0)


def test_figures_of_a_page() -> None:
    assert [figure(x) for x in (1.2e-7, -0.5, nan, -inf)] == ["1.2×10⁻⁷", "−0.5", "–", "−∞"]
    assert prose("1.5e-07 of the last, dense_e1") == "1.5×10⁻⁷ of the last, dense_e1"


# As values.


@reports
def test_dict_is_json(make: Callable[[], Report], tmp_path: Path) -> None:
    report = make()
    values = report.to_dict()
    text = json.dumps(values, allow_nan=False)
    assert json.loads(text) == values
    assert json.loads(report.to_json()) == values
    assert report.to_json(tmp_path / "r.json") == report.to_json()
    assert json.loads((tmp_path / "r.json").read_text()) == values


def test_dict_holds_everything_but_functions() -> None:
    report = health_reports.exploding()
    values = report.to_dict()
    assert [*values] == [
        "verdict", "cause", "layers", "remedies", "untreated", "model_name", "progress", "illness",
        "cost", "folds",
    ]  # fmt: skip
    assert [*values["remedies"][0]] == ["name", "change", "trial", "helped"]
    assert values["untreated"]["losses"][:2] == [2.3, 40.0]
    assert values["untreated"]["losses"][-2:] == [None, None]
    assert values["layers"][0]["figures"] == {"gradient_ratio": None, "growth": None}
    step = values["untreated"]["steps"][3]
    assert step["step"] == 3
    exact = report.untreated.steps[3].layers["dense"].gradient_norm
    assert step["layers"]["dense"]["gradient_norm"] == exact


def test_dict_turns_numpys_numbers_into_pythons() -> None:
    layer = LayerReport("a", "Dense", "healthy", "", {"x": np.float32(0.5), "n": np.int64(3)})
    report = replace(health_reports.empty(), layers=(layer,))
    figures = report.to_dict()["layers"][0]["figures"]
    assert figures == {"x": 0.5, "n": 3}
    assert [type(value) for value in figures.values()] == [float, int]


# As a picture.


@pytest.mark.parametrize("name", ["vanishing", "exploding", "healthy", "one layer", "fifty layers"])
def test_gradient_flow_draws(name: str) -> None:
    pytest.importorskip("matplotlib")
    report = health_reports.ALL[name]()
    for shown in (report, report.untreated.steps):
        file = io.BytesIO()
        plots.gradient_flow(shown).savefig(file)
        assert file.getvalue().startswith(b"\x89PNG")
    assert "matplotlib.pyplot" not in sys.modules


def test_gradient_flow_shows_first_and_last_step() -> None:
    pytest.importorskip("matplotlib")
    from matplotlib.figure import Figure

    report = health_reports.vanishing()
    axes = Figure().subplots()
    figure = plots.gradient_flow(report, ax=axes)
    assert figure is axes.figure and figure.axes == [axes]
    assert axes.get_yscale() == "log"
    first, last, treated = axes.get_lines()
    for curve, step in ((first, report.untreated.steps[0]), (last, report.untreated.steps[-1])):
        wanted = [layer.gradient_rms for layer in step.layers.values()]
        np.testing.assert_array_equal(curve.get_ydata(), wanted)
    best = report.best
    assert best is not None and best.trial is not None
    after = best.trial.steps[-1].layers
    names = report.untreated.steps[0].layers
    wanted = [after[name].gradient_rms if name in after else np.nan for name in names]
    np.testing.assert_array_equal(treated.get_ydata(), wanted)
    assert treated.get_label() == f"with {best.name}"
    labels = axes.get_xticklabels()
    assert [label.get_text() for label in labels] == [layer.name for layer in report.layers]
    colours = [label.get_color() for label in labels]
    assert colours == [plots.WRONG] * 9 + [plots.FAINT] * 3


def test_gradient_flow_marks_what_a_logarithm_cannot_show() -> None:
    pytest.importorskip("matplotlib")
    axes = plots.gradient_flow(health_reports.exploding()).axes[0]
    lines = {line.get_label(): line for line in axes.get_lines()}
    assert [*lines] == ["step 0", "step 8", "infinite or NaN"]
    np.testing.assert_array_equal(lines["infinite or NaN"].get_xdata(), range(8))
    axes = plots.gradient_flow(health_reports.long({3, 20})).axes[0]
    lines = {line.get_label(): line for line in axes.get_lines()}
    np.testing.assert_array_equal(lines["exactly 0"].get_xdata(), [3, 20])


def test_gradient_flow_faults() -> None:
    with pytest.raises(ValueError, match="gradient_flow: no step shows a gradient"):
        plots.gradient_flow(health_reports.empty())
    with pytest.raises(ValueError, match="gradient_flow: no step shows a gradient"):
        plots.gradient_flow([StepStatistics(0, {"flatten": LayerStatistics("flatten")})])
    with pytest.raises(TypeError, match="wanted a Report or StepStatistics, got float"):
        plots.gradient_flow([1.0])  # type: ignore[list-item]


# Whatever the figures are.

SIZES = st.floats(1e-30, 1e30)
ANY = st.one_of(SIZES, SIZES.map(lambda x: -x), st.sampled_from([0.0, -0.0, nan, inf, -inf]))
SHARES = st.one_of(st.floats(0, 1), st.just(nan))
NORMS = st.one_of(SIZES, st.sampled_from([0.0, nan, inf]))
TEXTS = st.text(max_size=40)


def layers(name: str) -> st.SearchStrategy[LayerStatistics]:
    return st.builds(
        LayerStatistics,
        st.just(name), NORMS, NORMS, st.integers(0, 10**6), NORMS, NORMS, st.integers(0, 9),
        TEXTS, ANY, NORMS, SHARES, SHARES, SHARES,
    )  # fmt: skip


@st.composite
def any_trial(draw: st.DrawFn, names: list[str]) -> Trial:
    steps = draw(
        st.lists(
            st.fixed_dictionaries({}, optional={name: layers(name) for name in names}), max_size=3
        )
    )
    return Trial(
        tuple(draw(st.lists(ANY, max_size=5))),
        draw(ANY), draw(SHARES), draw(NORMS), draw(st.none() | TEXTS),
        tuple(StepStatistics(i, seen) for i, seen in enumerate(steps)),
        batch_size=draw(st.integers(0, 10**5)),
    )  # fmt: skip


@st.composite
def any_report(draw: st.DrawFn) -> Report:
    names = draw(st.lists(TEXTS, max_size=3, unique=True))
    figures = st.dictionaries(TEXTS, ANY, max_size=2)
    verdicts = st.sampled_from(VERDICTS)
    layer = st.builds(LayerReport, st.sampled_from([*names, "x"]), TEXTS, verdicts, TEXTS, figures)
    remedy = st.builds(
        Remedy, TEXTS, TEXTS, st.none() | any_trial(names), st.booleans(),
        st.just(health_reports.never),
    )  # fmt: skip
    return Report(
        draw(verdicts), draw(TEXTS), tuple(draw(st.lists(layer, max_size=3))),
        tuple(draw(st.lists(remedy, max_size=2))), draw(any_trial(names)),
        draw(TEXTS),
    )  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(any_report())
def test_any_report_can_be_read(report: Report) -> None:
    text = str(report)
    assert max(map(len, text.split("\n"))) <= WIDTH
    page = Page(report_page(report))
    bad = [value for _, name, value in page.attributes if name == "d" and re.search("n|i", value)]
    assert not bad
    json.dumps(report.to_dict(), allow_nan=False)


@settings(max_examples=15, deadline=None)
@given(st.data())
def test_any_gradients_can_be_drawn(data: Any) -> None:
    pytest.importorskip("matplotlib")
    steps = data.draw(any_trial(["a", "b", "c"])).steps
    try:
        figure = plots.gradient_flow(steps)
    except ValueError as fault:
        assert "no step shows a gradient" in str(fault)
    else:
        figure.savefig(io.BytesIO(), dpi=20)


def test_the_page_names_r2_as_the_field_does() -> None:
    before, after = Trial((1.0,), loss=2.0, r2=0.1), Trial((1.0,), loss=0.2, r2=0.88)
    remedy = Remedy("target_scale", "scaled", after, True, lambda: None)
    page = Report("target_scale", "", (), (remedy,), before)._repr_html_()
    assert "R2 0.1 \u2192 0.88" in page and "r2 0.1" not in page

"""What a profile shows: its tables, its trace and its flame chart."""

import itertools
import json
import time
import xml.etree.ElementTree as ET
from html.parser import HTMLParser

import pytest
from profiled import Net, X, training

import tinygrad_like as tg
from tinygrad_like import nn
from tinygrad_like.inspect.flame import TOP, WIDTH
from tinygrad_like.inspect.peak import peak

# What it shows


def test_the_table_names_what_took_time():
    with tg.profile(peak=1e9) as p:
        training(Net())
    lines = str(p).splitlines()
    assert "of the peak of 1 GFLOP/s" in lines[0]
    assert lines[2].split() == "phase op calls ms share allocated FLOP FLOP/s of peak".split()
    assert any(line.startswith("optimizer  Adam") for line in lines)
    assert any(line.startswith("Net.body.0") for line in lines)
    assert "100.0%" in next(line for line in lines if line.split()[:1] == ["sum"])
    assert str(tg.profile()) == "0.00 ms, 0 FLOP\n\n" + "\n".join(
        str(tg.profile()).splitlines()[2:]
    )


def test_many_rows_are_summed_up_in_the_table():
    names = (
        "exp sin cos tanh sqrt log1p expm1 abs negative floor ceil round sign square erf".split()
    )
    names += (
        "cosh sinh log2 exp2 arctan relu sigmoid silu softplus gelu elu log10 cbrt sinc".split()
    )
    names += "tan arcsinh rsqrt softsign".split()
    x = tg.full((3,), 0.5)
    with tg.profile(peak=1e9) as p:
        for name in names:
            getattr(tg, name)(x)
    assert len(p.rows) == len(names) + 1
    assert f"{len(p.rows) - 30} more" in str(p)


def test_the_trace_is_one_that_perfetto_opens(tmp_path):
    with tg.profile() as p:
        training(Net())
    p.save(tmp_path / "trace.json")
    trace = json.loads((tmp_path / "trace.json").read_text())
    events = [e for e in trace["traceEvents"] if e["ph"] == "X"]
    assert len(events) == len(p.spans)
    assert all({"name", "cat", "ts", "dur", "pid", "tid", "args"} <= e.keys() for e in events)
    ends: list = []
    for e in sorted(events, key=lambda e: (e["ts"], -e["dur"])):  # they nest, as Perfetto asks
        while ends and e["ts"] >= ends[-1] - 1e-6:
            ends.pop()
        assert not ends or e["ts"] + e["dur"] <= ends[-1] + 1e-6
        ends.append(e["ts"] + e["dur"])
    linear = next(e for e in events if e["name"] == "linear" and e["cat"] == "forward")
    assert linear["args"]["inputs"] == [[8, 6], [6, 9], [9]]
    assert linear["args"]["module"] == "Net.body.0"
    assert linear["args"]["flops"] == 2 * 8 * 6 * 9


def bars(text):
    """[(x, y, width, title)] of the bars of a flame chart."""
    space = "{http://www.w3.org/2000/svg}"
    found = []
    for g in ET.fromstring(text).iter(f"{space}g"):
        rect, title = g.find(f"{space}rect"), g.find(f"{space}title")
        x, y, width = (float(rect.get(name)) for name in ("x", "y", "width"))
        found.append((x, y, width, title.text))
    return found


def test_bars_of_the_flame_chart_lie_in_those_above_them(tmp_path):
    with tg.profile() as p:
        training(Net(), steps=5)
    p.save(tmp_path / "flame.svg")
    found = bars((tmp_path / "flame.svg").read_text())
    assert (found[0][0], found[0][1]) == (0, TOP)
    assert found[0][2] == pytest.approx(WIDTH, abs=1)
    for x, y, width, title in found[1:]:
        above = [b for b in found if b[1] == y - 18 and b[0] <= x + 0.02]
        assert any(x + width <= b[0] + b[2] + 0.6 for b in above), title
    titles = [title for *_, title in found]
    assert any(t.startswith("0 (Dense): ") and "5 times" in t for t in titles)
    assert any(t.startswith("linear: ") and "MFLOP" in t for t in titles)
    rows = sorted({(y, x, width) for x, y, width, _ in found})
    for a, b in itertools.pairwise(rows):
        assert a[0] != b[0] or a[1] + a[2] <= b[1] + 0.5, "bars of a row overlap"


def test_the_page_needs_nothing_else_and_escapes_names(tmp_path):
    class Odd(nn.Module):
        def forward(self, x):
            return x * 2

    Odd.__name__ = "<b>&\"'"
    with tg.profile(peak=1e9) as p:
        Odd()(tg.ones(3))
    p.save(str(tmp_path / "flame.html"))
    text = (tmp_path / "flame.html").read_text(encoding="utf-8")
    tags = []
    parser = HTMLParser()
    parser.handle_starttag = lambda tag, attrs: tags.append((tag, dict(attrs)))
    parser.feed(text)
    assert {"svg", "script", "pre"} <= {tag for tag, _ in tags}
    assert "b" not in {tag for tag, _ in tags}
    assert not any("src" in attrs or "href" in attrs for _, attrs in tags)


def test_names_that_no_file_can_hold_are_shown_with_a_stand_in(tmp_path):
    with tg.profile(peak=1e9) as p, p.section("a\x00\x1b\ud800b"):
        time.sleep(0.01)
    for ending in ("svg", "html", "json"):
        p.save(tmp_path / f"p.{ending}")
    assert any(
        "a\ufffd\ufffd\ufffdb" in b[3] for b in bars((tmp_path / "p.svg").read_text("utf-8"))
    )
    assert "section a" in (tmp_path / "p.html").read_text("utf-8")


def test_a_section_outside_of_the_block_is_refused(tmp_path):
    with tg.profile() as p:
        pass
    for profile in (p, tg.profile()):
        with (
            pytest.raises(RuntimeError, match="section 'data' begins outside"),
            profile.section("data"),
        ):
            pass
    assert sum(row.seconds for row in p.rows) == pytest.approx(p.seconds)
    p.save(tmp_path / "P.JSON")
    assert json.loads((tmp_path / "P.JSON").read_text())["traceEvents"]


class Makes(nn.Module):
    """A module that makes another one in each call, of the class of one that it has."""

    def __init__(self):
        self.Dense = nn.Dense(6, 2)

    def forward(self, x):
        return nn.Dense(2, 3)(self.Dense(x))


def test_a_module_made_in_a_forward_is_not_taken_for_one_that_is_held():
    model, x = Makes(), tg.Tensor(X)
    with tg.profile() as p:
        model(x)
        model(x)
    calls = {path: (row.calls, row.flops) for path, row in p.modules.items()}
    own, made = 2 * (2 * 8 * 6 * 2), 2 * (2 * 8 * 2 * 3)
    assert calls["Makes.Dense"] == (2, own)
    assert calls["Makes.Dense()"] == (2, made)
    assert calls["Makes"] == (2, own + made)
    assert f"{own // 2:,}" in model.summary(x).splitlines()[2].split()


def test_another_ending_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"cannot write 'p\.txt', expected \.json"):
        tg.profile().save("p.txt")


def test_the_peak_is_measured_once_and_the_emulator_has_none():
    assert peak("cpu") == peak("cpu") > 1e8
    assert peak("cuda-emulator") is None


def test_bytes_are_those_of_new_arrays():
    x = tg.ones((100, 10), requires_grad=True)
    with tg.profile() as p:
        (tg.exp(x).reshape(10, 100) * 2).sum().backward()
    found = {(row.phase, row.name): row.bytes for row in p.rows}
    assert found["forward", "exp"] == found["forward", "multiply"] == 4000
    assert found["forward", "reshape"] == 0
    assert found["backward", "exp"] == 4000
    assert found["backward", "reshape"] == 0

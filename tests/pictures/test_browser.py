"""Pages as a real browser shows them: Chromium, without a window."""

import numpy as np
import pytest
from browser import browser, complaints, opened  # noqa: F401

import tinygrad_like as tg
from tinygrad_like import nn
from tinygrad_like.pictures import places

pytestmark = pytest.mark.long
EVIL = "</script><img src=x onerror=hacked=1><script>hacked=1</script>"


class Evil(nn.Module):
    """Everything that a user can name has a script in it."""

    def __init__(self):
        self.name = EVIL
        self.layers = {EVIL: nn.Dense(4, 4)}

    def forward(self, x):
        return tg.tanh(self.layers[EVIL](x))


class Recurrent(nn.Module):
    """An LSTM between a table and a layer."""

    def __init__(self):
        self.embed, self.lstm, self.head = nn.Embedding(50, 16), nn.LSTM(16, 32), nn.Dense(32, 5)

    def forward(self, ids):
        return self.head(self.lstm(ids if ids.ndim == 3 else self.embed(ids))[0][:, -1])


def squares(y):
    return (y * y).mean()


def cnn():
    layers = nn.Conv2D(1, 4, 3), nn.BatchNorm(4), nn.ReLU(), nn.MaxPool2D(2), nn.Flatten()
    model = nn.Sequential(nn.Sequential(*layers), nn.Dense(4 * 13 * 13, 10))
    return model.graph(tg.randn((2, 1, 28, 28)), loss=squares)


def lstm():
    return Recurrent().graph(np.arange(24).reshape(4, 6), loss=squares)


def gpt():
    return nn.GPT(20, 8, 16, 2, 2).graph(np.arange(16).reshape(2, 8), loss=squares)


def thousand():
    h, w, loss = tg.zeros((2, 3)), tg.randn((3, 3), requires_grad=True), tg.Tensor(0.0)
    for _ in range(250):
        h = tg.tanh(h @ w + 1)
        loss = loss + h.sum()
    graph = loss.graph()
    loss.backward()
    assert len(graph.items.boxes) >= 1000
    return graph


BOXES = """return [...document.querySelectorAll("g[data-number]")].map((group) => {
  const place = group.transform.baseVal[0].matrix, box = group.querySelector("rect");
  const widest = Math.max(0, ...[...group.querySelectorAll("text")].map(t => t.getBBox().width));
  return [+group.dataset.number, place.e, place.f, box.width.baseVal.value,
          box.height.baseVal.value, widest];
})"""
LINES = """return [...document.querySelectorAll("path.line")].map((line) =>
  line.getAttribute("d").match(/-?[\\d.]+(?:e-?\\d+)?/g).map(Number))"""


def expected(graph, folded):
    """Boxes and the lines' numbers, as Python places them."""
    texts = [box.texts() for box in graph.items.boxes]
    rooms = places.measure(graph.items, graph._levels, folded, texts)
    found = list(places.drawn(graph._levels, rooms))
    boxes = {d.number: d[1:5] for d in found if isinstance(d, places.Drawn)}
    return boxes, [d[0] for d in found if not isinstance(d, places.Drawn)]


def check_places(browser, graph, folded):  # noqa: F811
    boxes, lines = expected(graph, folded)
    shown = browser.execute_script(BOXES)
    assert {number for number, *_ in shown} == boxes.keys()
    for number, *place, widest in shown:
        np.testing.assert_allclose(place, boxes[number], atol=1e-3)
        assert widest + places.PAD <= boxes[number][2] + 0.5, "a label leaves its box"
    shown = browser.execute_script(LINES)
    numbers = [
        [float(n) for n in line.replace("M", " ").replace("V", " ").replace("C", " ").split()]
        for line in lines
    ]
    assert len(shown) == len(numbers)
    for mine, other in zip(shown, numbers, strict=True):
        np.testing.assert_allclose(mine, other, atol=0.06)


@pytest.mark.parametrize("make", [cnn, lstm, gpt, thousand])
def test_a_click_folds_and_unfolds_and_the_page_places_all_as_python_does(browser, tmp_path, make):  # noqa: F811
    graph = make()
    graph.save(tmp_path / "graph.html", depth=99)
    opened(browser, tmp_path / "graph.html")
    check_places(browser, graph, set())
    modules = [n for n in graph._levels if n is not None]
    rng, folded = np.random.default_rng(0), set()
    for number in rng.permutation(modules)[:8].tolist():
        found = browser.find_elements("css selector", f'[data-number="{number}"]')
        if found:  # it may lie within one that is folded
            text = 'document.querySelector(`[data-number="${arguments[0]}"]`)'
            browser.execute_script(f"{text}.dispatchEvent(new Event('click'))", number)
            folded ^= {number}
            check_places(browser, graph, folded)
    browser.find_element("id", "unfold").click()
    check_places(browser, graph, set())
    browser.find_element("id", "fold").click()
    check_places(browser, graph, set(modules))
    assert complaints(browser) == []


def test_a_real_click_and_a_key_turn_a_module(browser, tmp_path):  # noqa: F811
    graph = cnn()
    graph.save(tmp_path / "graph.html", depth=1)
    opened(browser, tmp_path / "graph.html")
    (inner,) = (n for n, box in enumerate(graph.items.boxes) if box.title == "0 · Sequential")
    find = lambda: browser.find_element("css selector", f'[data-number="{inner}"]')  # noqa: E731
    count = lambda: len(browser.execute_script(BOXES))  # noqa: E731
    before, place = count(), find().location
    find().find_element("css selector", ".title").click()
    assert find().get_attribute("aria-expanded") == "true"
    assert count() == before + 5
    assert find().location == place or find().location["x"] >= 0
    find().send_keys("\ue007")  # Enter
    assert count() == before
    assert browser.switch_to.active_element.get_attribute("data-number") == str(inner)


def test_colours_follow_the_choice(browser, tmp_path):  # noqa: F811
    graph = cnn()
    graph.save(tmp_path / "graph.html", depth=99)
    opened(browser, tmp_path / "graph.html")
    fills = """return Object.fromEntries([...document.querySelectorAll("g.op")].map(
      (group) => [group.dataset.number, getComputedStyle(group.querySelector("rect")).fill]))"""
    shades = graph._shades()
    for measure, (colours, shown) in shades.items():
        browser.find_element("css selector", f"#color option[value={measure}]").click()
        found = browser.execute_script(fills)
        assert len(found) == 8
        for number, fill in found.items():
            code = colours[int(number)][1:]
            assert fill == f"rgb({', '.join(str(int(code[i : i + 2], 16)) for i in (0, 2, 4))})"
        assert browser.find_element("id", "range").text == shown
        assert len(set(found.values())) > 3
    browser.find_element("css selector", "#color option[value=none]").click()
    assert set(browser.execute_script(fills).values()) == {"rgb(255, 255, 255)"}


def test_svg_files_are_drawn_with_labels_in_their_boxes(browser, tmp_path):  # noqa: F811
    gpt().save(tmp_path / "graph.svg", depth=99)
    opened(browser, tmp_path / "graph.svg")
    outside = """return [...document.querySelectorAll("g")].filter((group) => {
      const box = group.querySelector("rect").getBBox();
      return [...group.querySelectorAll("text")].some((text) => {
        const label = text.getBBox();
        return label.x + label.width > box.width || label.y + label.height > box.height + 1;
      })}).length"""
    assert browser.execute_script(outside) == 0
    assert browser.execute_script('return document.querySelectorAll("g").length') > 40


def test_a_notebook_s_page_shows_all_and_runs_no_one_s_script(browser, tmp_path):  # noqa: F811
    model = Evil()
    graph = model.graph(tg.ones((1, 4)), loss=squares)
    run = tg.Run(tmp_path / "a<b>", settings={"name": EVIL})
    for step in run.steps(3):
        run.log(**{EVIL: 1 / step, "loss": 2 / step})
    tensors = [tg.randn((40, 30)), tg.randn((3, 4, 5)), tg.zeros((0, 2)), tg.Tensor([1 + 2j])]
    shown = [graph, run, model, nn.GPT(20, 8, 16, 2, 2), *tensors]
    body = "<hr>".join(x._repr_html_() for x in shown)
    opened(browser, tmp_path / "notebook.html", f"<!DOCTYPE html><body><meta charset=utf-8>{body}")
    assert browser.execute_script("return typeof hacked") == "undefined"
    assert EVIL in browser.find_element("tag name", "body").text
    assert len(browser.find_elements("tag name", "img")) == 1
    assert browser.execute_script("return document.images[0].naturalWidth") == 30
    assert len(browser.find_elements("css selector", "body > div svg circle")) == 6
    first = browser.find_elements("tag name", "details")[0]
    summary = first.find_element("tag name", "summary")
    assert first.get_attribute("open")
    summary.click()
    assert not first.get_attribute("open")
    browser.switch_to.frame(browser.find_element("tag name", "iframe"))
    assert browser.execute_script("return typeof hacked") == "undefined"
    assert len(browser.execute_script(BOXES)) == len(graph.items.boxes)
    browser.find_element("id", "fold").click()
    assert len(browser.execute_script(BOXES)) < len(graph.items.boxes)
    browser.switch_to.default_content()
    assert complaints(browser) == []

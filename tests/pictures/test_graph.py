"""Pictures of graphs: what their boxes say is true, and nothing is changed by drawing them."""

import json
import re
import sys
import weakref
from xml.etree import ElementTree

import numpy as np
import pytest
from needed import needs_emulator

import tinygrad_like as tg
from tinygrad_like import nn, pictures
from tinygrad_like.engine import GraphError


def named(graph, *titles):
    """The boxes with these titles, each found once."""
    found = []
    for title in titles:
        (box,) = (box for box in graph.items.boxes if box.title == title)
        found.append(box)
    return found


def lines(graph):
    """{(title, title)} of the lines between boxes."""
    boxes = graph.items.boxes
    return {(boxes[a].title, boxes[b].title) for a, b in graph.items.lines}


def small():
    """A model with dropout, buffers, and a module that is called twice."""
    tg.seed(1)
    act = nn.Tanh()
    return nn.Sequential(nn.Dense(4, 8), nn.BatchNorm(8), act, nn.Dropout(0.5), nn.Dense(8, 3), act)


def squares(y):
    return (y * y).mean()


# Of a tensor


def test_a_graph_has_a_box_for_each_op_and_a_line_for_each_input():
    x = tg.ones((4, 3), requires_grad=True)
    graph = tg.exp(x * 2).sum().graph()
    assert lines(graph) == {("leaf", "multiply"), ("multiply", "exp"), ("exp", "sum")}
    leaf, exp = named(graph, "leaf", "exp")
    assert leaf.texts() == ["leaf", "(4, 3) float32"]
    assert exp.texts() == ["exp", "→ (4, 3) float32", "saved 48 B"]


def test_memory_that_several_ops_keep_counts_once_and_that_of_leaves_never():
    x = tg.ones((4, 3), requires_grad=True)
    y = tg.tanh(x)
    graph = (y * y * x).sum().graph()
    saved = [box.saved for box in graph.items.boxes if box.kind == "op"]
    assert saved == [48, 0, 48, 0]  # tanh's output, which y * y reads too; (y * y), but not x
    repeated = tg.broadcast_to(tg.exp(x[:1]), (1000, 3))
    assert sum(box.saved for box in (repeated * repeated).sum().graph().items.boxes) == 12
    y = tg.exp(x)
    turned = (y.T[::-1] * y.T[1:2]).sum().graph()  # views of what exp keeps
    assert [box.saved for box in turned.items.boxes if box.saved] == [48]


def test_each_byte_of_a_stretch_counts_once():
    rng = np.random.default_rng(0)
    for _ in range(30):
        memory, bytes_seen = pictures.memory.Memory(), set()
        for start, length in rng.integers(1, 40, (30, 2)).tolist():
            stretch = set(range(start, start + length))
            assert memory.add(start, start + length) == len(stretch - bytes_seen)
            bytes_seen |= stretch


def test_norms_of_gradients_are_noted_when_a_backward_pass_goes_through():
    x, w = tg.randn((3, 4), requires_grad=True), tg.randn((4, 2), requires_grad=True)
    y = x @ w
    y.retain_grad()
    graph = tg.tanh(y).sum().graph()
    assert all(box.gradient is None for box in graph.items.boxes)
    loss = tg.tanh(y).sum()
    shown = loss.graph()
    loss.backward()
    (product,) = named(shown, "matmul")
    assert product.gradient == pytest.approx(float(y.grad.norm()))
    leaves = [box.gradient for box in shown.items.boxes if box.kind == "leaf"]
    assert leaves == pytest.approx([float(x.grad.norm()), float(w.grad.norm())])
    assert f"∇ {float(y.grad.norm()):.3g}" in shown.svg()


def test_a_norm_of_huge_tiny_half_and_complex_gradients():
    for values, expected in (
        (np.array([3e200, 4e200]), 5e200),
        (np.array([3e-200, 4e-200]), 5e-200),
        (np.array([300, 400], np.float16) * 100, 50000),
        (np.array([3j, 4]), 5),
        (np.zeros((0, 3)), 0),
    ):
        assert pictures.items.norm(tg.Tensor(values)) == pytest.approx(expected, rel=1e-3)
    assert np.isnan(pictures.items.norm(tg.Tensor([np.nan, 1])))


def test_outputs_of_one_call_share_a_box():
    x = tg.ones((4, 3), requires_grad=True)
    first, second, _ = x.split(3, axis=1)
    graph = (first * second).sum().graph()
    (split,) = named(graph, "split")
    assert split.texts()[1] == "→ (4, 1) float32, (4, 1) float32, (4, 1) float32"
    (first * second).sum().backward()
    loss = tg.stack(x.split(3, axis=1)).sum()
    graph = loss.graph()
    loss.backward()
    assert named(graph, "split")[0].gradient == pytest.approx(12**0.5)


def test_a_model_gives_the_parameters_of_a_loss_their_names():
    model = small()
    loss = squares(model(tg.ones((5, 4))))
    graph = loss.graph(model)
    assert "leaf" not in {box.title for box in graph.items.boxes}
    first = next(box for box in graph.items.boxes if box.title == "linear")
    assert [leaf.name for leaf in first.leaves] == ["0.weight", "0.bias"]


def test_a_picture_holds_no_array_of_the_graph():
    x = tg.ones((4, 3), requires_grad=True)
    y = tg.exp(x)
    loss, array = y.sum(), weakref.ref(y.data)
    graph = loss.graph()
    del y, loss
    assert array() is None
    assert "exp" in graph.svg()


def test_what_has_no_graph_is_refused_with_the_cure():
    x = tg.ones(3, requires_grad=True)
    with pytest.raises(GraphError, match=r"\[graph\] this tensor of shape \(3,\) has no graph"):
        tg.ones(3).graph()
    loss = (x * x).sum()
    loss.backward()
    with pytest.raises(GraphError, match=r"has freed this graph: call graph\(\) before backward"):
        loss.graph()
    with pytest.raises(GraphError, match="runs inside vmap"):
        tg.vmap(lambda x: (x * x).sum().graph())(x)
    with pytest.raises(TypeError, match="model is a int"):
        (x * x).graph(3)
    assert repr(x.graph()) == "Graph(1 boxes, 0 lines)"


# Of a model


def test_a_model_s_modules_are_boxes_with_what_they_compute():
    graph = small().graph(np.ones((5, 4), np.float32), loss=squares)
    model, dense, norm, twice = named(
        graph, "Sequential", "0 · Dense", "1 · BatchNorm", "2 · Tanh (call 2)"
    )
    assert {box.home for box in (dense, norm, twice)} == {model.number}
    assert dense.texts()[:4] == [
        *("0 · Dense", "linear", "→ (5, 8) float32"),
        f"weight (4, 8) float32 ∇ {dense.leaves[0].gradient:.3g}",
    ]
    assert lines(graph) >= {("input", "0 · Dense"), ("2 · Tanh", "3 · Dropout")}
    assert ("2 · Tanh (call 2)", "multiply") in lines(graph)
    inside = [box for box in graph.items.boxes if box.home == model.number]
    assert len(inside) == 6
    assert model.saved == sum(box.saved for box in inside) > 0
    assert model.forward > sum(box.forward for box in inside) > 0
    assert model.backward == pytest.approx(sum(box.backward for box in inside))
    assert all(box.backward > 0 for box in inside)


def test_drawing_a_model_changes_nothing():
    model = small()
    x = tg.randn((5, 4))
    squares(model(x)).backward()
    state, random = model.state_dict(), tg.get_rng_state()
    grads = [p.grad.numpy().copy() for p in model.parameters()]
    hooks = [p.node.hooks for p in model.parameters()]
    own = [dict(vars(module)) for _, module in model.named_modules()]
    arrays = [(id(b.data), b.version[0]) for _, b in model.named_buffers()]
    model.graph(x, loss=squares)
    assert [(id(b.data), b.version[0]) for _, b in model.named_buffers()] == arrays
    assert tg.get_rng_state() == random
    np.testing.assert_equal(
        {k: v.numpy() for k, v in model.state_dict().items()},
        {k: v.numpy() for k, v in state.items()},
    )
    np.testing.assert_equal([p.grad.numpy() for p in model.parameters()], grads)
    assert [p.node.hooks for p in model.parameters()] == hooks
    assert [dict(vars(module)) for _, module in model.named_modules()] == own
    with pytest.raises(TypeError, match="loss gave"):
        model.graph(x, loss=lambda y: y)
    assert [dict(vars(module)) for _, module in model.named_modules()] == own


def test_norms_are_those_of_the_training_step():
    model = small()
    x, random = tg.randn((5, 4)), tg.get_rng_state()
    graph = model.graph(x, loss=squares)
    tg.set_rng_state(random)
    squares(model(x)).backward()
    shown = {id(leaf.node): leaf.gradient for box in graph.items.boxes for leaf in box.leaves}
    for p in model.parameters():
        assert shown[id(p.node)] == pytest.approx(float(p.grad.norm()), rel=1e-5)


def test_a_checkpointed_module_is_drawn_once():
    class Checkpointed(nn.Module):
        def __init__(self):
            self.body = nn.Sequential(nn.Dense(3, 3), nn.Tanh())

        def forward(self, x):
            return tg.checkpoint(self.body, x)

    graph = Checkpointed().graph(tg.ones((2, 3), requires_grad=True), loss=squares)
    titles = [box.title for box in graph.items.boxes]
    assert titles.count("0 · Dense") == titles.count("1 · Tanh") == 1
    assert named(graph, "body · Sequential")[0].saved == 0


def test_a_module_without_a_recorded_op_is_drawn_where_values_pass_it():
    model = nn.Sequential(nn.Flatten(), nn.Dense(4, 2), nn.Dropout(0.5)).eval()
    graph = model.graph(tg.ones((3, 2, 2)))
    assert lines(graph) == {("input", "0 · Flatten"), ("0 · Flatten", "1 · Dense")}
    only = nn.Flatten().graph(tg.ones((3, 2, 2)))
    assert lines(only) == {("input", "Flatten")}
    assert "→ (3, 4) float32" in only.svg()


@needs_emulator
def test_a_model_on_another_device_is_drawn():
    model = nn.Sequential(nn.Dense(4, 2), nn.Tanh()).to("cuda-emulator")
    graph = model.graph(tg.ones((3, 4), device="cuda-emulator"), loss=squares)
    here = model.to("cpu").graph(tg.ones((3, 4)), loss=squares)
    assert [box.saved for box in graph.items.boxes] == [box.saved for box in here.items.boxes]
    norms = [[box.gradient for box in g.items.boxes if box.kind == "op"] for g in (graph, here)]
    assert norms[0] == pytest.approx(norms[1], rel=1e-4)


class Squared(nn.Module):
    """It multiplies without a layer."""

    def forward(self, x):
        return x * x * x


def test_ops_are_timed_where_no_other_profiler_runs():
    x = tg.ones((2, 2), requires_grad=True)

    def times():
        boxes = Squared().graph(x, loss=squares).items.boxes
        return [box.forward for box in boxes if box.title == "multiply"]

    assert all(0 < seconds < 1 for seconds in times())
    assert sys.getprofile() is None
    other = lambda *event: None  # noqa: E731
    try:
        sys.setprofile(other)
        assert times() == [None] * 3
        assert sys.getprofile() is other
    finally:
        sys.setprofile(None)


def test_losses_that_are_none_are_refused():
    model = nn.Dense(2, 2)
    with pytest.raises(TypeError, match="loss is a int"):
        model.graph(tg.ones((1, 2)), loss=3)
    with pytest.raises(TypeError, match=r"loss gave .*expected a Tensor with one real number"):
        model.graph(tg.ones((1, 2)), loss=lambda y: float(y.sum()))
    with pytest.raises(ValueError, match=r"linear|axis"):
        model.graph(tg.ones((1, 3)))


# As files


class Evil(nn.Module):
    """Names as no one should choose them."""

    def __init__(self):
        self.layers = {"</script><b>&\"'\x00\ud800": nn.Dense(2, 2), "x" * 300: nn.Dense(2, 2)}

    def forward(self, x):
        for layer in self.layers.values():
            x = layer(x)
        return x


def test_files_are_whole_and_all_names_in_them_are_escaped(tmp_path):
    graph = Evil().graph(tg.ones((1, 2)), loss=squares)
    graph.save(tmp_path / "graph.svg")
    graph.save(str(tmp_path / "graph.HTML"), depth=0, color="saved")
    root = ElementTree.parse(tmp_path / "graph.svg").getroot()
    texts = [e.text for e in root.iter("{http://www.w3.org/2000/svg}text")]
    assert any("</script><b>&\"'\N{REPLACEMENT CHARACTER}" in text for text in texts)
    assert max(map(len, texts)) <= 64
    page = (tmp_path / "graph.HTML").read_text(encoding="utf-8")
    assert page.count("</script>") == 2
    data = json.loads(re.search(r'id="data">(.*?)</script>', page, re.DOTALL)[1])
    assert data["color"] == "saved"
    assert data["folded"] == [1]
    assert "http" not in page.replace("http://www.w3.org/2000/svg", ""), "it needs a network"


def test_what_cannot_be_drawn_is_refused(tmp_path):
    graph = tg.ones(2, requires_grad=True).sum().graph()
    with pytest.raises(ValueError, match=r"ends in '.png', expected .svg or .html"):
        graph.save(tmp_path / "graph.png")
    with pytest.raises(ValueError, match="depth is -1"):
        graph.svg(depth=-1)
    with pytest.raises(ValueError, match=r"color is 'red'.*'time'.*'none'"):
        graph.svg(color="red")


def test_modules_are_folded_until_the_picture_is_small():
    model = nn.Sequential(*(nn.Sequential(nn.Dense(2, 2), nn.Tanh()) for _ in range(30)))
    graph = model.graph(tg.ones((1, 2)))
    shown = ElementTree.fromstring(graph.svg())
    groups = [e.get("class") for e in shown.iter("{http://www.w3.org/2000/svg}g")]
    assert groups.count("module") == 30
    assert groups.count("module open") == 1
    whole = ElementTree.fromstring(graph.svg(depth=9))
    groups = [e.get("class") for e in whole.iter("{http://www.w3.org/2000/svg}g")]
    assert (groups.count("op"), groups.count("module open")) == (60, 31)

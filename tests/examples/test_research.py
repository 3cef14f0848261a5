"""The research examples: a figure that each reaches in a short run, and a formula for its core."""

import importlib
import re
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

import tinygrad_like as tg
from tinygrad_like import nn

RESEARCH = Path(__file__).parents[2] / "examples" / "research"


@pytest.fixture(scope="module", autouse=True)
def beside_the_examples():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(RESEARCH))
        yield


def example(name):
    return importlib.import_module(name)


def run(name, options, folder, capsys):
    """The numbers in the last line that a short run prints."""
    assert example(name).main([*options.split(), "--out", str(folder)]) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert (folder / "report.png").read_bytes().startswith(b"\x89PNG")
    return [float(number) for number in re.findall(r"\d+\.\d+", last.split(";")[0])]


# Learning to learn


def test_the_gradient_of_maml_passes_through_the_steps():
    """Along a direction it is the slope of the loss after the steps, to 1e-6."""
    maml = example("maml")
    model = maml.network().to("float64")
    x, y = (a.astype("float64") for a in maml.curves(3, 2 * maml.POINTS))
    loss = lambda weights: maml.error_after_steps(model, weights, x, y, 0.03)  # noqa: E731
    weights = model.state_dict()
    direction = {name: tg.randn(w.shape, dtype="float64") for name, w in weights.items()}
    gradient = tg.grad(loss)(weights)
    along = sum((gradient[name] * direction[name]).sum() for name in weights).item()
    moved = [{n: w + h * direction[n] for n, w in weights.items()} for h in (1e-5, -1e-5)]
    slope = (loss(moved[0]) - loss(moved[1])).item() / 2e-5
    assert along == pytest.approx(slope, rel=1e-6)


def test_maml_adapts_all_tasks_at_once_as_one_by_one():
    maml = example("maml")
    model = maml.network().to("float64")
    x, y = (a.astype("float64") for a in maml.curves(4, 2 * maml.POINTS))
    error = lambda x, y: maml.error_after_steps(model, model.state_dict(), x, y, 0.03)  # noqa: E731
    alone = [error(x[i : i + 1], y[i : i + 1]).item() for i in range(4)]
    assert error(x, y).item() == pytest.approx(np.mean(alone), rel=1e-12)


@pytest.mark.long
def test_maml_fits_a_new_curve_in_five_steps(tmp_path, capsys):
    """After 200 steps of training: an error below 1, where ordinary training leaves 2 or more."""
    error, plain = run("maml", "--steps 200", tmp_path, capsys)
    assert error < 1
    assert plain > 2


# Privacy


def test_no_example_adds_more_than_the_bound():
    private = example("private")
    model = private.network()
    train, _ = tg.data.digits()
    images, labels = (a[:40] for a in train.arrays)
    weights = model.state_dict()
    _, norms = private.clipped_gradients(model, weights, images, labels, 1.0)
    bound = float(np.median(norms.numpy()))
    gradients, norms = private.clipped_gradients(model, weights, images, labels, bound)
    after = np.sqrt(sum((g.numpy() ** 2).reshape(40, -1).sum(axis=1) for g in gradients.values()))
    np.testing.assert_allclose(after, np.minimum(norms.numpy(), bound), rtol=1e-5)

    for i in np.argsort(norms.numpy())[[0, -1]]:  # one that is left alone, one that is clipped
        model.zero_grad()
        tg.losses.cross_entropy(model(images[i : i + 1]), labels[i : i + 1]).backward()
        for name, w in model.named_parameters():
            expected = w.grad.numpy() * min(1, bound / norms[i].item())
            np.testing.assert_allclose(gradients[name][i].numpy(), expected, rtol=1e-4, atol=1e-6)


def test_epsilon_is_that_of_the_integral_which_defines_it():
    """The formula for whole orders, against sums over the noise z of the ratio of densities."""
    private = example("private")
    share, noise, steps = 0.1, 2.0, 50
    z = np.linspace(-40, 80, 100_001)
    normal = -((z / noise) ** 2) / 2 - np.log(noise * np.sqrt(2 * np.pi))
    ratio = np.logaddexp(np.log(1 - share), np.log(share) + (2 * z - 1) / (2 * noise**2))
    found = []
    for a in range(2, 20):
        moment = np.exp(normal + a * ratio).sum() * (z[1] - z[0])
        found.append((steps * np.log(moment) - np.log(private.DELTA)) / (a - 1))
    assert private.epsilon(share, noise, steps) == pytest.approx(min(found), rel=1e-6)


@pytest.mark.long
def test_private_training_learns_the_digits(tmp_path, capsys):
    """In 100 steps 80% of the digits, at epsilon 3.3; without privacy 85%."""
    plain, spent, private = run("private", "--steps 100", tmp_path, capsys)
    assert plain > 85
    assert private > 80
    assert spent == pytest.approx(3.3, abs=0.05)


# The spectrum of a Hessian


def tiny_loss():
    """A loss of 26 weights, and the weights."""
    model = nn.Sequential(nn.Dense(3, 4), nn.Tanh(), nn.Dense(4, 2)).to("float64")
    x, labels = tg.randn((20, 3), dtype="float64"), np.arange(20) % 2
    loss = lambda w: tg.losses.cross_entropy(tg.functional_call(model, w, x), labels)  # noqa: E731
    return loss, model.state_dict()


def test_lanczos_finds_the_extreme_eigenvalues():
    """Those of the dense Hessian, to 1e-6."""
    spectrum = example("spectrum")
    loss, weights = tiny_loss()
    blocks = tg.hessian(loss)(weights)
    rows = [
        np.concatenate([blocks[i][j].numpy().reshape(w.size, -1) for j in weights], axis=1)
        for i, w in weights.items()
    ]
    expected = np.linalg.eigvalsh(np.concatenate(rows))
    values, shares = spectrum.spectrum(loss, weights, 20, 3)
    assert values.max() == pytest.approx(expected[-1], abs=1e-6)
    assert values.min() == pytest.approx(expected[0], abs=1e-6)
    assert shares.sum() == pytest.approx(1)


def test_the_density_is_that_of_the_eigenvalues():
    """Of a diagonal map: a tenth of its values at 3 and the others at 1."""
    spectrum = example("spectrum")
    diagonal = np.where(np.arange(1000) < 100, 3.0, 1.0)
    values, shares = spectrum.lanczos(lambda v: diagonal * v, np.ones(1000), 10)
    np.testing.assert_allclose(values, [1, 3])
    at = np.linspace(0, 4, 4001)
    density = spectrum.density(at, values, shares, 0.05)
    assert density.sum() * 1e-3 == pytest.approx(1, abs=1e-6)
    assert density[at > 2].sum() * 1e-3 == pytest.approx(0.1, abs=1e-6)


def test_training_takes_the_negative_curvature_away(tmp_path, capsys):
    """The least eigenvalue is -0.3 at the start and about a hundredth of that after 100 steps."""
    options = "--out", str(tmp_path), "--products", "40", "--starts", "2"
    assert example("spectrum").main(options) == 0
    start, end = re.findall(r"from (-?[\d.]+) to ([\d.]+), (\d+) above", capsys.readouterr().out)
    assert float(start[0]) < -0.25
    assert float(end[0]) > -0.02
    assert 0.5 < float(end[1]) < 1.5
    assert int(end[2]) < 15 < int(start[2])
    assert (tmp_path / "report.png").read_bytes().startswith(b"\x89PNG")


# A neural differential equation


def gradients_of_a_path(solve, steps, seconds=1.0):
    """Of a weighted sum of a path by all weights and by its start, in float64."""
    ode = example("neural_ode")
    tg.seed(3)
    model = ode.Law().to("float64")
    times, z = np.linspace(0.0, seconds, 6), tg.randn((4, 2), dtype="float64")
    weighting = tg.randn((6, 4, 2), dtype="float64")

    def loss(weights, z):
        field = lambda weights, z: tg.functional_call(model, weights, z)  # noqa: E731
        return (getattr(ode, solve)(field, weights, z, times, steps) * weighting).sum()

    by_weights, by_z = tg.grad(loss, argnums=(0, 1))(model.state_dict(), z)
    return np.concatenate([g.numpy().ravel() for g in (*by_weights.values(), by_z)])


def test_the_adjoint_gives_the_gradient_of_the_solver():
    """To 1e-6 of its norm; with steps of half the size the difference is a sixteenth, as RK4's."""
    differences = []
    for steps in (2, 4):
        expected = gradients_of_a_path("path", steps)
        found = gradients_of_a_path("path_with_adjoint", steps)
        differences.append(np.linalg.norm(found - expected) / np.linalg.norm(expected))
    assert differences[0] < 1e-5
    assert differences[1] < 1e-6
    assert 8 < differences[0] / differences[1] < 40


def peak(solve, steps):
    tracemalloc.start()
    gradients_of_a_path(solve, steps)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return most


def test_the_adjoint_keeps_nothing_of_the_steps():
    """Ten times the steps take the same memory, with which the solver's own gradient grows."""
    for solve in ("path", "path_with_adjoint"):
        gradients_of_a_path(solve, 1)  # whatever is made once
    assert peak("path_with_adjoint", 20) < 1.2 * peak("path_with_adjoint", 2)
    assert peak("path", 20) > 4 * peak("path", 2)


@pytest.mark.long
def test_a_neural_equation_follows_the_pendulum(tmp_path, capsys):
    """In 250 steps to a mean distance below 0.5, on a path that begins at 2.5."""
    (distance,) = run("neural_ode", "--steps 250", tmp_path, capsys)
    assert distance < 0.5


# The heat equation


def test_the_exact_solution_fulfils_the_equation():
    """Its residual is 0, that of u = x^2 t is x^2 - 0.2 t."""
    heat = example("heat")
    x, t = tg.rand(20, dtype="float64"), tg.rand(20, dtype="float64")

    def true(z):  # in the coordinates of the network, from -1 to 1
        x, t = (z[..., :1] + 1) / 2, (z[..., 1:] + 1) / 2
        return heat.exact(x, t)

    def parabola(z):
        return ((z[..., :1] + 1) / 2) ** 2 * (z[..., 1:] + 1) / 2

    for model, expected in ((true, np.zeros(20)), (parabola, (x**2 - 0.2 * t).numpy())):
        found = tg.vmap(lambda x, t, model=model: heat.residual(model, x, t))(x, t)
        np.testing.assert_allclose(found.numpy(), expected, atol=1e-12)


@pytest.mark.long
def test_the_network_solves_the_heat_equation(tmp_path, capsys):
    """In 700 steps to a relative error below 6%; the example's 3,000 come below 1%."""
    (error,) = run("heat", "--steps 700 --points 64 --lr 0.01", tmp_path, capsys)
    assert error < 6


# A deep equilibrium


def test_the_gradient_of_an_equilibrium_is_that_of_its_unrolled_layers():
    """300 layers, one after the other, to 1e-8 in float64."""
    layer = example("equilibrium").Equilibrium(6, 5).to("float64").eval()
    x, weighting = (tg.randn(shape, dtype="float64") for shape in ((4, 6), (4, 5)))
    (layer(x) * weighting).sum().backward()
    found = {name: p.grad.numpy() for name, p in layer.named_parameters()}

    layer.zero_grad()
    step, z = layer.step(x), tg.zeros((4, 5), dtype="float64")
    for _ in range(300):
        z = step(z)
    (z * weighting).sum().backward()
    for name, p in layer.named_parameters():
        np.testing.assert_allclose(found[name], p.grad.numpy(), atol=1e-8, err_msg=name)


def test_an_equilibrium_learns_the_digits(tmp_path, capsys):
    """In 5 epochs 80% of them, with at most 20 computations of the layer."""
    assert example("equilibrium").main(["--epochs", "5", "--out", str(tmp_path)]) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    accuracy, anderson, repeated = re.findall(r"([\d.]+)%.*?(\d+) by.*?(\d+) by", last)[0]
    assert float(accuracy) > 80
    assert int(anderson) < int(repeated)
    assert int(anderson) <= 20
    assert (tmp_path / "report.png").read_bytes().startswith(b"\x89PNG")


# Low-rank changes


@pytest.fixture
def offline(tmp_path, monkeypatch):
    """A machine without tiny Shakespeare and without a network."""
    monkeypatch.setenv("TINYGRAD_LIKE_DATA", "")
    for name in ("XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.setenv(name, str(tmp_path / "cache"))
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # nothing listens there


@pytest.mark.long
def test_a_gpt_is_adapted_by_changes_of_low_rank(offline, tmp_path, capsys):
    """A tiny one, by 6% of its parameters: the loss falls by 0.15; the others stay as they were."""
    lora = example("lora")
    sizes = "--layers 1 --width 32 --context 32 --steps 500 --adapt-steps 300 --length 20".split()
    assert lora.main([*sizes, "--rank", "2", "--out", str(tmp_path)]) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    before, share, after = map(float, re.findall(r"\d+\.\d+", last.split(";")[0]))
    assert after < before - 0.15, last
    assert share < 10

    base, adapted = (
        tg.io.load(tmp_path / name / "checkpoint.safetensors")["model"]
        for name in ("base", "adapted")
    )
    for name, value in base.items():
        same = adapted[name if name in adapted else name + ".base"]
        assert same.tobytes() == value.tobytes(), f"{name} has changed"

    vocabulary = len(base["token.weight"])
    gpt, merged = (nn.GPT(vocabulary, 32, 32, 1, 4) for _ in range(2))
    lora.add_changes(gpt, 2)
    gpt.load_state_dict(adapted)
    merged.load_state_dict(tg.io.load(tmp_path / "adapted" / "merged.safetensors"))
    ids = np.arange(32)[None] % vocabulary
    np.testing.assert_allclose(merged(ids).numpy(), gpt(ids).numpy(), rtol=1e-4, atol=1e-5)


# Images from random numbers


def test_the_bound_of_an_autoencoder_lies_below_the_likelihood():
    """log p(x) by summing over a grid of z, for one hidden number."""
    vae = example("vae")
    tg.seed(0)
    model = vae.VAE(6, 5, 1).to("float64")
    x = tg.Tensor([[1.0, 0, 1, 1, 0, 0]], dtype="float64")
    z = np.linspace(-12, 12, 20001)[:, None]
    joint = model.images(tg.Tensor(z)).log_prob(x) + model.prior(x).log_prob(z)
    likelihood = np.log(np.exp(joint.numpy()).sum() * (z[1, 0] - z[0, 0]))
    q = model.posterior(x)
    gap = tg.exp(q.log_prob(z)) * (q.log_prob(z) - joint + likelihood)
    gap = gap.numpy().sum() * (z[1, 0] - z[0, 0])  # the divergence of q from p(z | x)
    bounds = model(tg.concatenate([x] * 20000)).numpy()
    assert abs(bounds.mean() - (likelihood - gap)) < 5 * bounds.std() / np.sqrt(20000)
    assert gap > 1e-3


@pytest.mark.long
def test_an_autoencoder_learns_the_digits(tmp_path, capsys):
    """In 5 epochs the bound rises from below -44 nats, 64 pixels by chance, to above -28."""
    (bound,) = run("vae", "--digits --epochs 5", tmp_path, capsys)
    assert bound < 28

"""tg.losses.ctc beside PyTorch: values, gradients of two orders, and training in the emulator."""

import numpy as np
import pytest
from needed import needs_emulator
from oracle import F, needs_torch, torch

import tinygrad_like as tg
from tinygrad_like import losses, nn

RNG = np.random.default_rng(0)
T, N, CLASSES = 9, 5, 4
SCORES = 2 * RNG.normal(size=(T, N, CLASSES))
FRAMES = np.array([9, 7, 8, 4, 3])
LENGTHS = np.array([3, 0, 4, 2, 3])  # the last one has too few frames for its equal labels


def targets(blank):
    """Labels that are not the blank; those of the last sequence are equal."""
    others = np.array([c for c in range(CLASSES) if c != blank])
    found = others[RNG.integers(0, CLASSES - 1, (N, 4))]
    found[-1] = others[0]
    return found


@needs_torch
@pytest.mark.parametrize("blank", [0, 2, 3])
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_values_and_gradients_are_torchs(blank, reduction):
    labels, options = targets(blank), {"blank": blank, "reduction": reduction}
    x = torch.tensor(SCORES, requires_grad=True)
    arguments = [torch.tensor(a) for a in (labels, FRAMES, LENGTHS)]
    theirs = F.ctc_loss(x.log_softmax(-1), *arguments, zero_infinity=True, **options)
    theirs.backward()
    leaf = tg.Tensor(SCORES, requires_grad=True)
    ours = losses.ctc(tg.log_softmax(leaf), labels, FRAMES, LENGTHS, zero_infinity=True, **options)
    ours.backward()
    np.testing.assert_allclose(ours.numpy(), theirs.detach().numpy(), rtol=1e-9)
    np.testing.assert_allclose(leaf.grad.numpy(), x.grad.numpy(), rtol=1e-6, atol=1e-10)
    assert not leaf.grad.numpy()[:, -1].any()
    with_infinity = losses.ctc(tg.log_softmax(leaf), labels, FRAMES, LENGTHS, blank=blank)
    assert np.isinf(with_infinity.numpy())


def torch_by_frames(log_probs, labels, frames, blank):
    """The loss of one sequence, frame by frame in PyTorch's ops, which have every derivative."""
    states = [blank]
    for label in labels:
        states += [int(label), blank]
    floor = torch.tensor(-1e30, dtype=log_probs.dtype)
    paths = [log_probs[0, c] if s < 2 else floor for s, c in enumerate(states)]
    for t in range(1, frames):
        before, paths = paths, []
        for s, c in enumerate(states):
            come = before[max(0, s - 1) : s + 1]
            if s > 1 and c not in (blank, states[s - 2]):
                come = [before[s - 2], *come]
            paths.append(torch.logsumexp(torch.stack(come), 0) + log_probs[t, c])
    return -torch.logsumexp(torch.stack(paths[-2:]), 0)


@needs_torch
@pytest.mark.parametrize("blank", [0, 3])
def test_second_derivatives_are_those_of_torchs_ops(blank):
    """PyTorch's own ctc_loss has none. Sequence 1 has no labels."""
    labels, n = targets(blank), N - 1  # without the one that has no path
    direction = RNG.normal(size=(T, n, CLASSES))
    x = torch.tensor(SCORES[:, :n], requires_grad=True)
    log_probs = x.log_softmax(-1)
    loss = sum(
        torch_by_frames(log_probs[:, i], labels[i, : LENGTHS[i]], int(FRAMES[i]), blank)
        for i in range(n)
    )
    (first,) = torch.autograd.grad(loss, x, create_graph=True)
    (second,) = torch.autograd.grad((first * torch.tensor(direction)).sum(), x)

    def ours(x):
        return losses.ctc(
            tg.log_softmax(x), labels[:n], FRAMES[:n], LENGTHS[:n], blank=blank, reduction="sum"
        )

    x = tg.Tensor(SCORES[:, :n])
    np.testing.assert_allclose(ours(x).item(), loss.item(), rtol=1e-9)
    np.testing.assert_allclose(tg.grad(ours)(x).numpy(), first.detach().numpy(), atol=1e-9)
    found = tg.hvp(ours, x, tg.Tensor(direction))
    np.testing.assert_allclose(found.numpy(), second.numpy(), rtol=1e-6, atol=1e-8)


class Reader(nn.Module):
    """Frames (N, T, 5) -> logarithms of probabilities (T', N, 4): convolution, LSTM, Dense."""

    def __init__(self):
        self.conv = nn.Conv1D(5, 8, 3, stride=2, padding=1)
        self.lstm, self.head = nn.LSTM(8, 6, bidirectional=True), nn.Dense(12, 4)

    def forward(self, x):
        h = tg.relu(self.conv(x.swapaxes(1, 2))).swapaxes(1, 2)
        return tg.log_softmax(self.head(self.lstm(h)[0])).swapaxes(0, 1)


def losses_of_steps(device):
    tg.seed(0)
    model = Reader().to(device)
    optimizer = tg.optim.Adam(model.parameters(), 1e-2)
    x = np.random.default_rng(0).normal(size=(3, 12, 5)).astype(np.float32)
    found = []
    for _ in range(3):
        loss = losses.ctc(
            model(tg.Tensor(x, device=device)),
            *(
                tg.Tensor(np.array(a), device=device)
                for a in ([[1, 2], [3, 3], [2, 0]], [6, 6, 4], [2, 2, 1])
            ),
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        found.append(loss.item())
    return found


@needs_emulator
@pytest.mark.long
def test_a_reader_trains_in_the_emulator_as_on_the_cpu():
    on_cpu, emulated = losses_of_steps("cpu"), losses_of_steps("cuda-emulator")
    np.testing.assert_allclose(emulated, on_cpu, rtol=1e-5)
    assert on_cpu[2] < on_cpu[0]

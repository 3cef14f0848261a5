"""Models that PyTorch exports: their outputs and gradients here are PyTorch's."""

import warnings

import numpy as np
import pytest
from needed import imported

import tinygrad_like as tg

imported("onnx")
imported("onnxscript")
torch = imported("torch")

pytestmark = pytest.mark.long


class Block(torch.nn.Module):
    """Two convolutions beside a shortcut (He et al. 2015)."""

    def __init__(self, c, d, stride):
        super().__init__()
        nn = torch.nn
        self.conv1, self.bn1 = nn.Conv2d(c, d, 3, stride, 1, bias=False), nn.BatchNorm2d(d)
        self.conv2, self.bn2 = nn.Conv2d(d, d, 3, 1, 1, bias=False), nn.BatchNorm2d(d)
        self.down = nn.Identity()
        if stride > 1:
            self.down = nn.Sequential(nn.Conv2d(c, d, 1, stride, bias=False), nn.BatchNorm2d(d))

    def forward(self, x):
        y = self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x)))))
        return torch.relu(y + self.down(x))


def resnet18():
    nn, blocks = torch.nn, []
    for c, d in ((64, 64), (64, 128), (128, 256), (256, 512)):
        blocks += [Block(c, d, d // c), Block(d, d, 1)]
    begin = nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU()
    end = nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 10)
    return nn.Sequential(*begin, nn.MaxPool2d(3, 2, 1), *blocks, *end), (torch.randn(2, 3, 40, 40),)


class Only(torch.nn.Module):
    """A model of transformers, of whose outputs one counts."""

    def __init__(self, model, output):
        super().__init__()
        self.m, self.output = model, output

    def forward(self, ids, mask):
        options = {} if self.output != "logits" else {"use_cache": False}
        return getattr(self.m(ids, attention_mask=mask, **options), self.output)


def ids_and_mask():
    mask = torch.ones(2, 9, dtype=torch.int64)
    mask[1, 6:] = 0
    return torch.randint(1, 50, (2, 9)), mask  # PyTorch has no gradient of BERT's word 0


def bert():
    transformers = imported("transformers")
    config = transformers.BertConfig(
        vocab_size=50, hidden_size=32, num_hidden_layers=2, num_attention_heads=4,
        intermediate_size=64, max_position_embeddings=20,
    )  # fmt: skip
    return Only(transformers.BertModel(config, add_pooling_layer=False), "last_hidden_state"), None


def gpt2():
    transformers = imported("transformers")
    config = transformers.GPT2Config(
        vocab_size=50, n_embd=32, n_layer=2, n_head=4, n_positions=20, bos_token_id=0,
        eos_token_id=0,
    )  # fmt: skip
    return Only(transformers.GPT2LMHeadModel(config), "logits"), None


def exported(model, inputs, path, optimize):
    """The model, in evaluation mode, as a file; random parameters, so that none is shared."""
    model.eval()
    with torch.no_grad():
        for p in model.parameters():
            p += 0.05 * torch.randn_like(p)
        for name, b in model.named_buffers():
            if "running" in name:
                b += 0.2 * torch.rand_like(b)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(model, inputs, dynamo=True, optimize=optimize, verbose=False)
        program.save(str(path))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("make", [resnet18, bert, gpt2])
def test_outputs_and_gradients_are_those_of_pytorch(make, tmp_path):
    torch.manual_seed(0)
    model, inputs = make()
    inputs = inputs or ids_and_mask()
    exported(model, inputs, tmp_path / "m.onnx", optimize=False)
    ours = tg.onnx.load(tmp_path / "m.onnx")
    expected = model(*inputs)
    y = ours(*[x.numpy() for x in inputs])
    scale = np.abs(expected.detach().numpy()).max()
    assert np.abs(y.numpy() - expected.detach().numpy()).max() < 1e-5 * scale
    expected.square().mean().backward()
    (y * y).mean().backward()
    theirs = dict(model.named_parameters())
    mine = dict(ours.named_parameters())
    if "m.lm_head.weight" in mine:  # tied to the embedding, of which it is the other name
        mine["m.transformer.wte.weight"] = mine.pop("m.lm_head.weight")
    assert mine.keys() == theirs.keys()
    largest = max(p.grad.abs().max().item() for p in theirs.values())
    for name, p in theirs.items():
        found, of = mine[name].grad.numpy(), p.grad.numpy()
        assert np.abs(found - of).max() < 2e-5 * np.abs(of).max() + 1e-7 * largest, name


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("make", [resnet18, bert, gpt2])
def test_optimized_exports_have_the_same_outputs(make, tmp_path):
    torch.manual_seed(1)
    model, inputs = make()
    inputs = inputs or ids_and_mask()
    exported(model, inputs, tmp_path / "m.onnx", optimize=True)
    y = tg.onnx.load(tmp_path / "m.onnx")(*[x.numpy() for x in inputs]).numpy()
    expected = model(*inputs).detach().numpy()
    assert np.abs(y - expected).max() < 1e-5 * np.abs(expected).max()

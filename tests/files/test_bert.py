"""load_bert: a checkpoint in Hugging Face's layout computes its outputs, and others are refused."""

import json
import re

import numpy as np
import pytest
from needed import imported

import tinygrad_like as tg
from tinygrad_like import nn
from tinygrad_like.files import FileError
from tinygrad_like.interchange import load_bert
from tinygrad_like.nn import StateError

torch = imported("torch")
transformers = imported("transformers")

SIZES = {
    "vocab_size": 31,
    "max_position_embeddings": 16,
    "hidden_size": 12,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "intermediate_size": 20,
    "num_labels": 5,
}
# Hugging Face's classes, ours over a BERT, whether it has a pooler, and the names of their outputs.
MODELS = {
    "BertModel": (lambda bert: bert, True, ("last_hidden_state", "pooler_output")),
    "BertForPreTraining": (
        nn.BERTForPreTraining, True, ("prediction_logits", "seq_relationship_logits")
    ),
    "BertForMaskedLM": (nn.BERTForMaskedLM, False, ("logits",)),
    "BertForNextSentencePrediction": (nn.BERTForNextSentencePrediction, True, ("logits",)),
    "BertForSequenceClassification": (
        lambda bert: nn.BERTForSequenceClassification(bert, 5), True, ("logits",)
    ),
    "BertForTokenClassification": (
        lambda bert: nn.BERTForTokenClassification(bert, 5), False, ("logits",)
    ),
}  # fmt: skip


def theirs(name="BertModel", **settings):
    """A random model of Hugging Face's, with numbers that no initialisation gives."""
    torch.manual_seed(0)
    model = getattr(transformers, name)(transformers.BertConfig(**{**SIZES, **settings})).eval()
    with torch.no_grad():
        for x in model.state_dict().values():
            if x.is_floating_point():
                x.uniform_(-0.6, 0.8)
    return model


def bert(**options):
    return nn.BERT(31, 16, 12, 2, 3, **{"d_ff": 20, "dropout": 0.1, **options})


def ours(name="BertModel", **options):
    make, pooler, _ = MODELS[name]
    return make(bert(pooler=pooler, **options)).eval()


def inputs(length=16):
    rng = np.random.default_rng(0)
    ids, segments = rng.integers(0, 31, (3, length)), rng.integers(0, 2, (3, length))
    return ids, segments, np.arange(length) >= np.array([[length], [length // 2], [1]])


def assert_agree(model, other, names, padded):
    ids, segments, padding = inputs()
    with torch.no_grad():
        mask = {"attention_mask": torch.from_numpy((~padding).astype(int))} if padded else {}
        expected = other(torch.from_numpy(ids), token_type_ids=torch.from_numpy(segments), **mask)
    with tg.no_grad():
        found = model(ids, segments, key_padding_mask=padding if padded else None)
    found = found if isinstance(found, tuple) else (found,)
    for name, y in zip(names, found, strict=True):
        want = getattr(expected, name).numpy()
        assert np.abs(want).max() > 0.1
        np.testing.assert_allclose(y.numpy(), want, rtol=0, atol=1e-4, err_msg=name)


@pytest.mark.parametrize("padded", [False, True], ids=["whole", "padded"])
@pytest.mark.parametrize("name", MODELS)
def test_a_folder_of_hugging_face_computes_its_outputs(name, padded, tmp_path):
    other, model = theirs(name), ours(name)
    other.save_pretrained(tmp_path)
    load_bert(model, tmp_path)
    assert_agree(model, other, MODELS[name][2], padded)


@pytest.mark.parametrize("activation", ["gelu_new", "relu", "silu"])
def test_other_activations_and_eps(activation):
    own = {"gelu_new": "gelu_tanh"}.get(activation, activation)
    other = theirs("BertForMaskedLM", hidden_act=activation, layer_norm_eps=0.1)
    model = ours("BertForMaskedLM", activation=own, eps=0.1)
    load_bert(model, other)
    assert_agree(model, other, ("logits",), True)


def test_a_bert_takes_what_is_below_any_head_and_old_names():
    """The first checkpoints name the parameters of norms gamma and beta, and keep the positions."""
    other, model = theirs("BertForPreTraining"), ours()
    state = {
        re.sub("Norm.bias", "Norm.beta", re.sub("Norm.weight", "Norm.gamma", name)): x
        for name, x in other.state_dict().items()
    }
    state["bert.embeddings.position_ids"] = torch.arange(16)[None]
    load_bert(model, state)
    assert_agree(model, other.bert, MODELS["BertModel"][2], True)


def unchanged(model, load):
    before = model.state_dict()
    with pytest.raises((ValueError, FileNotFoundError)) as caught:
        load()
    assert all((before[k].numpy() == v.numpy()).all() for k, v in model.state_dict().items())
    return caught.value


def refused(model, *weights, **options):
    return str(unchanged(model, lambda: load_bert(model, *weights, **options)))


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"hidden_act": "relu"}, "setting: hidden_act is 'relu', the model's is 'gelu'"),
        ({"hidden_act": "mish"}, "setting: hidden_act is 'mish', the model's is 'gelu'"),
        ({"num_attention_heads": 2}, "setting: num_attention_heads is 2, the model's is 3"),
        ({"layer_norm_eps": 1e-5}, "setting: layer_norm_eps is 1e-05, the model's is 1e-12"),
        ({"is_decoder": True}, "setting: is_decoder is True, the model's is False"),
        ({"num_hidden_layers": 3}, "unexpected: encoder.layer.2.attention.self.query.weight"),
        ({"num_hidden_layers": 1}, "missing: encoder.layer.1.attention.self.query.weight"),
        ({"vocab_size": 30}, "shape: embeddings.word_embeddings.weight is (30, 12), expected (31,"),
        ({"type_vocab_size": 3}, "shape: embeddings.token_type_embeddings.weight is (3, 12)"),
    ],
)
def test_a_bert_of_other_settings_is_refused(settings, text, tmp_path):
    other, model = theirs(**settings), ours()
    message = refused(model, other)
    assert message.startswith("[load_bert] the weights do not fit BERT; nothing was changed:")
    assert text in message
    other.save_pretrained(tmp_path)
    of_file = refused(model, tmp_path / "model.safetensors")  # which sorts its names
    assert sorted(of_file.splitlines()) == sorted(message.splitlines())


def test_the_head_has_to_be_that_of_the_checkpoint():
    text = refused(ours("BertForMaskedLM"), theirs("BertForSequenceClassification"))
    assert "missing: cls.predictions.transform.dense.weight" in text
    assert "unexpected: classifier.weight" in text
    assert "unexpected: pooler.dense.weight" in text
    text = refused(ours("BertForSequenceClassification"), theirs("BertForMaskedLM"))
    assert "missing: pooler.dense.weight" in text
    text = refused(ours("BertForPreTraining"), theirs("BertForMaskedLM"))
    assert "missing: cls.seq_relationship.weight" in text


def test_a_decoder_of_its_own_is_refused():
    other = theirs("BertForMaskedLM", tie_word_embeddings=False)
    text = refused(ours("BertForMaskedLM"), other)
    assert (
        "type: cls.predictions.decoder.weight is unlike embeddings.word_embeddings.weight" in text
    )


def test_other_architectures_are_named(tmp_path):
    config = transformers.RobertaConfig(**SIZES)
    transformers.RobertaForMaskedLM(config).save_pretrained(tmp_path)
    model = ours()
    assert refused(model, tmp_path) == (
        "[load_bert] the checkpoint is a 'roberta' (RobertaForMaskedLM), expected a 'bert'"
    )
    gpt2 = transformers.GPT2Model(transformers.GPT2Config(n_embd=12, n_layer=1, n_head=3))
    assert "the checkpoint is a 'gpt2', expected a 'bert'" in refused(model, gpt2)
    text = refused(model, gpt2.state_dict())
    assert text.startswith("[load_bert] these are no weights of a BERT: wte.weight, wpe.weight")
    assert "no weights of a BERT: none" in refused(model, {})


def test_files_that_cannot_be_read_are_named(tmp_path):
    model = ours()
    assert str(tmp_path / "none") in refused(model, tmp_path / "none")
    assert "model.safetensors" in refused(model, tmp_path)
    path = tmp_path / "model.safetensors"
    theirs().save_pretrained(tmp_path)
    path.write_bytes(path.read_bytes()[:-5])
    error = unchanged(model, lambda: load_bert(model, path))
    assert isinstance(error, FileError)
    (tmp_path / "config.json").write_text("{")
    assert f"[load_bert] {tmp_path / 'config.json'} is no JSON" in refused(model, tmp_path)
    assert "config is a list, expected a dict" in refused(model, {}, config=[1])


def test_the_settings_may_be_given(tmp_path):
    path = tmp_path / "settings.json"
    path.write_text(json.dumps({"model_type": "bert", "hidden_act": "relu"}))
    model, state = ours(), theirs().state_dict()
    assert "hidden_act is 'relu'" in refused(model, state, config=path)
    load_bert(model, state, config={"hidden_act": "gelu"})
    load_bert(model, state)


def test_models_that_are_no_bert_are_refused():
    with pytest.raises(TypeError, match=r"\[load_bert\] model is a GPT, expected an nn\.BERT"):
        load_bert(nn.GPT(5, 4, 4, 1, 2), {})
    with pytest.raises(TypeError, match=r"\[load_bert\] weights are a list, expected a path"):
        load_bert(ours(), [])
    with pytest.raises(StateError):
        load_bert(ours(), theirs(num_hidden_layers=1))

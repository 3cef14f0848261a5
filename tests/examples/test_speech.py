"""examples/speech: words that espeak-ng speaks are read, and what it cannot read is refused."""

import importlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from needed import imported, needs_emulator
from scipy.io import wavfile

import tinygrad_like as tg

imported("jiwer")

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(
        shutil.which("espeak-ng") is None,
        reason="espeak-ng is not installed: apt-get install espeak-ng",
    ),
]

FOLDER = Path(__file__).parents[2] / "examples" / "speech"
PROGRAM = FOLDER / "speech_digits.py"
SMALL = ("--texts", "8", "--test-texts", "4", "--epochs", "1", "--width", "8", "--batch", "4")


@pytest.fixture(scope="module")
def example():
    """The example as a module, beside its data."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(FOLDER))
        yield importlib.import_module("speech_digits")


@pytest.fixture(scope="module")
def voices(example):
    return sys.modules["voices"]


def run(*options, **environment):
    return subprocess.run(
        [sys.executable, str(PROGRAM), *map(str, options)],
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, **environment},
    )


def test_no_voice_of_the_test_is_heard_in_training(voices):
    assert not {name.lower() for name in voices.HEARD} & {name.lower() for name in voices.NEW}
    assert len(voices.HEARD) == 40
    assert len(voices.NEW) == 14
    listed = subprocess.run(
        ["espeak-ng", "--voices=variant"], capture_output=True, text=True, check=True
    )
    known = {line.split("!v/")[1].split()[0] for line in listed.stdout.splitlines()[1:]}
    assert {*voices.HEARD, *voices.NEW} <= known, "a variant that is missing would speak as another"


def test_a_text_is_the_same_each_time_and_another_for_each_seed(voices):
    one, again, other = (voices.spoken(voices.DIGITS, voices.NEW, 3, 4, s) for s in (1, 1, 2))
    for (a, labels), (b, same), (c, _) in zip(one, again, other, strict=True):
        np.testing.assert_array_equal(a, b)
        np.testing.assert_array_equal(labels, same)
        assert a.shape != c.shape or (a != c).any()
        assert a.shape[1] == voices.BANDS
        assert 1 <= labels.min() <= labels.max() <= 10
        np.testing.assert_allclose(a.mean(axis=0), 0, atol=1e-4)


def test_noise_is_5_to_30_dB_below_the_speech(voices):
    speech = np.sin(np.arange(40000) / 9).astype(np.float32)
    found = []
    for seed in range(20):
        noisy = voices.with_noise(speech, np.random.default_rng(seed))
        before, after = np.random.default_rng(seed).integers(0, voices.RATE // 4, 2)
        noise = noisy - np.pad(speech, (before, after))
        found.append(10 * np.log10(np.mean(speech**2) / np.mean(noise**2)))
    assert 5 <= min(found) < 12
    assert 23 < max(found) <= 30


def test_a_small_reader_learns_three_words_and_reads_them_from_new_voices(example, voices):
    """At first it reads nothing at all, a word error rate of 1."""
    words = voices.DIGITS[1:4]
    heard = voices.spoken(words, voices.HEARD[:4], 160, 2, 0)
    new = voices.spoken(words, voices.NEW[:4], 40, 2, 1)
    tg.seed(0)
    model = example.Reader(3, 48, 0.0)
    optimizer = tg.optim.AdamW(model.parameters(), 5e-3)
    collate = tg.data.PadCollate()
    loader = tg.data.DataLoader(heard, 8, shuffle=True, seed=0, collate=collate)
    for _ in range(20):
        for sounds, labels in loader:
            log_p, lengths = model(tg.Tensor(sounds.values), sounds.lengths)
            loss = example.loss_of(log_p, lengths, labels, False)
            optimizer.zero_grad()
            loss.backward()
            tg.optim.clip_grad_norm(model.parameters(), 5.0)
            optimizer.step()
    rates = [
        example.jiwer.wer(*example.read(model, each, words, False, 4))
        for each in (loader, tg.data.DataLoader(new, 40, collate=collate))
    ]
    assert rates[0] < 0.2, rates
    assert rates[1] < 0.6, rates


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The folder of a tiny run, with the result."""
    folder = tmp_path_factory.mktemp("trained")
    return folder, run(*SMALL, "--out", folder)


def test_it_trains_draws_resumes_and_reads_a_file(trained, tmp_path):
    folder, result = trained
    assert result.returncode == 0, result.stderr
    assert "on voices never heard; everything is in" in result.stdout
    assert (folder / "report.png").read_bytes().startswith(b"\x89PNG")
    again = run(*SMALL[:4], "--epochs", "2", *SMALL[6:], "--out", folder, "--resume")
    assert "of a run with {'epochs': 1}" in again.stderr
    subprocess.run(["espeak-ng", "-w", str(tmp_path / "a.wav"), "one two"], check=True)
    found = run("--read", tmp_path / "a.wav", "--out", folder)
    assert found.returncode == 0, found.stderr
    assert set(found.stdout.split()) <= set(
        "zero one two three four five six seven eight nine".split()
    )


@needs_emulator
def test_it_trains_on_another_device(tmp_path):
    result = run(*SMALL, "--device", "cuda-emulator", "--out", tmp_path)
    assert result.returncode == 0, result.stderr
    assert "on voices never heard" in result.stdout


def test_commands_are_classified(tmp_path):
    result = run(*SMALL, "--commands", "--out", tmp_path)
    assert result.returncode == 0, result.stderr
    assert "on voices never heard" in result.stdout
    assert (tmp_path / "report.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("samples", "rate", "words"),
    [
        (np.zeros(22050, np.int16), 22050, "is silent"),
        (np.zeros(0, np.int16), 22050, "has no samples"),
        (np.ones(8000, np.int16) * 999, 8000, "has 8000 samples a second, expected 22050"),
    ],
)
def test_a_sound_that_does_not_fit_is_refused(trained, samples, rate, words, tmp_path):
    wavfile.write(tmp_path / "a.wav", rate, samples)
    result = run("--read", tmp_path / "a.wav", "--out", trained[0])
    assert result.returncode != 0
    assert f"[read_wav] {tmp_path / 'a.wav'} {words}" in result.stderr
    assert "Traceback" not in result.stderr


def test_without_espeak_it_says_how_to_get_it(tmp_path):
    result = run(*SMALL, "--out", tmp_path / "out", PATH=str(tmp_path))
    assert result.returncode != 0
    assert "is not installed: apt-get install espeak-ng" in result.stderr
    assert "Traceback" not in result.stderr
    assert not (tmp_path / "out").exists()

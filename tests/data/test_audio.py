"""Sound: WAV files of every kind, and frames and mel spectrograms as librosa computes them."""

import struct

import numpy as np
import pytest
from needed import imported
from scipy.io import wavfile

import tinygrad_like as tg
from tinygrad_like import data

RATE = 8000
TONE = 0.5 * np.sin(2 * np.pi * 440 * np.arange(2000) / RATE)
NOISE = np.random.default_rng(0).normal(size=5000).astype(np.float32)


@pytest.mark.parametrize(
    ("stored", "step"),
    [
        ((TONE * 2**15).astype(np.int16), 2**-15),
        ((TONE * 2**31).astype(np.int32), 2**-24),
        ((TONE * 128 + 128).astype(np.uint8), 2**-7),
        (TONE.astype(np.float32), 1e-7),
        (TONE, 1e-7),
    ],
    ids=lambda x: str(getattr(x, "dtype", "")),
)
def test_a_file_is_read_as_floats_of_full_scale_1(stored, step, tmp_path):
    wavfile.write(tmp_path / "a.wav", RATE, stored)
    samples, rate = data.read_wav(tmp_path / "a.wav", RATE)
    assert (samples.dtype, samples.shape, rate) == (np.float32, (2000,), RATE)
    np.testing.assert_allclose(samples, TONE, atol=step)


def test_24_bits_and_several_channels_are_read(tmp_path):
    left = (TONE * 2**23).astype(np.int32)
    packed = b"".join(struct.pack("<i", v)[:3] * 2 for v in left)
    form = struct.pack("<HHIIHH", 1, 2, RATE, 6 * RATE, 6, 24)
    body = b"WAVEfmt " + struct.pack("<I", 16) + form + b"data" + struct.pack("<I", len(packed))
    (tmp_path / "a.wav").write_bytes(
        b"RIFF" + struct.pack("<I", len(body + packed)) + body + packed
    )
    samples, _ = data.read_wav(str(tmp_path / "a.wav"))
    np.testing.assert_allclose(samples, TONE, atol=2**-22)
    wavfile.write(tmp_path / "b.wav", RATE, np.stack([TONE, 0 * TONE], axis=1))
    np.testing.assert_allclose(data.read_wav(tmp_path / "b.wav")[0], TONE / 2, atol=1e-7)


def silent(path):
    wavfile.write(path, RATE, np.zeros(100, np.int16))


def empty(path):
    wavfile.write(path, RATE, np.zeros(0, np.int16))


def cut(path):
    wavfile.write(path, RATE, (TONE * 2**15).astype(np.int16))
    path.write_bytes(path.read_bytes()[:-1001])


@pytest.mark.parametrize(
    ("write", "rate", "words"),
    [
        (silent, None, "is silent: its peak is 0 of full scale, expected at least 0.0001"),
        (empty, None, "has no samples"),
        (cut, None, "a.wav is cut short"),
        (lambda path: path.write_bytes(b""), None, "a.wav is not a WAV file that can be read"),
        (lambda path: path.write_bytes(b"nothing of the kind"), None, "is not a WAV file that can"),
        (
            lambda path: wavfile.write(path, 44100, TONE),
            RATE,
            "has 44100 samples a second, expected 8000: resample it first, by scipy.signal.",
        ),
    ],
    ids=["silent", "empty", "cut", "no bytes", "text", "rate"],
)
def test_a_file_that_does_not_fit_is_refused(write, rate, words, tmp_path):
    write(tmp_path / "a.wav")
    with pytest.raises(data.DataError) as raised:
        data.read_wav(tmp_path / "a.wav", rate)
    assert str(raised.value).startswith(f"[read_wav] {tmp_path / 'a.wav'}")
    assert words in str(raised.value)


def test_a_file_that_is_not_there_is_said_to_be_missing(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.wav"):
        data.read_wav(tmp_path / "none.wav")


@pytest.mark.long  # importing librosa takes seconds
@pytest.mark.parametrize(("length", "hop"), [(400, 160), (5000, 7), (256, 256), (300, 999)])
def test_frames_are_librosas(length, hop):
    librosa = imported("librosa")
    expected = librosa.util.frame(NOISE, frame_length=length, hop_length=hop, axis=0)
    np.testing.assert_array_equal(data.frames(NOISE, length, hop), expected)


@pytest.mark.long
@pytest.mark.filterwarnings("ignore:n_fft=512 is too large")  # librosa, of the short sound
@pytest.mark.parametrize(
    ("rate", "n_fft", "hop", "bands", "low", "high", "count"),
    [
        (16000, 512, 128, 40, 0.0, None, 5000),
        (8000, 256, 80, 20, 50.0, 3800.0, 4999),
        (22050, 1024, 512, 64, 300.0, None, 3000),
        (16000, 512, 160, 30, 0.0, 8000.0, 200),  # less than half a frame
        (8000, 401, 100, 24, 0.0, None, 2000),  # odd: librosa has a frame less
    ],
)
def test_mel_spectrograms_are_librosas(rate, n_fft, hop, bands, low, high, count):
    librosa = imported("librosa")
    filters = librosa.filters.mel(
        sr=rate, n_fft=n_fft, n_mels=bands, fmin=low, fmax=high, dtype=np.float64
    )
    np.testing.assert_allclose(data.mel_filters(rate, n_fft, bands, low, high), filters, atol=1e-12)
    x = NOISE[:count].astype(np.float64)
    expected = librosa.feature.melspectrogram(
        y=x, sr=rate, n_fft=n_fft, hop_length=hop, n_mels=bands, fmin=low, fmax=high,
        pad_mode="constant",
    ).T  # fmt: skip
    found = data.mel_spectrogram(x, rate, n_fft=n_fft, hop=hop, bands=bands, low=low, high=high)
    assert found.dtype == np.float32
    assert len(found) == 1 + count // hop == len(expected) + n_fft % 2
    np.testing.assert_allclose(
        found[: len(expected)], expected, rtol=2e-5, atol=1e-6 * expected.max()
    )


def test_logarithms_have_a_floor_and_frames_of_silence_reach_it():
    x = np.concatenate([NOISE[:2000], np.zeros(4000)])
    power, logs = (data.mel_spectrogram(x, RATE, log=log) for log in (False, True))
    np.testing.assert_allclose(logs, np.log(np.maximum(power, 1e-10)), rtol=1e-5)
    np.testing.assert_allclose(logs[-10:], np.log(1e-10), rtol=1e-6)
    assert power.shape == (1 + 6000 // 128, 40)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (
            lambda: data.frames(NOISE[:10], 11, 1),
            ValueError,
            "are 10 samples, expected at least 11",
        ),
        (lambda: data.frames(NOISE[None], 1, 1), ValueError, "have shape (1, 5000), expected (T,)"),
        (lambda: data.frames(NOISE, 0, 1), ValueError, "length is 0"),
        (lambda: data.frames(NOISE, 1, 0), ValueError, "hop is 0"),
        (lambda: data.mel_spectrogram(NOISE[:0], RATE), ValueError, "there are no samples"),
        (lambda: data.mel_spectrogram(NOISE + 1j, RATE), TypeError, "of complex64, expected real"),
        (lambda: data.mel_spectrogram(NOISE, 0), ValueError, "rate is 0"),
        (lambda: data.mel_spectrogram(NOISE, RATE, high=5000), ValueError, "high is 5000"),
        (lambda: data.mel_filters(RATE, 256, 20, 900, 800), ValueError, "low is 900.0 and high is"),
        (lambda: data.mel_filters(RATE, 64, 40), ValueError, "no frequency of a spectrum of 64"),
    ],
)
def test_sounds_that_mean_nothing_are_refused(call, error, words):
    with pytest.raises(error) as raised:
        call()
    assert words in str(raised.value)


def test_sounds_of_other_lengths_make_a_batch():
    sounds = [data.mel_spectrogram(NOISE[:n], RATE, log=True) for n in (1000, 3000)]
    batch = tg.data.pad_sequence(sounds)
    assert batch.values.shape == (2, 24, 40)
    assert batch.lengths.tolist() == [8, 24]

"""Words spoken by espeak-ng: many voices, speeds and pitches, with noise behind them.

A voice is an accent and a variant, which is another throat. The variants of `NEW` speak in the test
alone. Everything depends on the seed and on the version of espeak-ng.
"""

import os
import shutil
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from tqdm import tqdm

import tinygrad_like as tg

RATE = 22050  # samples a second, espeak-ng's
FRAME, HOP, BANDS = 512, 220, 40  # 100 frames a second
DIGITS = "zero one two three four five six seven eight nine".split()
COMMANDS = "yes no up down left right on off stop go".split()
ACCENTS = (
    "en-us en-gb en-gb-scotland en-gb-x-rp en-gb-x-gbclan en-gb-x-gbcwmd en-029 en-us-nyc"
).split()
HEARD = (
    "m1 m2 m3 m4 m5 m6 f1 f2 f3 f5 Alex Alicia Andrea Denis Diogo Gene Henrique Hugo Jacky Lee "
    "Marco Mario Michael adam anika antonio aunty benjamin boris david ed iven john linda paul "
    "pablo rob sandro steph victor"
).split()
NEW = "m7 m8 f4 Andy Annie Mike belinda caleb edward max quincy robert shelby travis".split()
MISSING = (
    "[voices] espeak-ng, which speaks the words, is not installed: apt-get install espeak-ng, "
    "brew install espeak-ng, or see https://github.com/espeak-ng/espeak-ng"
)


def version():
    """The version of espeak-ng. Raises FileNotFoundError, saying how to get it, without it."""
    if shutil.which("espeak-ng") is None:
        raise FileNotFoundError(MISSING)
    found = subprocess.run(["espeak-ng", "--version"], capture_output=True, text=True, check=True)
    return found.stdout.partition("Data")[0].strip()


def say(text, variants, random, path):
    """A text by a voice that is drawn among the variants: samples (T,), without noise."""
    voice = f"{random.choice(ACCENTS)}+{random.choice(variants)}"
    speed, pitch = random.integers(120, 221), random.integers(20, 81)
    options = ["-v", voice, "-s", str(speed), "-p", str(pitch), "-w", str(path)]
    subprocess.run(["espeak-ng", *options, text], check=True)
    return tg.data.read_wav(path, RATE)[0]


def with_noise(samples, random):
    """The samples between pauses, with noise between white and pink, 5 to 30 dB below them."""
    before, after = random.integers(0, RATE // 4, 2)
    power = np.mean(samples**2)
    samples = np.pad(samples, (before, after))
    spectrum = np.fft.rfft(random.standard_normal(1 << len(samples).bit_length()))
    spectrum /= np.maximum(1, np.arange(len(spectrum))) ** random.uniform(0, 0.5)
    noise = np.fft.irfft(spectrum)[: len(samples)]
    wanted = power / 10 ** (random.uniform(5, 30) / 10)
    return samples + noise * np.sqrt(wanted / np.mean(noise**2))


def features(samples):
    """What the reader sees, (T, BANDS): logarithms of mel bands, each around 0."""
    mel = tg.data.mel_spectrogram(samples, RATE, n_fft=FRAME, hop=HOP, bands=BANDS, log=True)
    return (mel - mel.mean(axis=0)) / mel.std()


def spoken(words, variants, count, longest, seed):
    """A dataset of `count` texts of 1 to `longest` words: (features, labels from 1 on)."""

    def sample(i):
        random = np.random.default_rng([seed, i])
        labels = random.integers(1, len(words) + 1, random.integers(1, longest + 1))
        text, path = " ".join(words[k - 1] for k in labels), Path(folder, f"{i}.wav")
        sound = with_noise(say(text, variants, random, path), random)
        path.unlink()
        return features(sound), labels

    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(os.cpu_count()) as pool:
        samples = pool.map(sample, range(count))
        return tg.data.ListDataset(tqdm(samples, "speaking", count, leave=False))

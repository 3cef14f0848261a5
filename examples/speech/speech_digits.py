"""Read spoken digits: convolutions and an LSTM, trained by CTC, which is told no places of words.

    python examples/speech/speech_digits.py                 # strings of up to 6 digits
    python examples/speech/speech_digits.py --commands      # one word: yes, no, up, down, ...
    python examples/speech/speech_digits.py --read my.wav   # by the checkpoint in --out
    python examples/speech/speech_digits.py --resume        # go on after Ctrl-C

espeak-ng speaks all texts, in many voices, speeds and pitches, with noise behind them. The voices
of the test are never heard in training. The score is the word error rate, by jiwer.
Everything it writes lies in `--out`: checkpoint.safetensors, history.jsonl, report.png.
"""

from pathlib import Path

import jiwer
import numpy as np
from reader import Reader, loss_of, read
from voices import BANDS, COMMANDS, DIGITS, HEARD, HOP, NEW, RATE, features, spoken, version

import tinygrad_like as tg
from tinygrad_like import nn
from tinygrad_like.training import at_least, command_line, open_run, panels, run_program


def draw_alignment(figure, model, test, words):
    """Each word over the frames of a spectrogram to which the likeliest path gives it."""
    figure.suptitle("The likeliest alignment of CTC: where each word is read")
    for axes, (sound, labels) in zip(figure.subplots(3), test.samples[:3], strict=False):
        with tg.no_grad():
            log_p, _ = model.eval()(tg.Tensor(sound[None]), np.array([len(sound)]))
        places, _ = nn.ctc_align(log_p, labels[None])
        times = np.arange(places.shape[1]) * 4 * HOP / RATE
        seconds = len(sound) * HOP / RATE
        axes.imshow(sound.T, origin="lower", aspect="auto", extent=(0, seconds, 0, BANDS))
        for k, label in enumerate(labels):
            start, *_, end = np.repeat(times[places[0] == k], 2)
            axes.axvspan(start, end + 4 * HOP / RATE, color="white", alpha=0.4, linewidth=0)
            axes.text(start, BANDS + 1, words[label - 1], fontsize=9)
        axes.set(xlabel="seconds", ylabel="mel band")


def parse(arguments=None):
    parser = command_line(__doc__, out="runs/speech_digits")
    add = parser.add_argument
    add("--commands", action="store_true", help="classify one word of ten")
    add("--longest", type=at_least(1), default=6, help="digits in a text, at most")
    add("--texts", type=at_least(1), default=3000, help="to learn from")
    add("--test-texts", type=at_least(1), default=400)
    add("--width", type=at_least(1), default=96)
    add("--epochs", type=at_least(1), default=12)
    add("--batch", type=at_least(1), default=32)
    add("--lr", type=float, default=3e-3)
    add("--dropout", type=float, default=0.2)
    add("--beam", type=at_least(1), default=8, help="width of the beam in the last test")
    add(
        "--threads",
        type=at_least(1),
        default=1,
        help="matrices as small as these gain from no more",
    )
    add("--read", metavar="WAV", help=f"read a file of {RATE} samples a second")
    return parser.parse_args(arguments)


def read_file(args):
    """The words of --read by a checkpoint."""
    path = Path(args.out) / "checkpoint.safetensors"
    state = tg.io.load(path)
    if "words" not in state:
        raise ValueError(f"[speech_digits] {path} is of another model: it knows no words")
    words, settings = state["words"], state["settings"]
    model = Reader(len(words), settings["width"], settings["dropout"])
    model.load_state_dict(state["model"])
    sound = features(tg.data.read_wav(args.read, RATE)[0])
    one = tg.data.ListDataset([(sound, np.ones(1, int))])
    loader = tg.data.DataLoader(one, 1, collate=tg.data.PadCollate())
    return read(model, loader, words, settings["commands"], args.beam)[1][0]


def main(arguments=None):
    args = parse(arguments)
    tg.set_num_threads(args.threads)
    tg.set_device(args.device)
    if args.read is not None:
        print(read_file(args))
        return 0
    words, longest = (COMMANDS, 1) if args.commands else (DIGITS, args.longest)
    source = version()
    train = spoken(words, HEARD, args.texts, longest, 2 * args.seed)
    test = spoken(words, NEW, args.test_texts, longest, 2 * args.seed + 1)
    tg.seed(args.seed)
    model = Reader(len(words), args.width, args.dropout)
    batches = tg.data.BucketSampler([len(sound) for sound, _ in train.samples], args.batch)
    options = {"collate": tg.data.PadCollate(), "seed": args.seed}
    loader = tg.data.DataLoader(train, batch_sampler=batches, **options)
    test_loader = tg.data.DataLoader(test, 100, collate=tg.data.PadCollate())
    optimizer = tg.optim.AdamW(model.parameters(), args.lr, weight_decay=0.01)
    steps = args.epochs * len(loader)
    schedule = tg.optim.CosineLR(optimizer, steps, warmup_steps=steps // 10)
    trained = {"model": model, "optimizer": optimizer, "schedule": schedule, "loader": loader}
    keep = {"words": words}
    run = open_run(
        args,
        settings={"data": source},
        may_differ=("beam", "read", "threads"),
        keep=keep,
        **trained,
    )
    print(model.summary())
    for sounds, labels in run.epochs(loader, args.epochs):
        log_p, lengths = model(tg.Tensor(sounds.values), sounds.lengths)
        loss = loss_of(log_p, lengths, labels, args.commands)
        optimizer.zero_grad()
        loss.backward()
        tg.optim.clip_grad_norm(model.parameters(), 5.0)
        optimizer.step()
        schedule.step()
        run.log(loss=loss)
        if run.epoch_ended:
            run.log(word_error_rate=jiwer.wer(*read(model, test_loader, words, args.commands)))

    said, found = read(model, test_loader, words, args.commands, args.beam)
    for pair in list(zip(said, found, strict=True))[:5]:
        print("said {!r}, read {!r}".format(*pair))
    rate = jiwer.wer(said, found)
    if args.commands:
        counts = np.zeros((len(words), len(words)), int)
        for pair in zip(said, found, strict=True):
            counts[tuple(map(words.index, pair))] += 1
        run.plot("report.png", lambda figure: panels.confusion(figure, counts, words))
    else:
        run.plot(
            "report.png", lambda figure: draw_alignment(figure, model, test, words), size=(15, 8)
        )
    return run.finish(f"word error rate {rate:.2%} on voices never heard")


if __name__ == "__main__":
    run_program(main)

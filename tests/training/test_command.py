"""The command line of a program that trains."""

import pytest

import tinygrad_like as tg
from tinygrad_like.training import RUN_OPTIONS, at_least, command_line, open_run, run_program


def test_every_program_has_the_options_of_a_run():
    args = command_line("Train a model.", "runs/mine").parse_args([])
    assert vars(args) == {
        **{"seed": 0, "device": "cpu", "out": "runs/mine", "save_every": 30, "resume": False}
    }
    assert set(RUN_OPTIONS) < set(vars(args))


def test_a_run_is_made_from_the_options_of_the_program(tmp_path):
    parser = command_line("Train a model.", str(tmp_path / "out"))
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--lr", type=float, default=0.1)

    def run(*options, **others):
        more = {"settings": {"data": "digits"}, "may_differ": ("epochs",), **others}
        return open_run(parser.parse_args(options), layer=tg.nn.Dense(2, 1), **more)

    first = run("--save-every", "7")
    assert (first.folder, first.save_every) == (tmp_path / "out", 7)
    for _ in first.steps(1):
        pass
    saved = tg.io.load(tmp_path / "out" / "checkpoint.safetensors")["settings"]
    assert saved == {"data": "digits", "seed": 0, "lr": 0.1}
    assert run("--resume", "--epochs", "2", "--device", "cuda-emulator").step == 1
    with pytest.raises(ValueError, match="lr"):
        run("--resume", "--lr", "0.2")
    assert run("--resume", resume=False).step == 0
    parser.set_defaults(out=str(tmp_path))
    elsewhere = open_run(parser.parse_args([]), tmp_path / "b", model=tg.nn.Dense(2, 1))
    assert elsewhere.folder == tmp_path / "b"


def test_the_docstring_is_shown_line_by_line(capsys):
    with pytest.raises(SystemExit):
        command_line("Train.\n\n    python train.py    # now", "runs").parse_args(["--help"])
    assert "\n    python train.py    # now\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("kind", "value", "message"),
    [
        (at_least(1), "0", "got 0, expected at least 1"),
        (at_least(0, float), "nan", "got nan, expected at least 0"),
        (at_least(0, float, most=1), "1.5", "got 1.5, expected 0 to 1"),
        (at_least(1), "many", "invalid int value: 'many'"),
        (at_least(1), "2.5", "invalid int value: '2.5'"),
    ],
)
def test_numbers_out_of_range_are_refused_in_a_line(kind, value, message, capsys):
    parser = command_line("Train.", "runs")
    parser.add_argument("--count", type=kind)
    with pytest.raises(SystemExit):
        parser.parse_args(["--count", value])
    assert capsys.readouterr().err.endswith(f"error: argument --count: {message}\n")


def test_the_limits_themselves_are_allowed():
    assert at_least(1)("1") == 1
    assert [at_least(0, float, most=1)(text) for text in ("0", "1")] == [0, 1]


@pytest.mark.parametrize("error", [ValueError, FileNotFoundError, FloatingPointError])
def test_errors_that_say_what_to_change_end_a_program_in_a_line(error):
    def main():
        raise error("do it otherwise")

    with pytest.raises(SystemExit) as caught:
        run_program(main)
    assert caught.value.code == "do it otherwise"


def test_other_errors_keep_their_traceback_and_codes_pass():
    with pytest.raises(KeyError):
        run_program(lambda: {}["missing"])
    with pytest.raises(SystemExit) as caught:
        run_program(lambda: 3)
    assert caught.value.code == 3

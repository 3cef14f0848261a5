"""Serve a classifier of handwritten digits, with a page to draw on.

    python examples/serve/network.py --out runs/serve   # train it: half a minute
    python examples/serve/serve.py runs/serve/classifier.safetensors
    curl -H 'Content-Type: image/png' --data-binary @digit.png localhost:8000/predict

A new file of weights in the old one's place is taken over without a lost request. SIGTERM and
Ctrl-C end it once open requests are answered. A worker process that crashes is started again; its
port stays open meanwhile, so that clients wait instead of failing.
"""

import argparse
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from tinygrad_like.training import at_least

GRACE = 10.0  # seconds for the last answers
CALM = 60.0  # a worker that ran this long did not crash at its start
LONGEST_WAIT = 30.0


def parse(arguments=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("weights", type=Path, help="what network.py wrote")
    add("--host", default="127.0.0.1")
    add("--port", type=int, default=8000, help="0 takes a free one")
    add("--most-bytes", type=at_least(1), default=65_536, help="of a request")
    rate = at_least(0.001, float)
    add("--rate", type=rate, default=5_000, help="requests a second of one client")
    add("--seconds", type=at_least(0.01, float), default=2.0, help="to answer a request")
    add("--fd", type=int, help=argparse.SUPPRESS)  # of the listening socket: this is the worker
    return parser.parse_args(arguments)


def work(args):
    """Answer requests from a listening socket until a signal ends it."""
    try:
        import uvicorn
        from application import Server
    except ImportError as error:
        _give_up(f"{error.name} is not installed: pip install 'tinygrad-like[serve]'")
    try:
        server = Server(args.weights, args.most_bytes, args.rate, args.seconds)
    except (OSError, ValueError) as error:
        _give_up(error)
    config = uvicorn.Config(
        server.application(),
        fd=args.fd,
        log_level="warning",
        timeout_graceful_shutdown=int(GRACE),
        backlog=2048,
    )
    uvicorn.Server(config).run()


def _give_up(why):
    """End where starting again would not help."""
    print(f"serve: {why}", file=sys.stderr)
    sys.exit(2)


def supervise(args):
    """Keep a worker process running; returns the exit code."""
    try:
        listening = socket.create_server((args.host, args.port), backlog=2048)
    except (OSError, OverflowError) as error:
        _give_up(f"cannot listen at {args.host}, port {args.port}: {error}")
    with listening:
        return _keep_running(listening)


def _keep_running(listening):
    """Start workers that answer from this socket, one after the other, until a signal comes."""
    listening.set_inheritable(True)
    host, port = listening.getsockname()[:2]
    command = [sys.executable, __file__, *sys.argv[1:], "--fd", str(listening.fileno())]
    stopped, wait, worker = [], 1.0, None

    def stop(number, frame):
        stopped.append(number)
        if worker is not None:
            worker.terminate()

    for number in signal.SIGTERM, signal.SIGINT:
        signal.signal(number, stop)
    print(f"http://{host}:{port}", flush=True)
    while not stopped:
        start = time.monotonic()
        worker = subprocess.Popen(command, pass_fds=[listening.fileno()])
        if stopped:  # while it was being started
            worker.terminate()
        code = worker.wait()
        if stopped or code in (0, 2):
            return 0 if stopped else code
        wait = 1.0 if time.monotonic() - start > CALM else min(2 * wait, LONGEST_WAIT)
        print(f"the worker ended with code {code}; another in {wait:.0f} s", file=sys.stderr)
        until = time.monotonic() + wait
        while not stopped and time.monotonic() < until:
            time.sleep(0.1)  # a signal does not end a longer sleep
    return 0


if __name__ == "__main__":
    arguments = parse()
    sys.exit(supervise(arguments) if arguments.fd is None else work(arguments))

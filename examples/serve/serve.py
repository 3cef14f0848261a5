"""Serve a classifier of handwritten digits, with a page to draw on.

    python examples/serve/network.py --out runs/serve   # train it: half a minute
    python examples/serve/serve.py runs/serve/classifier.safetensors
    curl -H 'Content-Type: image/png' --data-binary @digit.png localhost:8000/predict

A new file of weights in the old one's place is taken over without a lost request. SIGTERM and
Ctrl-C let the requests that are there be answered. A worker process that crashes is started again;
its port stays open meanwhile, so that clients wait instead of failing.
"""

import argparse
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

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
    add("--most-bytes", type=int, default=65_536, help="of a request")
    add("--rate", type=float, default=5_000, help="requests a second of one client")
    add("--seconds", type=float, default=2.0, help="to answer a request")
    add("--fd", type=int, help=argparse.SUPPRESS)  # of the listening socket: this is the worker
    return parser.parse_args(arguments)


def work(args):
    """Answer requests from a listening socket until a signal ends it."""
    try:
        import uvicorn
        from application import Server
    except ImportError as error:
        sys.exit(f"{error.name} is not installed: pip install 'tinygrad-like[serve]'")
    try:
        server = Server(args.weights, args.most_bytes, args.rate, args.seconds)
    except (OSError, ValueError) as error:
        print(f"serve: {error}", file=sys.stderr)
        sys.exit(2)  # starting again would not help
    config = uvicorn.Config(
        server.application(),
        fd=args.fd,
        log_level="warning",
        timeout_graceful_shutdown=int(GRACE),
        backlog=2048,
    )
    uvicorn.Server(config).run()


def supervise(args):
    """Keep a worker process running; returns the exit code."""
    listening = socket.create_server((args.host, args.port), backlog=2048)
    listening.set_inheritable(True)
    host, port = listening.getsockname()[:2]
    command = [sys.executable, __file__, *sys.argv[1:], "--fd", str(listening.fileno())]
    stopped, wait = [], 1.0

    def stop(number, frame):
        stopped.append(number)
        worker.terminate()

    print(f"http://{host}:{port}", flush=True)
    while True:
        start = time.monotonic()
        worker = subprocess.Popen(command, pass_fds=[listening.fileno()])
        for number in signal.SIGTERM, signal.SIGINT:
            signal.signal(number, stop)
        code = worker.wait()
        if stopped or code in (0, 2):
            return 0 if stopped else code
        wait = 1.0 if time.monotonic() - start > CALM else min(2 * wait, LONGEST_WAIT)
        print(f"the worker ended with code {code}; another in {wait:.0f} s", file=sys.stderr)
        time.sleep(wait)
        if stopped:
            return 0


if __name__ == "__main__":
    arguments = parse()
    sys.exit(supervise(arguments) if arguments.fd is None else work(arguments))

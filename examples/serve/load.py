"""Ask a running server from many clients at once, and check every answer.

    python examples/serve/load.py runs/serve/classifier.safetensors --clients 64 --seconds 10

The pictures are MNIST's test set; an answer that differs from the network's own is wrong, one that
does not come is lost, and any status but 200 is a refusal. Prints requests a second and percentiles
of the time to an answer.
"""

import argparse
import asyncio
import json
import sys
import time
from pathlib import Path

import numpy as np
from network import Classifier

import tinygrad_like as tg
from tinygrad_like.training import at_least

DISTINCT = 2000  # pictures, each asked many times
FAULTS = "lost", "refused", "wrong"
PATIENCE = 10.0  # seconds, after which an answer is lost


def requests_of(pictures, host):
    """The bytes of a request for each picture."""
    found = []
    for picture in pictures:
        body = json.dumps({"pixels": np.rint(255 * picture).astype(int).tolist()}).encode()
        head = (
            f"POST /predict HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        found.append(head.encode() + body)
    return found


async def ask(reader, writer, request):
    """(status, answer) of one request on an open connection."""
    writer.write(request)
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    status = int(head.split(" ", 2)[1])
    length = next(
        int(line.split(":")[1]) for line in head.lower().split("\r\n") if "content-length" in line
    )
    return status, json.loads(await reader.readexactly(length))


async def client(number, args, requests, expected, found):
    """Ask one request after the other, no more often than asked for, until the time is over."""
    reader, writer = await asyncio.open_connection(args.host, args.port)
    begin, i = time.perf_counter(), number % len(requests)
    pause = args.clients / args.rate if args.rate else 0
    due = begin + pause * number / args.clients
    while (start := time.perf_counter()) < begin + args.seconds:
        if start < due:
            await asyncio.sleep(due - start)
            start = time.perf_counter()
        due = max(due + pause, start)
        try:
            status, answer = await asyncio.wait_for(ask(reader, writer, requests[i]), PATIENCE)
        except (OSError, asyncio.IncompleteReadError, asyncio.TimeoutError):
            found["lost"] += 1
            writer.close()
            reader, writer = await asyncio.open_connection(args.host, args.port)
            continue
        if status == 200:
            found["times"].append(time.perf_counter() - start)
            found["wrong"] += not np.allclose(answer["probabilities"], expected[i], atol=1e-4)
        else:
            found["refused"] += 1
        i = (i + args.clients) % len(requests)
    writer.close()


async def run(args, requests, expected):
    found = {"times": [], **dict.fromkeys(FAULTS, 0)}
    clients = [client(n, args, requests, expected, found) for n in range(args.clients)]
    start = time.perf_counter()
    await asyncio.gather(*clients)
    return found, time.perf_counter() - start


def parse(arguments=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("weights", type=Path, help="those that the server has")
    add("--host", default="127.0.0.1")
    add("--port", type=int, default=8000)
    add("--clients", type=at_least(1), default=64)
    add("--seconds", type=at_least(0.1, float), default=10.0)
    rate = at_least(0.001, float)
    add("--rate", type=rate, help="requests a second in all; by default as fast as answers come")
    return parser.parse_args(arguments)


def main():
    args = parse()
    images = tg.data.mnist()[1].arrays[0][:DISTINCT, 0]
    images = np.rint(255 * images).astype(np.float32) / 255
    expected = np.concatenate(
        [Classifier(args.weights).probabilities(part) for part in np.split(images, 40)]
    )
    try:
        found, seconds = asyncio.run(run(args, requests_of(images, args.host), expected))
    except OSError as error:
        sys.exit(f"no server at {args.host}, port {args.port}: {error}")
    times = 1e3 * np.array(found["times"] or [np.nan])
    p50, p99 = np.percentile(times, [50, 99])
    count = len(found["times"])
    print(f"{count} answers in {seconds:.1f} s: {count / seconds:.0f} a second")
    print(f"p50 {p50:.1f} ms, p99 {p99:.1f} ms, longest {times.max():.1f} ms")
    print(", ".join(f"{found[what]} {what}" for what in FAULTS))
    return 1 if any(found[what] for what in FAULTS) else 0


if __name__ == "__main__":
    sys.exit(main())

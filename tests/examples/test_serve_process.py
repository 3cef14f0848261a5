"""examples/serve as a process: its weights, a swap, a crash, a stop, and where it is deployed."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from digit_server import (
    FOLDER,
    JSON,
    as_json,
    digits,
    get,
    post,
    serving,
    write_weights,
)
from needed import imported

import tinygrad_like as tg

pytestmark = pytest.mark.long


@pytest.mark.parametrize("change", ["missing", "damaged", "other"])
def test_weights_that_cannot_be_served_end_the_server(weights, tmp_path, change):
    path = tmp_path / "w.safetensors"
    if change == "damaged":
        path.write_bytes(weights.read_bytes()[:-9])
    elif change == "other":
        tg.io.save(path, {"weight": np.ones(3)})
    command = [sys.executable, str(FOLDER / "serve.py"), str(path), "--port", "0"]
    found = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert found.returncode == 2
    assert "serve: " in found.stderr
    assert "w.safetensors" in found.stderr
    assert "Traceback" not in found.stderr


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("model", {"0.bias": np.zeros(16)}, "0.weight"),
        ("model", 3.0, "state is a float"),
        ("mean", float("nan"), "not finite"),
        ("std", 0.0, "not finite"),
        ("std", "wide", "could not convert"),
        ("accuracy", float("inf"), "no finite accuracy"),
        ("ink", np.zeros(3), "no deciles of ink"),
        ("ink", np.full(11, np.nan), "no deciles of ink"),
    ],
)
def test_a_file_of_other_contents_is_refused_by_its_name(
    files, weights, tmp_path, name, value, reason
):
    path = tmp_path / "w.safetensors"
    tg.io.save(path, {**tg.io.load(weights), name: value})
    with np.errstate(all="ignore"), pytest.raises(ValueError, match=reason) as found:
        files["network"].Classifier(path)
    assert "w.safetensors" in str(found.value)


# The process that starts the worker


class Worker:
    """In place of a worker process, which ends with a code when it is waited for."""

    def __init__(self, code, at_start=None):
        self.code = code
        if at_start is not None:
            signal.raise_signal(at_start)

    def terminate(self):
        self.code = -signal.SIGTERM

    def wait(self):
        return self.code


@pytest.fixture
def serve(files):
    """serve.py as a module, and signals as they were afterwards."""
    before = {n: signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGINT)}
    for number in before:
        signal.signal(number, lambda *_: pytest.fail("the signal came where nobody waits for it"))
    yield files["serve"]
    for number, handler in before.items():
        signal.signal(number, handler)


def test_a_stop_while_the_worker_starts_stops_it(serve, monkeypatch):
    workers = []

    def start(command, pass_fds):
        workers.append(Worker(1, at_start=signal.SIGTERM))
        return workers[-1]

    monkeypatch.setattr(serve.subprocess, "Popen", start)
    assert serve.supervise(serve.parse(["w", "--port", "0"])) == 0
    assert [worker.code for worker in workers] == [-signal.SIGTERM]


def test_a_stop_is_heard_between_two_workers(serve, monkeypatch, capsys):
    slept = []

    def sleep(seconds):
        slept.append(seconds)
        signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(serve.subprocess, "Popen", lambda command, pass_fds: Worker(1))
    monkeypatch.setattr(serve.time, "sleep", sleep)
    assert serve.supervise(serve.parse(["w", "--port", "0"])) == 0
    assert len(slept) == 1
    assert slept[0] < 1  # as a signal does not end a sleep
    assert "the worker ended with code 1; another in 2 s" in capsys.readouterr().err


def test_what_starting_again_would_not_mend_ends_the_server(serve, monkeypatch, capsys):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SystemExit) as ended:
            serve.supervise(serve.parse(["w", "--port", str(port)]))
    assert ended.value.code == 2
    assert f"cannot listen at 127.0.0.1, port {port}" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    with pytest.raises(SystemExit) as ended:
        serve.work(serve.parse(["w", "--fd", "3"]))
    assert ended.value.code == 2
    assert "pip install 'tinygrad-like[serve]'" in capsys.readouterr().err
    for wrong in (["--rate", "0"], ["--seconds", "-1"], ["--most-bytes", "0"]):
        with pytest.raises(SystemExit):
            serve.parse(["w", *wrong])


# Swap, crash, stop


class Crowd:
    """Clients that ask a server until they are told to stop; what they got."""

    def __init__(self, files, address, weights):
        self.load, self.address = files["load"], address
        images = np.rint(255 * digits()[0][:40]) / 255
        self.requests = self.load.requests_of(images, "localhost")
        self.expected = [
            files["network"].Classifier(path).probabilities(images) for path in weights
        ]
        self.answers, self.names, self.lost, self.done = 0, set(), 0, False

    async def client(self, number):
        host, port = self.address.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, port)
        try:
            while not self.done:
                number = (number + 1) % 40
                await self.ask(reader, writer, number)
        finally:
            writer.close()

    async def ask(self, reader, writer, i):
        status, answer = await self.load.ask(reader, writer, self.requests[i])
        assert status == 200, answer
        right = [np.allclose(answer["probabilities"], e[i], atol=1e-4) for e in self.expected]
        assert any(right), "an answer of neither network"
        self.names.add(answer["model"])
        self.answers += 1

    async def run(self, meanwhile):
        clients = [asyncio.ensure_future(self.client(n)) for n in range(16)]
        await asyncio.to_thread(meanwhile)
        self.done = True
        await asyncio.gather(*clients)


def test_a_swap_loses_no_request_and_a_damaged_file_changes_nothing(files, weights, tmp_path):
    path, other = tmp_path / "now.safetensors", tmp_path / "next.safetensors"
    path.write_bytes(weights.read_bytes())
    write_weights(files["network"], other, steps=2, seed=1)
    with serving(path) as (_, address):
        before = json.loads(get(address + "/health"))["model"]
        crowd = Crowd(files, address, [weights, other])

        def meanwhile():
            time.sleep(1)
            (tmp_path / "damaged").write_bytes(other.read_bytes()[:-100])
            (tmp_path / "damaged").replace(path)
            time.sleep(3)
            assert json.loads(get(address + "/health"))["model"] == before
            (tmp_path / "copy").write_bytes(other.read_bytes())
            (tmp_path / "copy").replace(path)
            for _ in range(60):
                time.sleep(0.5)
                if json.loads(get(address + "/health"))["model"] != before:
                    break
            time.sleep(1)

        asyncio.run(crowd.run(meanwhile))
        after = json.loads(get(address + "/health"))["model"]
        text = get(address + "/metrics").decode()
    assert crowd.names == {before, after}
    assert crowd.answers > 50
    assert "digits_models_loaded_total 1.0" in text
    assert 'digits_refused_total{reason="model"} 1.0' in text


def children(process):
    path = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    if not path.exists():
        pytest.skip("the worker of a process is found in /proc, which this system lacks")
    return [int(each) for each in path.read_text().split()]


def test_a_crashed_worker_is_started_again_while_its_port_stays_open(weights):
    with serving(weights) as (process, address):
        (worker,) = children(process)
        os.kill(worker, signal.SIGKILL)
        time.sleep(0.2)
        status, _ = post(address + "/predict", as_json(digits()[0][0]), JSON)  # waits for the next
        assert status == 200
        assert children(process) != [worker]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_answers_what_was_asked(files, weights, number):
    with serving(weights) as (process, address):
        crowd = Crowd(files, address, [weights])

        async def run():
            clients = [asyncio.ensure_future(crowd.client(n)) for n in range(16)]
            while crowd.answers < 50:
                await asyncio.sleep(0.01)
            process.send_signal(number)
            return await asyncio.gather(*clients, return_exceptions=True)

        ended = asyncio.run(run())
        assert process.wait(timeout=30) == 0
    # Each connection was closed between two answers, not in the middle of one.
    for error in ended:
        assert isinstance(error, (asyncio.IncompleteReadError, ConnectionError)), error
        assert not getattr(error, "partial", b""), error.partial


def test_the_manifest_has_the_form_that_kubernetes_asks_for():
    kubernetes_validate, yaml = imported("kubernetes_validate"), imported("yaml")
    documents = list(yaml.safe_load_all((FOLDER / "kubernetes.yaml").read_text()))
    for document in documents:
        kubernetes_validate.validate(document, "1.31", strict=True)
    deployment, service = documents
    template = deployment["spec"]["template"]
    labels = template["metadata"]["labels"]
    assert deployment["spec"]["selector"]["matchLabels"] == labels == service["spec"]["selector"]
    (container,) = template["spec"]["containers"]
    ports = {port["containerPort"] for port in container["ports"]}
    assert {p["targetPort"] for p in service["spec"]["ports"]} <= ports
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert container[probe]["httpGet"]["port"] in ports
    volumes = {volume["name"] for volume in template["spec"]["volumes"]}
    assert {mount["name"] for mount in container["volumeMounts"]} == volumes


def test_a_file_that_changes_before_the_watch_begins_is_noticed(files, weights, tmp_path):
    path = tmp_path / "now.safetensors"
    path.write_bytes(weights.read_bytes())
    server = files["application"].Server(path, look=0.01)
    before = server.classifier.name
    write_weights(files["network"], tmp_path / "next", steps=1, seed=2)
    (tmp_path / "next").replace(path)

    async def run():
        job = asyncio.create_task(server.watch())
        for _ in range(600):
            await asyncio.sleep(0.01)
            if server.classifier.name != before:
                break
        job.cancel()

    asyncio.run(run())
    assert server.classifier.name != before


def test_clients_that_find_no_server_say_so_and_refusals_are_counted(files, monkeypatch):
    load = files["load"]
    args = load.parse(["w", "--port", "1", "--clients", "2", "--seconds", "0.1"])
    with pytest.raises(OSError, match="1"):
        asyncio.run(load.run(args, [b""], [np.zeros(10)]))

    async def answers(reader, writer, request):
        await asyncio.sleep(0.02)
        return 429, {"error": "at most 1 request a second"}

    class Connection:
        def close(self):
            pass

    async def connect(host, port):
        return None, Connection()

    monkeypatch.setattr(load, "ask", answers)
    monkeypatch.setattr(load.asyncio, "open_connection", connect)
    found, _ = asyncio.run(load.run(args, [b""], [np.zeros(10)]))
    assert found["refused"] > 0
    assert (found["lost"], found["wrong"], found["times"]) == (0, 0, [])

    async def never(reader, writer, request):
        await asyncio.sleep(60)

    monkeypatch.setattr(load, "ask", never)
    monkeypatch.setattr(load, "PATIENCE", 0.05)
    found, _ = asyncio.run(load.run(args, [b""], [np.zeros(10)]))
    assert found["lost"] > 0

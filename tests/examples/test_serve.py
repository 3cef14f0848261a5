"""examples/serve: what it answers and refuses, under load, through a swap, a crash and a stop."""

import asyncio
import contextlib
import importlib
import io
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from browser import browser, complaints  # noqa: F401
from hypothesis import HealthCheck, Phase, given, settings
from needed import imported

import tinygrad_like as tg

for library in ("starlette", "uvicorn", "pydantic", "prometheus_client"):
    imported(library)
Image = imported("PIL.Image")

pytestmark = pytest.mark.long

FOLDER = Path(__file__).parents[2] / "examples" / "serve"
JSON, PNG = "application/json", "image/png"
FILES = "application batches network limits load measures openapi pictures".split()


@pytest.fixture(scope="module")
def files():
    """The files of the example as modules, by name."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(FOLDER))
        yield {name: importlib.import_module(name) for name in FILES}
        for name in FILES:
            sys.modules.pop(name)


def digits():
    """The digits of the package as pictures (n, 28, 28) of float32, from 0 to 1, and labels."""
    images, labels = tg.data.digits()[0].arrays
    images = np.kron(images[:, 0] / images.max(), np.ones((1, 3, 3)))
    return np.pad(images, [(0, 0), (2, 2), (2, 2)]).astype(np.float32), labels


def write_weights(classifier, path, steps=1, seed=0):
    """Weights as network.py writes them, trained for some steps on the package's digits."""
    tg.seed(seed)
    images, labels = digits()
    model = classifier.network()
    optimizer = tg.optim.Adam(model.parameters(), lr=3e-3)
    mean, std = float(images.mean()), float(images.std())
    for i in range(steps):
        at = np.random.default_rng(i).integers(0, len(images), 64)
        x = tg.Tensor((images[at, None] - mean) / std)
        loss = tg.losses.cross_entropy(model(x), tg.Tensor(labels[at]))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    ink = np.quantile(classifier.ink_of(images), np.linspace(0, 1, 11))
    state = {"model": model.state_dict(), "mean": mean, "std": std, "ink": ink, "accuracy": 0.5}
    tg.io.save(path, state)


@pytest.fixture(scope="module")
def weights(files, tmp_path_factory):
    path = tmp_path_factory.mktemp("serve") / "weights.safetensors"
    write_weights(files["network"], path, steps=200)
    return path


@contextlib.contextmanager
def serving(weights, *options):
    """(process, address) of a running server."""
    command = [sys.executable, str(FOLDER / "serve.py"), str(weights), "--port", "0"]
    command += ["--seconds", "30", *options]  # as other tests run beside this one
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        address = process.stdout.readline().strip()
        get(address + "/health", wait=120)
        yield process, address
    finally:
        process.terminate()
        process.communicate(timeout=30)


@pytest.fixture(scope="module")
def server(weights):
    with serving(weights) as (_, address):
        yield address


def get(url, wait=30):
    with urllib.request.urlopen(url, timeout=wait) as response:
        return response.read()


def post(url, body, kind):
    """(status, answer) of a request."""
    request = urllib.request.Request(url, body, {"Content-Type": kind})
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            return response.status, json.loads(response.read())
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.loads(error.read())


def as_json(picture):
    return json.dumps({"pixels": np.rint(255 * picture).astype(int).tolist()}).encode()


def as_png(levels, mode="L"):
    content = io.BytesIO()
    Image.fromarray(np.asarray(levels, np.uint8)).convert(mode).save(content, "PNG")
    return content.getvalue()


# Answers


def test_json_gets_the_probabilities_of_the_network(files, weights, server):
    picture = np.rint(255 * digits()[0][0]) / 255
    status, answer = post(server + "/predict", as_json(picture), JSON)
    expected = files["network"].Classifier(weights).probabilities(picture[None])[0]
    assert status == 200
    np.testing.assert_allclose(answer["probabilities"], expected, atol=1e-5)
    assert answer["digit"] == expected.argmax()


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P", "1"])
@pytest.mark.parametrize("paper", ["black", "white"])
def test_a_picture_file_of_any_mode_and_size_is_put_as_mnist_has_it(files, mode, paper):
    """A bar, of ink on either colour of paper, twice as high as wide: 20 x 10, in the middle."""
    levels = np.zeros((300, 200))
    levels[20:100, 30:70] = 255
    levels = levels if paper == "black" else 255 - levels
    found = files["pictures"].from_file(as_png(levels, mode))
    expected = np.zeros((28, 28))
    expected[4:24, 9:19] = 1
    np.testing.assert_allclose(found, expected, atol=0.05)


def test_the_maps_and_the_saliency_are_those_of_the_network(files, weights, server):
    picture = files["pictures"].centred(digits()[0][3])
    levels = np.rint(255 * picture)
    status, answer = post(server + "/explain", as_json(levels / 255), JSON)
    classifier = files["network"].Classifier(weights)
    x = tg.Tensor(classifier.normalised((levels / 255).astype(np.float32)[None]))
    maps = tg.relu(classifier.model[0](x)).numpy()[0]
    assert status == 200
    assert np.abs(np.array(answer["maps"]) - 255 * maps / maps.max()).max() <= 1
    step = np.zeros(x.shape, np.float32)
    row, column = np.unravel_index(np.argmax(answer["saliency"]), (28, 28))
    step[0, 0, row, column] = 1e-2
    slopes = [classifier.model(x + sign * step).numpy().max() for sign in (1, -1)]
    assert abs(slopes[0] - slopes[1]) > 0
    assert answer["saliency"][row][column] == 255


# Refusals


@pytest.mark.parametrize(
    ("body", "kind", "status", "reason"),
    [
        (b"no picture", PNG, 422, "no PNG or JPEG"),
        (as_png(np.eye(20) * 255)[:50], PNG, 422, "no PNG or JPEG"),
        (as_png(np.zeros((20, 20))), PNG, 422, "empty"),
        (as_png(np.zeros((4000, 2000)), "1"), PNG, 422, "4000"),
        (b"{", JSON, 422, "JSON"),
        (b"[]", JSON, 422, "object"),
        (b'{"pixels": [[1, 2], [3, 4]]}', JSON, 422, "28 items"),
        (as_json(np.full((28, 28), 2.0)), JSON, 422, "less than or equal to 255"),
        (as_json(np.zeros((28, 28))).replace(b"0", b"NaN", 1), JSON, 422, "pixels"),
        (as_json(np.zeros((28, 28))).replace(b"0", b'"0"', 1), JSON, 422, "valid number"),
        (as_json(np.zeros((28, 28)))[:-1] + b', "size": 3}', JSON, 422, "Extra"),
        (b"x" * 70_000, PNG, 413, "65,536"),
        (b"<svg/>", "image/svg+xml", 415, "image/svg"),
    ],
    ids=str,
)
def test_what_is_no_digit_is_refused_with_the_reason(server, body, kind, status, reason):
    found, answer = post(server + "/predict", body, kind)
    assert found == status
    assert reason in answer["error"]


def test_a_client_that_asks_too_often_is_refused(weights):
    with serving(weights, "--rate", "5") as (_, address):
        picture = as_json(digits()[0][0])
        statuses = [post(address + "/predict", picture, JSON)[0] for _ in range(12)]
        time.sleep(1)
        assert statuses[:5] == [200] * 5
        assert 429 in statuses
        assert post(address + "/predict", picture, JSON)[0] == 200


def test_tokens_come_back_with_time_and_silent_clients_are_forgotten(files):
    now = [0.0]
    rates = files["limits"].Rates(2, now=lambda: now[0], most=3)
    assert [rates.allows("a") for _ in range(3)] == [True, True, False]
    now[0] = 0.5
    assert [rates.allows("a") for _ in range(2)] == [True, False]
    for client in "bcd":
        rates.allows(client)
    assert rates.allows("a")  # as a new client


def test_a_request_that_waits_too_long_or_finds_no_room_is_refused(files):
    batches = files["batches"]

    async def run():
        waiting = batches.Batches(lambda rows: rows, room=1)
        first = asyncio.ensure_future(waiting(np.zeros(1)))
        await asyncio.sleep(0)
        with pytest.raises(batches.Full):
            await waiting(np.zeros(1))
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(first, 0.01)
        job = asyncio.ensure_future(waiting.run())
        await asyncio.sleep(0.05)
        assert (await waiting(np.array([3.0])))[0] == 3
        job.cancel()

    asyncio.run(run())


def test_requests_share_a_batch_and_a_failure_reaches_its_own_batch_alone(files):
    sizes = []

    def compute(rows):
        if rows[0] < 0:
            raise ValueError("negative")
        return rows * 2

    async def run():
        batches = files["batches"].Batches(compute, most=8, seen=sizes.append)
        job = asyncio.ensure_future(batches.run())
        answers = await asyncio.gather(*(batches(np.float64(i)) for i in range(20)))
        assert answers == [2 * i for i in range(20)]
        with pytest.raises(ValueError, match="negative"):
            await batches(np.float64(-1))
        assert await batches(np.float64(4)) == 8
        job.cancel()

    asyncio.run(run())
    assert sizes[:3] == [8, 8, 4]


@pytest.mark.parametrize("change", ["missing", "damaged", "layers", "not finite", "other"])
def test_weights_that_cannot_be_served_are_refused(files, weights, tmp_path, change):
    path, state = tmp_path / "w.safetensors", tg.io.load(weights)
    if change == "damaged":
        path.write_bytes(weights.read_bytes()[:-9])
    elif change == "layers":
        del state["model"]["0.weight"]
        tg.io.save(path, state)
    elif change == "not finite":
        state["mean"] = float("nan")
        tg.io.save(path, state)
    elif change == "other":
        tg.io.save(path, {"weight": np.ones(3)})
    command = [sys.executable, str(FOLDER / "serve.py"), str(path), "--port", "0"]
    found = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert found.returncode == 2
    assert "serve: " in found.stderr
    assert "w.safetensors" in found.stderr or change in ("layers",)


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


def test_figures_for_prometheus(files, server):
    from prometheus_client.parser import text_string_to_metric_families

    for picture in digits()[0][:60]:
        post(server + "/predict", as_json(picture), JSON)
    post(server + "/predict", b"no", PNG)
    families = text_string_to_metric_families(get(server + "/metrics").decode())
    values = {(s.name, *s.labels.values()): s.value for f in families for s in f.samples}
    assert values["digits_answers_total", "/predict", "200"] >= 60
    assert values["digits_refused_total", "picture"] >= 1
    assert values["digits_batch_size_sum",] >= 60
    assert values["digits_input_drift",] < 0.5


def test_the_stability_index_sees_other_inputs(files):
    index, rng = files["measures"].stability_index, np.random.default_rng(0)
    quantiles = np.quantile(rng.normal(size=10_000), np.linspace(0, 1, 11))
    assert index(quantiles, rng.normal(size=1000)) < 0.1
    assert index(quantiles, rng.normal(size=1000) + 1) > 0.25
    assert index(quantiles, [0.0] * 10) == 0


# As others use it


def test_a_digit_drawn_in_a_browser_is_read(server, browser):  # noqa: F811
    from selenium.webdriver import ActionChains

    browser.get(server)
    drawing = browser.find_element("id", "drawing")
    stroke = ActionChains(browser).move_to_element_with_offset(drawing, 0, -90).click_and_hold()
    for _ in range(9):
        stroke = stroke.move_by_offset(0, 20)
    stroke.release().perform()
    digit = browser.find_element("id", "digit")
    wait_until(lambda: digit.text)
    wait_until(lambda: len(browser.find_elements("css selector", "#maps canvas")) == 16)
    assert digit.text == "1"
    assert browser.find_element("id", "error").text == ""
    likeliest = browser.find_element("css selector", ".bar.likeliest")
    assert likeliest.text.startswith("1")
    browser.find_element("id", "clear").click()
    assert digit.text == ""
    assert complaints(browser) == []


def wait_until(condition, seconds=20):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.05)


def test_a_fuzzer_finds_no_answer_that_the_schema_does_not_have(server):
    schemathesis = imported("schemathesis")
    checks = importlib.import_module("schemathesis.specs.openapi.checks")
    schema = schemathesis.openapi.from_url(server + "/openapi.json")
    statuses = set()
    for found in schema.get_all_operations():

        @given(case=found.ok().as_strategy())
        @settings(
            max_examples=50,
            deadline=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        def ask(case):
            response = case.call()
            statuses.add(response.status_code)
            # That a picture is empty no schema can say: a valid body may be refused.
            case.validate_response(response, excluded_checks=[checks.positive_data_acceptance])

        ask()
    assert {200, 422} <= statuses
    assert get(server + "/health")


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
    assert container["readinessProbe"]["httpGet"]["port"] in ports
    volumes = {volume["name"] for volume in template["spec"]["volumes"]}
    assert {mount["name"] for mount in container["volumeMounts"]} == volumes

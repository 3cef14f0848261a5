"""examples/serve: what it answers and refuses, alone, in a browser and under a fuzzer."""

import asyncio
import importlib
import io
import json
import threading
import time
import warnings

import numpy as np
import pytest
from browser import browser, complaints  # noqa: F401
from digit_server import (
    JSON,
    PNG,
    Image,
    as_json,
    as_png,
    digits,
    get,
    post,
    serving,
)
from hypothesis import HealthCheck, Phase, given, settings
from needed import imported

import tinygrad_like as tg

pytestmark = pytest.mark.long


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
        (as_json(np.zeros((28, 28))), JSON, 422, "empty"),
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


def test_pictures_of_16_bits_and_from_turned_cameras_are_read(files):
    levels = np.zeros((300, 200))
    levels[20:100, 30:70] = 1
    read = files["pictures"].from_file
    expected = read(as_png(255 * levels))
    content = io.BytesIO()
    Image.fromarray((60_000 * levels + 2_000).astype(np.uint16)).save(content, "PNG")
    np.testing.assert_allclose(read(content.getvalue()), expected, atol=0.1)
    content, orientation = io.BytesIO(), Image.Exif()
    orientation[0x0112] = 6  # what is up in the world is on the right of the file
    turned = Image.fromarray(np.rot90(255 * levels).astype(np.uint8))
    turned.save(content, "JPEG", quality=95, exif=orientation)
    np.testing.assert_allclose(read(content.getvalue()), expected, atol=0.05)


def test_pictures_read_in_two_threads_leave_the_filters_of_warnings_alone(files, monkeypatch):
    pictures, both = files["pictures"], threading.Barrier(2)
    opened, first_done = Image.open, threading.Event()

    def opens(*args, **options):
        if both.wait(10) == 1:  # the one that began last ends last
            first_done.wait(10)
        return opened(*args, **options)

    def read():
        pictures.from_file(as_png(255 * digits()[0][0]))
        first_done.set()

    monkeypatch.setattr(pictures.Image, "open", opens)
    threads = [threading.Thread(target=read) for _ in range(2)]
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        before = list(warnings.filters)
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert list(warnings.filters) == before


def test_a_rate_below_one_a_second_allows_a_request_at_times(files):
    now = [0.0]
    rates = files["limits"].Rates(0.5, now=lambda: now[0])
    allowed = []
    for now[0] in (0.0, 1.0, 2.0, 3.0, 4.0):
        allowed.append(rates.allows("a"))
    assert allowed == [True, False, True, False, True]


def test_rows_that_do_not_fit_together_stop_nothing(files):
    async def run():
        batches = files["batches"].Batches(lambda rows: rows)
        job = asyncio.ensure_future(batches.run())
        waiting = [batches(np.zeros(n)) for n in (2, 3)]
        found = await asyncio.gather(*waiting, return_exceptions=True)
        assert [type(error) for error in found] == [ValueError, ValueError]
        assert len(await batches(np.zeros(2))) == 2
        job.cancel()

    asyncio.run(run())


def test_rows_whose_callers_have_gone_are_not_computed(files):
    computed = []

    async def run():
        batches = files["batches"].Batches(lambda rows: computed.extend(rows[:, 0]) or rows)
        gone = [asyncio.ensure_future(batches(np.array([i]))) for i in range(3)]
        await asyncio.sleep(0)
        for caller in gone:
            caller.cancel()
        job = asyncio.ensure_future(batches.run())
        await batches(np.array([7]))
        job.cancel()

    asyncio.run(run())
    assert computed == [7]


def asked(handle, *messages):
    """(status, answer) of a route, for what a client sends."""
    requests = importlib.import_module("starlette.requests")
    coming = iter(messages)

    async def receive():
        return next(coming)

    scope = {"type": "http", "method": "POST", "path": "/predict", "query_string": b""}
    scope |= {"headers": [(b"content-type", JSON.encode())], "client": ("here", 1)}
    response = asyncio.run(handle(requests.Request(scope, receive)))
    return response.status_code, json.loads(response.body)


def test_strokes_on_the_page_do_not_count_as_drift(files, weights):
    server = files["application"].Server(weights)
    body = {"type": "http.request", "body": as_json(digits()[0][0]), "more_body": False}
    status, answer = asked(server.measured(server.explain), body)
    assert status == 200
    assert len(answer["maps"]) == 16
    assert not server.measures._ink


def test_failures_and_clients_that_leave_are_counted_and_answered(files, weights, caplog):
    server = files["application"].Server(weights)

    async def fails(picture):
        raise ZeroDivisionError

    body = {"type": "http.request", "body": as_json(digits()[0][0]), "more_body": False}
    status, answer = asked(server.measured(fails), body)
    assert status == 500
    assert "failed" in answer["error"]
    assert "ZeroDivisionError" in caplog.text
    part = {"type": "http.request", "body": b'{"pixels"', "more_body": True}
    status, answer = asked(server.measured(fails), part, {"type": "http.disconnect"})
    assert status == 400
    assert "left" in answer["error"]
    text = server.measures.text(server.classifier.ink).decode()
    for reason in ("error", "gone"):
        assert f'digits_refused_total{{reason="{reason}"}} 1.0' in text


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

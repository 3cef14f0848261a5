"""The server's routes: a picture in, a digit out."""

import asyncio
import contextlib
import logging
import time
from pathlib import Path

import numpy as np
from batches import Batches, Full
from limits import Rates, TooLarge, read
from measures import Measures
from network import Classifier, ink_of
from openapi import SCHEMA
from pictures import BadPicture, from_file, from_json
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

PAGE = Path(__file__).with_name("page.html")
PICTURES = "image/png", "image/jpeg"
LOG = logging.getLogger("digits")


class Refused(Exception):
    """A request that is not answered: (status, reason in one word, what to tell the client)."""


class Server:
    """A classifier behind routes. The file of its weights is looked at every `look` seconds."""

    def __init__(self, path, most_bytes=65_536, rate=5_000, seconds=2.0, look=1.0):
        self.path, self.most_bytes, self.seconds, self.look = path, most_bytes, seconds, look
        self.seen = path.stat().st_mtime_ns  # before it is read: a change meanwhile is noticed
        self.classifier = Classifier(path)
        self.measures = Measures()
        self.rates = Rates(rate)
        # The classifier is looked up for each batch: a swap waits for no request, and loses none.
        self.batches = Batches(
            lambda rows: self._compute(rows), seen=lambda n: self.measures.batch.observe(n)
        )

    def _compute(self, rows):
        classifier = self.classifier
        return [(classifier.name, row) for row in classifier.probabilities(rows)]

    def application(self):
        routes = [
            Route("/", self.page),
            Route("/predict", self.measured(self.predict), methods=["POST"]),
            Route("/explain", self.measured(self.explain), methods=["POST"]),
            Route("/health", self.health),
            Route("/metrics", self.metrics),
            Route("/openapi.json", self.openapi),
        ]
        return Starlette(routes=routes, lifespan=self.lifespan)

    @contextlib.asynccontextmanager
    async def lifespan(self, application):
        tasks = [asyncio.create_task(job()) for job in (self.batches.run, self.watch)]
        yield
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def watch(self):
        """Put a new file of weights in place of the old one; a damaged one is left alone."""
        while True:
            await asyncio.sleep(self.look)
            with contextlib.suppress(OSError):  # it may be away for a moment
                before, self.seen = self.seen, self.path.stat().st_mtime_ns
                if before != self.seen:
                    await self.swap()

    async def swap(self):
        try:
            self.classifier = await asyncio.to_thread(Classifier, self.path)
        except Exception as error:
            self.measures.refused.labels("model").inc()
            LOG.error("kept the model %s: %s", self.classifier.name, error)
            return
        self.measures.swaps.inc()
        LOG.warning("the model is now %s", self.classifier.name)

    def measured(self, route):
        """A route whose time and status are counted, and whose refusals are answered."""

        async def handle(request):
            start, path = time.perf_counter(), request.url.path
            try:
                response = await self.limited(route, request)
            except Exception as error:
                if not isinstance(error, Refused):
                    LOG.exception("a request to %s failed", path)
                    error = Refused(500, "error", "the server failed; its log says why")
                status, reason, text = error.args
                self.measures.refused.labels(reason).inc()
                response = JSONResponse({"error": text}, status)
                if status in (429, 503):
                    response.headers["Retry-After"] = "1"
            self.measures.latency.labels(path).observe(time.perf_counter() - start)
            self.measures.answers.labels(path, response.status_code).inc()
            return response

        return handle

    async def limited(self, route, request):
        client = request.client.host if request.client else ""
        if not self.rates.allows(client):
            raise Refused(429, "rate", f"at most {self.rates.rate} requests a second")
        try:
            return await asyncio.wait_for(self.answer(route, request), self.seconds)
        except asyncio.TimeoutError:
            raise Refused(504, "time", f"no answer within {self.seconds} s") from None
        except Full as error:
            raise Refused(503, "full", str(error)) from None

    async def answer(self, route, request):
        return await route(await self.picture(request))

    async def picture(self, request):
        """The picture of a request, an array (28, 28) from 0 to 1."""
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        try:
            if kind == "application/json":
                picture = from_json(await read(request, self.most_bytes))
            elif kind in PICTURES:
                body = await read(request, self.most_bytes)
                picture = await asyncio.to_thread(from_file, body)
            else:
                raise Refused(
                    415, "kind", f"a body of type {kind!r}, expected application/json or "
                    + " or ".join(PICTURES),
                )  # fmt: skip
        except TooLarge as error:
            raise Refused(413, "size", str(error)) from None
        except BadPicture as error:
            raise Refused(422, "picture", str(error)) from None
        except ClientDisconnect:
            raise Refused(400, "gone", "the client left before its picture had come") from None
        return picture

    async def predict(self, picture):
        # What is explained is drawn at the moment, so that its ink says nothing of drift.
        self.measures.saw(float(ink_of(picture[None])[0]))
        model, probabilities = await self.batches(picture)
        return JSONResponse(_answer(model, probabilities))

    async def explain(self, picture):
        classifier = self.classifier
        probabilities, maps, saliency = await self.batches.on_thread(classifier.explain, picture)
        answer = _answer(classifier.name, probabilities)
        levels = {"picture": picture, "maps": maps, "saliency": saliency}
        answer |= {name: np.rint(255 * x).astype(int).tolist() for name, x in levels.items()}
        return JSONResponse(answer)

    async def health(self, request):
        found = self.classifier
        return JSONResponse({"status": "ok", "model": found.name, "accuracy": found.accuracy})

    async def metrics(self, request):
        text = self.measures.text(self.classifier.ink)
        return Response(text, media_type="text/plain; version=0.0.4")

    async def page(self, request):
        return HTMLResponse(PAGE.read_text(encoding="utf-8"))

    async def openapi(self, request):
        return JSONResponse(SCHEMA)


def _answer(model, probabilities):
    return {
        "digit": int(probabilities.argmax()),
        "probabilities": [round(float(p), 6) for p in probabilities],
        "model": model,
    }

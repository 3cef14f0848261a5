"""Limits for one client: bytes of a request, requests per second."""

import time


class TooLarge(Exception):
    """A request has more bytes than allowed."""


async def read(request, most):
    """The body of a request. Raises TooLarge as soon as it has more than `most` bytes."""
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > most:
            raise TooLarge(f"the body has more than {most:,} bytes")
    return bytes(body)


class Rates:
    """A bucket of tokens for each client: `rate` a second, and as many at once, but at least one.

    Clients that have been silent are forgotten, so that memory does not grow with their number.
    """

    def __init__(self, rate, now=time.monotonic, most=10_000):
        self.rate, self.now, self.most = rate, now, most
        self.room = max(rate, 1)  # of a bucket
        self._buckets: dict = {}  # client: (tokens, when they were counted)

    def allows(self, client):
        """Whether this client may ask now; if so, it has one token less."""
        now = self.now()
        tokens, then = self._buckets.pop(client, (self.room, now))
        tokens = min(self.room, tokens + (now - then) * self.rate)
        allowed = tokens >= 1
        self._buckets[client] = tokens - allowed, now  # the latest is last
        while len(self._buckets) > self.most:
            del self._buckets[next(iter(self._buckets))]
        return allowed

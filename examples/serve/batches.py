"""Requests in batches: those that arrive within two milliseconds are computed together.

One thread computes. While it does, the next batch gathers, so that batches grow with the load.
"""

import asyncio
from concurrent.futures import ThreadPoolExecutor

import numpy as np


class Full(Exception):
    """More requests wait than there is room for."""


class Batches:
    """Calls for one row each, joined into few calls of `compute` for many rows.

    `compute` takes an array of rows and returns a sequence with an answer for each. What it raises
    goes to the callers of that batch; the next one is computed as ever.
    """

    def __init__(self, compute, most=64, wait=0.002, room=1024, seen=None):
        self.compute, self.most, self.wait, self.room = compute, most, wait, room
        self.seen = seen  # called with the size of each batch
        self._waiting: asyncio.Queue = asyncio.Queue()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="compute")

    async def __call__(self, row):
        """The answer for a row. Raises Full at once if too many wait."""
        if self._waiting.qsize() >= self.room:
            raise Full(f"{self.room} requests wait already")
        answer = asyncio.get_running_loop().create_future()
        self._waiting.put_nowait((row, answer))
        return await answer

    async def run(self):
        """Compute batches until this is cancelled."""
        while True:
            batch = await self._gather()
            if self.seen:
                self.seen(len(batch))
            try:
                rows = np.stack([row for row, _ in batch])
                answers = await self.on_thread(self.compute, rows)
                if len(answers) != len(batch):
                    raise RuntimeError(f"{len(answers)} answers for {len(batch)} rows")
            except Exception as error:
                answers = [error] * len(batch)
            for (_, caller), answer in zip(batch, answers, strict=True):
                if caller.cancelled():  # it waited too long, or went away
                    continue
                if isinstance(answer, Exception):
                    caller.set_exception(answer)
                else:
                    caller.set_result(answer)

    async def on_thread(self, function, *args):
        """Run a function on the thread that computes, after what waits there."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, function, *args)

    async def _gather(self):
        """The rows that wait, and those that come within `wait` seconds of the first.

        Without those whose callers have gone meanwhile.
        """
        batch: list = []
        while not batch:
            found = [await self._waiting.get()]
            if self._waiting.qsize() < self.most - 1:
                await asyncio.sleep(self.wait)
            while len(found) < self.most and not self._waiting.empty():
                found.append(self._waiting.get_nowait())
            batch = [(row, caller) for row, caller in found if not caller.done()]
        return batch

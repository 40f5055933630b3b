"""What a pool has promised by now: its images' sizes, and those of images that are being made or grown.

Several steps make volumes at the same time, and some of them take long. Each looks at what the pool has and decides
whether there is room; without this, two of them would find the same room.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from cell_reconciler.model.live import Image, Pool

FRESH = 5.0  # seconds: a hundred new volumes are not a hundred listings of a pool


class Promised:
    """Sizes in bytes by name, of one pool."""

    def __init__(self, observe: Callable[[], tuple[Pool, tuple[Image, ...]]]) -> None:
        self._observe = observe
        self._lock = threading.Lock()
        self._read = float("-inf")
        self._capacity: int | None = None
        self._sizes: dict[str, int] = {}
        self._coming: dict[str, int] = {}

    @contextmanager
    def entered(self, name: str, size: int, check: Callable[[Mapping[str, int], int | None], None]) -> Iterator[None]:
        """Within it, the image is on its way to ``size``.

        ``check`` is given the sizes of all images (that of ``name`` as it is, if it is there) and the pool's capacity,
        None where that is not known, and may raise. Raises Unreachable.
        """
        with self._lock:
            if time.monotonic() - self._read > FRESH:
                pool, images = self._observe()
                self._capacity, self._sizes = pool.capacity, {image.name: image.size for image in images}
                self._read = time.monotonic()
            check({**self._sizes, **self._coming}, self._capacity)
            self._coming[name] = size
        done = False
        try:
            yield
            done = True
        finally:
            with self._lock:
                self._coming.pop(name, None)
                if done:
                    self._sizes[name] = size

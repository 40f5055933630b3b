"""Puts the daemon together: lock, threads, signals, loop; and takes it apart again."""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

from cell_reconciler.converge.engine import Engine
from cell_reconciler.daemon import mapping
from cell_reconciler.daemon.crew import Crew
from cell_reconciler.daemon.hints import Files, Hint, Reload, Stop, Tell
from cell_reconciler.daemon.logs import logger
from cell_reconciler.daemon.loop import Loop, Options
from cell_reconciler.daemon.notify import Notify
from cell_reconciler.daemon.sleep import SleepGuard
from cell_reconciler.daemon.triggers_libvirt import LibvirtTrigger, PulseTrigger
from cell_reconciler.daemon.triggers_netlink import NetlinkTrigger
from cell_reconciler.daemon.triggers_nftables import FilterTrigger
from cell_reconciler.daemon.triggers_pools import PoolTrigger
from cell_reconciler.daemon.watch import Watch
from cell_reconciler.daemon.workers import WORKERS, Workers
from cell_reconciler.load.source import STDIN

# What `cellctl suspend` and `resume` write, and what `commit` and `rollback` take away: the loop hears it at once.
SAID = ("suspensions.json", "resumed.json", "pending.json")


def run(engine: Engine, options: Options) -> int:
    """The daemon, or one pass of it; the exit code. Raises Refused when another process holds the host's lock."""
    inbox: queue.SimpleQueue[Hint] = queue.SimpleQueue()
    notify = Notify()
    engine.guarded.undone.heed = True
    with engine, engine.lock("cellctl run"), _signals(inbox.put):
        for text in engine.recover():
            logger().warning(text)
        crew = Crew(inbox.put)
        workers = Workers(engine.apply, inbox.put)
        loop = Loop(engine, workers, inbox, notify, options)
        try:
            _start(crew, workers, loop, engine, inbox.put, options)
            code = loop.run()
        except Exception:  # noqa: BLE001  a bug in the loop: say so, and let the service manager start us again
            logger().critical("the loop failed", error=traceback.format_exc())
            code = 1
        crew.stop(timeout=2.0)
        if loop.passes.jobs:
            # A step hangs in a library. Waiting for its thread at exit would hang as well; the journal knows it.
            sys.stderr.flush()
            os._exit(code or 1)
        return code


def _start(crew: Crew, workers: Workers, loop: Loop, engine: Engine, tell: Tell, options: Options) -> None:
    engine.doors.progress = workers.progress
    workers.looked = lambda: engine.doors.waiting.looked
    for number in range(WORKERS):
        crew.start(f"worker-{number + 1}", workers.run, workers.stop)
    if options.once:
        return
    crew.watch_strangers()
    paths = [Path(path) for path in engine.options.paths if path != STDIN]
    paths += [Path(engine.options.state_dir, name) for name in SAID]
    watch = Watch(paths, lambda trouble: tell(Files(trouble)))
    crew.start("files", watch.run, watch.stop)
    netlink = NetlinkTrigger(tell)
    crew.start("netlink", netlink.run, netlink.stop)
    nftables = FilterTrigger(tell)
    crew.start("nftables", nftables.run, nftables.stop)
    libvirt = LibvirtTrigger(engine.doors.libvirt, tell)
    crew.start("libvirt", libvirt.run, libvirt.stop)
    pulse = PulseTrigger(engine.doors.libvirt.pulse, tell)
    crew.start("pulse", pulse.run, pulse.stop)
    loop.suspect_libvirt = pulse.suspect
    awake = SleepGuard(tell)
    crew.start("sleep", awake.run, awake.stop)
    loop.keep_awake = awake.want
    pools = PoolTrigger(engine.doors, lambda: mapping.pools(loop.documents), tell)
    crew.start("pools", pools.run, pools.stop)
    loop.suspect = pools.suspect


@contextlib.contextmanager
def _signals(tell: Tell) -> Iterator[None]:
    """SIGHUP: reload; SIGTERM and SIGINT: finish the running steps and stop. ``SimpleQueue.put`` is reentrant."""

    def hear(number: int, _frame: FrameType | None) -> None:
        tell(Reload() if number == signal.SIGHUP else Stop(signal.Signals(number).name))

    before = {number: signal.signal(number, hear) for number in (signal.SIGHUP, signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

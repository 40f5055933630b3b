"""Fixtures that several modules share: a host that is managed through a bridge. Others define their own ``host``."""

from tests.live.managed import host, nic, running

__all__ = ["host", "nic", "running"]

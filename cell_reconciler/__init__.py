"""cell-reconciler: declarative KVM hosts.

YAML specs say what must exist on a host; they are loaded, compared with what libvirt, the kernel and
Ceph report, and converged by small idempotent steps, once (``cellctl apply``) or for ever
(``cellctl run``). The data flows one way::

    specs ─load→ Desired ┐
                         ├─compare→ Changes ─plan→ Plan ─execute→ Outcomes ─reduce→ Status
    host ─observe→ Live  ┘        (pure)             (the only writer)

The folders are these stages; ``model`` holds the values that travel between them.
"""

__version__ = "0.1.0"
API_VERSION = "cell/v1"

"""``cellctl run``: keeps a host as its specs say, for ever.

The theory is that of level-triggered controllers. Events (of files, of libvirt, of the kernel) are only hints that
something may have changed: they mark keys dirty and carry nothing else. What to do comes from comparing the whole
truth about those keys with the specs, by the same code that ``diff`` and ``apply`` use. A full comparison once in a
while makes up for every hint that was lost.

::

    watch ──────────┐                              ┌─ worker ─┐
    triggers_libvirt│   inbox    loop ── passes ───┤─ worker ─├── Finished ──┐
    triggers_netlink├──────────▶  (one thread)     └─ worker ─┘             │
    triggers_pools  │               ▲  queue, backoff, fighting             │
    signals ────────┘               └───────────────────────────────────────┘

One thread decides (``loop``, ``passes``); ``workers`` execute plans that share no key; the other threads only tell.
``queue``, ``backoff``, ``fighting``, ``debounce``, ``split``, ``news`` and ``mapping`` are pure. ``service`` puts it
together. A thread that dies ends the process; what it left undone is found by the next one.
"""

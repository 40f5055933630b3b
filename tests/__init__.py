"""Tests run on real components: libvirtd, the kernel and Ceph in labs (see ``cell_reconciler.lab``), plain values for
the pure parts. What needs a lab is marked ``live``, ``ceph`` or ``kernel``; all else is quick.
"""

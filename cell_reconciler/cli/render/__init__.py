"""How answers are shown. Pure: values in, text to a stream; no clock, no environment, no files.

``plan`` and ``diagnostics`` choose the format. ``text`` and ``markdown`` are for people, ``json`` is everything,
and ``github``, ``sarif`` and ``junit`` show the same list of ``findings`` in three dialects.

Rule 1: a value from a spec or a host is hostile until it went through ``style.escape`` (terminal control
characters) or the escaping of the format.
Rule 2: a secret is shown as ``(sensitive)`` in every format.
Rule 3: signs (``+ - ~ ! = ?``) carry the meaning; colour only repeats it.
"""

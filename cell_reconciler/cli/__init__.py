"""The command line: who asks, and how the answer is shown.

One file a command, each with ``configure(parser)`` (its options) and ``run(args) -> int`` (its exit code); its
docstring is its help. ``main`` knows them by the table ``COMMANDS`` and imports only the one that was asked for.

Rule 1: stdout is the result, stderr is everything else (progress, errors, questions).
Rule 2: a command decides nothing: it calls the engine and renders the values that come back.
Rule 3: the exit code is computed from the same values that are printed.
Rule 4: no command imports a driver, YAML or JSON Schema by itself; ``--help`` imports none at all.
"""

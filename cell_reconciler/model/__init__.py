"""The values that travel between the stages. No I/O, no clock, no third party but msgspec.

All are frozen: a stage takes values and returns new ones. Each value is declared in the file of its name;
what a *field of a spec* is (its documentation, its change class) is declared in ``fields``, and JSON Schema,
``explain``, the documentation and the comparison are all derived from that one declaration.
"""

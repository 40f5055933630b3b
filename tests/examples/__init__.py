"""Everything in ``examples/`` is run: scenarios through the real command line, pipelines step by step."""

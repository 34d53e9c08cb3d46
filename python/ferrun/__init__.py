"""ferrun: a native launcher for distributed PyTorch jobs.

The launcher itself is a program, ``ferrun``, without Python. Beside it this package has

- ``python -m ferrun ...``: the same for tools that start a module,
- ``ferrun.client``: what a worker may ask of its launcher,
- ``ferrun.run``: for programs that launch from Python.

Importing it imports nothing else.
"""


def __getattr__(name: str) -> str:
    if name == "__version__":
        from importlib.metadata import version

        return version("ferrun")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

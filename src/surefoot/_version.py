"""The one place where the version stands; the build and `surefoot version` read it. May import: nothing."""

__all__ = ["__version__"]

__version__ = "0.1.0"

"""The former name of :mod:`speechmatics_rt.config.connection`, for code and pickles that know it."""

from .config import ConnectionConfig, ResumePolicy

__all__ = ["ConnectionConfig", "ResumePolicy"]

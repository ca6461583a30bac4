"""The process that owns a running lab: whatever the lab starts or mounts ends with it."""

from lab.holder.holder import Holder, HolderError, Process

__all__ = ["Holder", "HolderError", "Process"]

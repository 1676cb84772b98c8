"""Panels: a lab's storage as a living picture, with buttons for what a lesson tries."""

from .backup import Backup
from .cleanup import Cleanup
from .mounts import Mounts
from .persistence import Persistence
from .writable_layer import WritableLayer

__all__ = ["Backup", "Cleanup", "Mounts", "Persistence", "WritableLayer"]

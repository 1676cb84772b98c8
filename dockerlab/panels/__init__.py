"""Panels: a lab's storage as a living picture, with buttons for what a lesson tries."""

from .mounts import Mounts
from .writable_layer import WritableLayer

__all__ = ["Mounts", "WritableLayer"]

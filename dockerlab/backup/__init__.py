"""Back a volume up, verify the archive, restore it, and rehearse that."""

from .archive import verify
from .rehearsal import rehearse
from .restoring import restore
from .saving import back_up

__all__ = ["back_up", "rehearse", "restore", "verify"]

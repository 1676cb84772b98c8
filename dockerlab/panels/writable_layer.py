"""The panel of lesson 01: what a container writes, and when that is lost."""

from __future__ import annotations

from ..commands import Output
from ..lab import Lab
from .base import Panel, action

__all__ = ["WritableLayer"]


class WritableLayer(Panel):
    """Fill a container's writable layer, change and delete files of its image, and see what survives what.

    The containers are called `name` and `second` and are made of `image`, whose files `/etc/motd` and `/etc/profile`
    are used. They are the lab's; `start_over()` removes them.

        panel = panels.WritableLayer(lab)
        panel.run(); panel.write()
    """

    title = "The writable layer"
    lead = "All that a container writes goes into a thin layer of its own, on top of the image. When is it lost?"
    story = (
        ("A container", ("run",)),
        ("What it writes", ("write", "change", "delete")),
        ("What survives", ("stop_and_start", "remove_and_recreate")),
        ("Who else sees it", ("second_container",)),
    )

    def __init__(self, lab: Lab, *, image: str = "alpine", name: str = "box", second: str = "neighbour") -> None:
        self.image, self.name, self.second = image, name, second
        self._notes: list[str] = []
        super().__init__(lab)

    @action("Run a container")
    def run(self) -> None:
        """Run a container that does nothing but stay: its layer is empty."""
        self._notes = []
        self._lab.run(self.image, "sleep infinity", name=self.name)

    @action("Write a file")
    def write(self, text: str = "remember me") -> None:
        """Write one more note: a new file exists in the layer only."""
        path = "/note" if not self._notes else f"/note-{len(self._notes) + 1}"
        self._exec(self.name, f"echo {text} > {path}")
        self._notes.append(path)

    @action("Change a file of the image")
    def change(self) -> None:
        """Add a line to one of the image's files: it is copied up into the layer first."""
        self._exec(self.name, "echo changed here >> /etc/motd; tail -n 1 /etc/motd")

    @action("Delete a file of the image")
    def delete(self) -> None:
        """Delete one of the image's files: the layer hides it, and in a fresh container it is there."""
        self._exec(self.name, "rm /etc/profile; ls /etc/profile")
        self._note("hidden here; the image still has it, as a fresh container shows:")
        self._tell(self._lab.run(self.image, "ls /etc/profile", detach=False, remove=True))

    @action("Stop and start")
    def stop_and_start(self) -> Output | None:
        """Stop the container and start it again: the layer stays. Returns what reading the notes said."""
        self._lab.stop(self.name, 1)
        self._lab.start(self.name)
        return self._read()

    @action("Remove and recreate")
    def remove_and_recreate(self) -> Output | None:
        """Remove the container and run a new one of the same name: the layer is gone. Returns as above."""
        self._lab.remove(self.name, force=True)
        self._lab.run(self.image, "sleep infinity", name=self.name)
        found = self._read()
        self._notes = []
        return found

    @action("Run a second container")
    def second_container(self) -> Output:
        """Run a second container of the same image: it has a layer of its own and sees nothing of the first one's."""
        if not self._there(self.second):
            self._lab.run(self.image, "sleep infinity", name=self.second)
        output: Output = self._exec(self.second, "cat /note; ls /etc/profile")
        return output

    @action("Start over")
    def start_over(self) -> None:
        """Remove the panel's containers."""
        self._remove(self.name, self.second)
        self._notes = []
        self._done.clear()

    def _read(self) -> Output | None:
        if not self._notes:
            self._note("nothing was written, so nothing could be lost: write a file first")
            return None
        output: Output = self._exec(self.name, f"cat {' '.join(self._notes)}")
        return output

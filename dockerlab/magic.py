"""`%docker` and `%%docker`: docker's own words in a cell."""

from __future__ import annotations

from IPython.core.interactiveshell import InteractiveShell
from IPython.core.magic import Magics, line_cell_magic, magics_class, no_var_expand

from .cli import invoke
from .lab import Lab

__all__ = ["DockerMagics", "load_ipython_extension"]


def load_ipython_extension(shell: InteractiveShell) -> None:
    """What `%load_ext dockerlab` does."""
    shell.register_magics(DockerMagics)


@magics_class
class DockerMagics(Magics):
    """`%docker volume ls`; `%%docker exec -i …` with the cell as standard input; `%%docker` alone, a line each."""

    @no_var_expand  # IPython would take the braces of --format '{{.Name}}' for its own.
    @line_cell_magic
    def docker(self, line: str, cell: str | None = None) -> None:
        """Run a docker command with the real CLI on the latest lab's engine; what it makes carries the lab's label."""
        lab = Lab.latest or Lab()
        if cell is None or line.strip():
            invoke(lab, line, cell)
            return
        for command in cell.replace("\\\n", " ").splitlines():
            if command.strip() and not command.lstrip().startswith("#"):
                invoke(lab, command)

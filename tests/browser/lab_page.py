"""JupyterLab in a browser, in the words of a learner: open a lesson, run all, look at a cell."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from nbformat import NotebookNode, from_dict
from playwright.sync_api import ConsoleMessage, Error, Locator, Page

PATIENCE_MILLISECONDS = 60_000
LAYOUT_MILLISECONDS = 500
MOST_HEIGHT = 14_000
ROOMY = 1000
LOADS = 5
# Chromium drops what it is loading whenever an interface of the machine comes or goes, as one does for each container.
NETWORK_CHANGED = "ERR_NETWORK_CHANGED"
# JupyterLab's own: its status bar asks a notebook for its kernel while the session is still starting on a slow machine.
EARLY_QUESTION = "Cannot read properties of null (reading 'kernel')"

# The status line says "idle" before there is a kernel, and a Run All that comes too early is lost without a word.
# Nor does a session get ready whose question for kernels was dropped.
_KERNEL_ANSWERS = """async patience => {
    const panel = jupyterapp.shell.currentWidget;
    const answers = async () => {
        await panel.context.ready;
        await panel.sessionContext.ready;
        await panel.sessionContext.session.kernel.info;
    };
    const late = new Promise((_, fail) => setTimeout(() => fail(new Error('no kernel answers')), patience));
    await Promise.race([answers(), late]);
}"""
_KERNEL_IS_THROUGH = """async () => {
    const kernel = jupyterapp.shell.currentWidget.sessionContext.session.kernel;
    await kernel.requestExecute({code: '', silent: true, store_history: false}).done;
}"""
# A question that was dropped is put again.
_ASK_AGAIN = """
const ask = window.fetch;
window.fetch = async (what, how) => {
    const method = how?.method ?? what.method ?? 'GET';
    for (let left = 5; ; left--) {
        try {
            return await ask(what instanceof Request ? what.clone() : what, how);
        } catch (error) {
            if (!left || method !== 'GET' || error.name === 'AbortError') throw error;
            await new Promise(go => setTimeout(go, 200));
        }
    }
};"""
_IS_SHOWN = "name => window.jupyterapp?.shell?.currentWidget?.context?.path === name"
_LAST_IN_LINE = """async () => {
    const kernel = jupyterapp.shell.currentWidget.sessionContext.session.kernel;
    await kernel.requestExecute({code: '', silent: true}).done;
}"""
_PLACE = "id => jupyterapp.shell.currentWidget.content.widgets.findIndex(cell => cell.model.id === id)"
_CODE = """() => jupyterapp.shell.currentWidget.content.widgets
    .filter(cell => cell.model.type === 'code')
    .map(cell => cell.model.toJSON())"""
_END_OF_LAST_CELL = """() => Math.ceil(
    jupyterapp.shell.currentWidget.content.widgets.at(-1).node.getBoundingClientRect().bottom)"""
_PATH = """async () => {
    const panel = jupyterapp.shell.currentWidget;
    await panel.context.ready;
    return panel.context.path;
}"""
# Code may scroll in its cell and a table in its output, text may not.
_TOO_WIDE = """() => [...jupyterapp.shell.currentWidget.node.querySelectorAll('.jp-RenderedMarkdown')]
    .filter(text => text.scrollWidth > text.clientWidth)
    .map(text => text.textContent.slice(0, 60))"""


@dataclass
class LabPage:
    """A notebook in JupyterLab; notes errors of its console, what Chromium dropped, and addresses of other machines."""

    page: Page
    name: str
    errors: list[str] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.set_default_timeout(PATIENCE_MILLISECONDS)
        self.page.add_init_script(_ASK_AGAIN)
        self.page.on("console", self._note_message)
        self.page.on("pageerror", lambda error: self._note_error(str(error)))
        self.page.on("request", lambda request: self._note_address(request.url))
        self.page.on("websocket", lambda socket: self._note_address(socket.url))

    def _note_message(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self._note_error(f"{message.text} ({message.location.get('url', '')})")

    def _note_error(self, text: str) -> None:
        if NETWORK_CHANGED in text:
            self.dropped.append(text)
        elif EARLY_QUESTION not in text:
            self.errors.append(text)

    def _note_address(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme in ("http", "https", "ws", "wss") and parts.hostname != "127.0.0.1":
            self.foreign.append(url)

    def open(self, url: str) -> None:
        """Open a notebook's address and wait until its kernel answers."""
        for load in range(LOADS):
            self.errors.clear()
            self.dropped.clear()
            try:
                self.page.goto(f"{url}&reset")  # without what other pages have left open
                self.page.wait_for_function(_IS_SHOWN, arg=self.name)
                self.page.evaluate(_KERNEL_ANSWERS, PATIENCE_MILLISECONDS)
            except Error as error:
                self._note_error(str(error))
                if load == LOADS - 1 or not self.dropped:
                    raise
            if not self.dropped:
                return

    def command(self, name: str, **arguments: object) -> None:
        """Run one of JupyterLab's commands, as its menus do, and wait for its end."""
        run = "async ([name, args]) => { await jupyterapp.commands.execute(name, args); }"
        self.page.evaluate(run, [name, arguments])

    def run_all(self) -> None:
        """Run all cells and wait for the last one."""
        self.command("notebook:run-all-cells")
        self.page.evaluate(_LAST_IN_LINE)  # that command ends with the first error, even one that is to be shown
        # The command ends at the first error, also at one that a cell is to raise; the kernel answers after the last.
        self.page.evaluate(_KERNEL_IS_THROUGH)

    def run_cell(self, place: int) -> None:
        """Run one cell, whatever others did, and wait for it."""
        self.page.evaluate("place => { jupyterapp.shell.currentWidget.content.activeCellIndex = place; }", place)
        self.command("notebook:run-cell")

    def restart(self) -> None:
        """Restart the kernel, which forgets all variables, and wait until it answers."""
        self.page.evaluate("async () => { await jupyterapp.shell.currentWidget.sessionContext.restartKernel(); }")
        self.page.evaluate(_KERNEL_ANSWERS, PATIENCE_MILLISECONDS)

    def shut_down(self) -> None:
        """End the kernel: with one for each notebook that was ever open, a small machine would run out of memory."""
        self.page.evaluate("async () => { await jupyterapp.shell.currentWidget.sessionContext.shutdown(); }")

    def code_cells(self) -> list[NotebookNode]:
        """The code cells as they are now, with their outputs."""
        return [from_dict(cell) for cell in self.page.evaluate(_CODE)]

    def cell(self, ident: str) -> Locator:
        """A cell by its id in the file."""
        place = self.page.evaluate(_PLACE, ident)
        assert place >= 0, f"no cell {ident}"
        panel = self.page.evaluate("() => jupyterapp.shell.currentWidget.id")
        return self.page.locator(f'#{panel} .jp-Cell[data-windowed-list-index="{place}"]')

    def output(self, ident: str) -> Locator:
        """What a code cell shows below its code."""
        return self.cell(ident).locator(".jp-Cell-outputArea")

    def output_text(self, ident: str) -> str:
        """The text of a code cell's output, in and out of sight."""
        # Not inner_text: of what is scrolled out of sight the browser lays out nothing.
        return self.output(ident).text_content() or ""

    def follow(self, link: Locator) -> str:
        """Click a link, and close what it opened; returns the path of that."""
        here = self.page.evaluate("() => jupyterapp.shell.currentWidget.id")
        link.click()
        self.page.wait_for_function("here => jupyterapp.shell.currentWidget.id !== here", arg=here)
        opened: str = self.page.evaluate(_PATH)
        self.command("application:close")
        self.page.wait_for_function("here => jupyterapp.shell.currentWidget.id === here", arg=here)
        return opened

    def choose_theme(self, name: str) -> None:
        """Change JupyterLab's theme."""
        self.command("apputils:change-theme", theme=name)
        self.page.wait_for_selector(f'body[data-jp-theme-name="{name}"]', state="attached")

    def show_whole(self, width: int, picture: Path | None = None) -> None:
        """Make the window as wide as said (pixels) and as high as the notebook; take a picture if a path is given."""
        # On half a screen the list of files is in the way, and a learner closes it.
        self.page.evaluate(f"() => jupyterapp.shell.{'expandLeft' if width >= ROOMY else 'collapseLeft'}()")
        # The notebook scrolls inside of the page, where a picture of the whole page does not reach.
        self.page.set_viewport_size({"width": width, "height": MOST_HEIGHT})
        self.page.evaluate("() => { jupyterapp.shell.currentWidget.content.outerNode.scrollTop = 0; }")
        self.page.wait_for_timeout(LAYOUT_MILLISECONDS)
        self.page.set_viewport_size({"width": width, "height": self.page.evaluate(_END_OF_LAST_CELL) + 40})
        self.page.wait_for_timeout(LAYOUT_MILLISECONDS)
        if picture:
            self.page.screenshot(path=picture)

    def wider_than_the_window(self) -> list[str]:
        """The texts of the notebook that would have to be scrolled sideways."""
        found: list[str] = self.page.evaluate(_TOO_WIDE)
        return found

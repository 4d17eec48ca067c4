"""Chromium, driven over the pipe of its DevTools protocol: no driver and no further package is needed.

The protocol: https://chromedevtools.github.io/devtools-protocol/
"""

import base64
import contextlib
import fcntl
import json
import os
import select
import shutil
import signal
import time
from collections.abc import Sequence
from pathlib import Path

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
NO_CHROMIUM = "no Chromium is installed: apt-get install chromium"

FLAGS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-quic"),
    *("--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--hide-scrollbars", "--force-device-scale-factor=1", "--lang=en-US"),
)
_MOST_SECONDS = 60


class Chromium:
    """A browser process; ends with the `with` block."""

    def __init__(self, folder: Path) -> None:
        """Start the browser.

        Args:
            folder: for its profile.
        """
        if CHROMIUM is None:
            raise RuntimeError(NO_CHROMIUM)
        self._events: dict[str | None, list[dict]] = {}
        self._answers: dict[int, dict] = {}
        self._number, self._rest = 0, b""
        # The browser reads from descriptor 3 and writes to 4; these are above both and overwrite neither.
        theirs_in, ours_out = (fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for end in os.pipe())
        ours_in, theirs_out = (fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for end in os.pipe())
        self._in, self._out = ours_in, ours_out
        self._process = os.posix_spawn(
            CHROMIUM,
            [CHROMIUM, *FLAGS, "--remote-debugging-pipe", f"--user-data-dir={folder / 'profile'}"],
            os.environ | {"HOME": str(folder), "LC_ALL": "C.UTF-8"},
            file_actions=[
                (os.POSIX_SPAWN_DUP2, theirs_in, 3),
                (os.POSIX_SPAWN_DUP2, theirs_out, 4),
                (os.POSIX_SPAWN_OPEN, 2, str(folder / "chromium.log"), os.O_WRONLY | os.O_CREAT, 0o600),
            ],
            setpgroup=0,
        )
        os.close(theirs_in)
        os.close(theirs_out)

    def __enter__(self) -> "Chromium":
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._out)
        os.close(self._in)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process, signal.SIGKILL)
        os.waitpid(self._process, 0)

    def open(self, url: str, **emulated: object) -> "Page":
        """Open a page in a tab of its own; see `Page.emulate` for the other arguments."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        page = Page(self, session)
        for domain in ("Page", "Runtime", "Network", "Log", "DOM"):
            page.call(f"{domain}.enable")
        page.emulate(**emulated)
        page.call("Page.navigate", url=url)
        return page

    def call(self, method: str, session: str | None = None, **parameters: object) -> dict:
        """Call a method of the protocol and return its result."""
        self._number += 1
        message: dict[str, object] = {"id": self._number, "method": method, "params": parameters}
        if session:
            message["sessionId"] = session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        deadline = time.monotonic() + _MOST_SECONDS
        while self._number not in self._answers:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{method} took more than {_MOST_SECONDS} s")
            self._read(1)
        answer = self._answers.pop(self._number)
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']}")
        return answer["result"]

    def events(self, session: str) -> list[dict]:
        """Return all events of a tab up to now."""
        self._read(0)
        return self._events.get(session, [])

    def _read(self, seconds: float) -> None:
        while select.select([self._in], [], [], seconds)[0]:
            piece = os.read(self._in, 1 << 20)
            if not piece:
                raise RuntimeError("the browser has ended")
            *messages, self._rest = (self._rest + piece).split(b"\0")
            for message in map(json.loads, messages):
                if "id" in message:
                    self._answers[message["id"]] = message
                else:
                    self._events.setdefault(message.get("sessionId"), []).append(message)
            seconds = 0


class Page:
    """A tab."""

    def __init__(self, browser: Chromium, session: str) -> None:
        self._browser, self._session = browser, session

    def call(self, method: str, **parameters: object) -> dict:
        """Call a method of the protocol for this tab."""
        return self._browser.call(method, self._session, **parameters)

    def emulate(self, width: int = 1200, height: int = 900, dark: bool = False, scale: float = 1) -> None:
        """Set the size of the window in CSS pixels, the colour scheme, and device pixels to a CSS pixel."""
        size = {"width": width, "height": height, "deviceScaleFactor": scale, "mobile": False}
        self.call("Emulation.setDeviceMetricsOverride", **size)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])

    def evaluate(self, expression: str) -> object:
        """Return the value of a JavaScript expression, of a promise what it is resolved with."""
        done = self.call(
            "Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True, userGesture=True
        )
        if "exceptionDetails" in done:
            raise RuntimeError(json.dumps(done["exceptionDetails"])[:2000])
        return done["result"].get("value")

    def wait_for(self, expression: str, seconds: float = _MOST_SECONDS) -> float:
        """Wait until a JavaScript expression is true; return the seconds that took."""
        start = time.monotonic()
        while not self.evaluate(expression):
            if time.monotonic() - start > seconds:
                raise TimeoutError(f"{expression} is not true after {seconds} s; {self.messages()}")
            time.sleep(0.02)
        return time.monotonic() - start

    def choose(self, selector: str, paths: Sequence[Path]) -> None:
        """Choose files in an `<input type=file>`."""
        found = self.call("Runtime.evaluate", expression=f"document.querySelector({json.dumps(selector)})")
        self.call(
            "DOM.setFileInputFiles", files=[str(path) for path in paths], objectId=found["result"]["objectId"]
        )

    def drop(self, paths: Sequence[Path], x: float, y: float) -> None:
        """Drop files on a place of the page."""
        data = {"items": [], "files": [str(path) for path in paths], "dragOperationsMask": 1}
        for kind in ("dragEnter", "dragOver", "drop"):
            self.call("Input.dispatchDragEvent", type=kind, x=x, y=y, data=data)

    def press(self, *keys: str) -> None:
        """Press keys by their names, one after another: Tab, Enter, Space, ArrowDown."""
        texts = {"Enter": "\r", "Space": " "}
        codes = {"Tab": 9, "Enter": 13, "Space": 32, "Escape": 27, "ArrowDown": 40, "ArrowUp": 38}
        for key in keys:
            pressed = {"key": texts.get(key, key) if key == "Space" else key, "code": key}
            pressed |= {"windowsVirtualKeyCode": codes[key]}
            text = {"text": texts[key]} if key in texts else {}
            self.call("Input.dispatchKeyEvent", type="keyDown", **pressed, **text)
            self.call("Input.dispatchKeyEvent", type="keyUp", **pressed)

    def screenshot(self, path: Path, whole: bool = False) -> None:
        """Write a picture of what is in sight, or of the whole page."""
        shot = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(shot["data"]))

    def requests(self) -> list[str]:
        """Return the URL of everything that was requested, the page itself included."""
        events = self._browser.events(self._session)
        return [
            event["params"]["request"]["url"]
            for event in events
            if event["method"] == "Network.requestWillBeSent"
        ]

    def messages(self) -> list[str]:
        """Return what stands on the console: errors, warnings, and what the browser refused."""
        found = []
        for event in self._browser.events(self._session):
            content = event["params"]
            if event["method"] == "Runtime.consoleAPICalled":
                found.append(" ".join(str(part.get("value", part)) for part in content["args"]))
            elif event["method"] == "Runtime.exceptionThrown":
                found.append(json.dumps(content["exceptionDetails"])[:1000])
            elif event["method"] == "Log.entryAdded":
                found.append(content["entry"]["text"])
        return found

    def accessibility_tree(self) -> list[tuple[str, str]]:
        """Return role and name of everything that a screen reader gets, in order."""
        nodes = self.call("Accessibility.getFullAXTree")["nodes"]
        return [
            (node["role"]["value"], node.get("name", {}).get("value", ""))
            for node in nodes
            if not node["ignored"]
        ]

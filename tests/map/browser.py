# SPDX-License-Identifier: LGPL-2.1-or-later
"""A page in headless Chromium, over its debugging pipe: JSON between NULs, on
the descriptors 3 and 4 of the browser."""
import base64
import json
import os
import shutil
import subprocess
import tempfile

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")


def program():
    return next(filter(None, map(shutil.which, PROGRAMS)), None)


class Browser:
    """All that the page says or asks for is in `complaints`."""

    def __init__(self, width=1360, height=1400):
        self.profile = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        child_in, self.out = os.pipe()
        self.input, child_out = os.pipe()

        def descriptors():
            # Past both ends first: one of them may be 3 or 4 already.
            high_in, high_out = os.dup2(child_in, 103), os.dup2(child_out, 104)
            os.dup2(high_in, 3)
            os.dup2(high_out, 4)

        self.process = subprocess.Popen(
            [program(), "--headless", "--no-sandbox", "--disable-gpu",
             "--disable-dev-shm-usage", "--no-first-run",
             "--force-device-scale-factor=1", "--hide-scrollbars",
             f"--user-data-dir={self.profile.name}",
             "--remote-debugging-pipe"],
            preexec_fn=descriptors, close_fds=False,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        os.close(child_in)
        os.close(child_out)
        self.buffer, self.number, self.session = b"", 0, None
        self.complaints, self.loads, self.page = [], 0, ""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target,
                                 flatten=True)["sessionId"]
        for domain in ("Runtime", "Log", "Network", "Page"):
            self.call(domain + ".enable")
        self.resize(width, height)

    def _receive(self):
        while b"\0" not in self.buffer:
            chunk = os.read(self.input, 1 << 16)
            if not chunk:
                raise RuntimeError("the browser is gone")
            self.buffer += chunk
        message, _, self.buffer = self.buffer.partition(b"\0")
        message = json.loads(message)
        method, told = message.get("method"), message.get("params", {})
        if method == "Page.loadEventFired":
            self.loads += 1
        elif method in ("Runtime.exceptionThrown", "Runtime.consoleAPICalled",
                        "Log.entryAdded"):
            self.complaints.append(json.dumps(told))
        elif method == "Network.requestWillBeSent":
            url = told["request"]["url"]
            if url.split("#")[0] != self.page and not url.startswith("data:"):
                self.complaints.append("asks for " + url)
        return message

    def call(self, method, **arguments):
        self.number += 1
        message = {"id": self.number, "method": method, "params": arguments}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.out, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._receive()
            if answer.get("id") == self.number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                return answer["result"]

    def resize(self, width, height):
        self.call("Emulation.setDeviceMetricsOverride", width=width,
                  height=height, deviceScaleFactor=1, mobile=False)

    def scheme(self, name):
        self.call("Emulation.setEmulatedMedia", features=[
            {"name": "prefers-color-scheme", "value": name}])

    def open(self, path, fragment=""):
        self.page = "file://" + os.path.abspath(path)
        loads = self.loads
        self.call("Page.navigate", url="about:blank")
        while self.loads == loads:
            self._receive()
        loads = self.loads
        self.call("Page.navigate", url=self.page + fragment)
        while self.loads == loads:
            self._receive()

    def tell(self, expression):
        answer = self.call("Runtime.evaluate", expression=expression,
                           returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(answer["exceptionDetails"])
        return answer["result"].get("value")

    def mouse(self, kind, x, y, **more):
        self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, **more)

    def key(self, key):
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=key)

    def screenshot(self, x, y, width, height):
        """A PNG of a part of the window."""
        clip = {"x": x, "y": y, "width": width, "height": height, "scale": 1}
        return base64.b64decode(self.call("Page.captureScreenshot",
                                          format="png", clip=clip)["data"])

    def close(self):
        self.process.kill()
        self.process.wait()
        self.profile.cleanup()

"""Debian's Chromium without a window, driven over its debugging pipe (Chrome DevTools Protocol)."""
import json
import os
import queue
import shutil
import subprocess
import threading

from house import die_with_us

PROGRAM = shutil.which("chromium")
OPTIONS = """--headless=new --no-sandbox --disable-gpu --disable-quic --no-first-run
    --no-default-browser-check --disable-background-networking --disable-component-update
    --disable-sync --disable-default-apps --disable-extensions --disable-dev-shm-usage
    --disable-domain-reliability --disable-features=OptimizationHints,MediaRouter,Translate
    --metrics-recording-only --mute-audio --remote-debugging-pipe""".split()


class Browser:
    """One Chromium with one page. `console` collects warnings, errors and exceptions of the page."""

    def __init__(self, directory, proxy=None, options=(), trusts=None):
        """trusts: a file with a certificate that it trusts besides the usual ones."""
        directory.mkdir()
        home = dict(os.environ, HOME=str(directory))
        if trusts:
            database = directory / ".pki" / "nssdb"
            database.mkdir(parents=True)
            for command in (["-N", "--empty-password"],
                            ["-A", "-n", "test", "-t", "C,,", "-i", str(trusts)]):
                subprocess.run(["certutil", "-d", "sql:%s" % database, *command], check=True)
        arguments = [PROGRAM, *OPTIONS, "--user-data-dir=%s" % directory, *options]
        if proxy:
            # Browsers go to loopback addresses directly unless told otherwise.
            arguments += ["--proxy-server=%s" % proxy.url, "--proxy-bypass-list=<-loopback>"]
        else:
            arguments.append("--no-proxy-server")
        down_read, down_write = os.pipe()
        up_read, up_write = os.pipe()

        def hand_over():  # commands come in at 3, answers go out at 4
            die_with_us()
            commands, answers = os.dup(down_read), os.dup(up_write)
            os.dup2(commands, 3)
            os.dup2(answers, 4)
        with open(directory / "log", "wb") as log:
            self.process = subprocess.Popen(
                [*arguments, "about:blank"], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env=home if trusts else None, preexec_fn=hand_over, close_fds=True, pass_fds=(3, 4))
        os.close(down_read)
        os.close(up_write)
        self.commands = os.fdopen(down_write, "wb", buffering=0)
        self.answers = os.fdopen(up_read, "rb", buffering=0)
        self.log_path = directory / "log"
        self.waiting = {}
        self.loads = queue.Queue()
        self.loaded = None
        self.console = []
        self.requests = {}
        self.count = 0
        self.session = None
        threading.Thread(target=self._read, daemon=True).start()
        target = self.command("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.command("Target.attachToTarget", targetId=target,
                                    flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.command(domain + ".enable")
        self.command("Page.setLifecycleEventsEnabled", enabled=True)

    def _read(self):
        held = b""
        while True:
            got = self.answers.read(1 << 20)
            if not got:
                for answer in self.waiting.values():
                    answer.put({"error": "the browser is gone"})
                return
            held += got
            *messages, held = held.split(b"\0")
            for message in messages:
                self._take(json.loads(message))

    def _take(self, message):
        if "id" in message:
            self.waiting.pop(message["id"]).put(message)
            return
        method, values = message["method"], message["params"]
        if method == "Runtime.consoleAPICalled" and values["type"] in ("error", "warning", "assert"):
            self.console.append("%s: %s" % (values["type"], values["args"]))
        elif method == "Runtime.exceptionThrown":
            self.console.append("exception: %s" % values["exceptionDetails"])
        elif method == "Log.entryAdded" and values["entry"]["level"] in ("error", "warning"):
            self.console.append("%s: %s %s" % (values["entry"]["level"], values["entry"]["text"], values["entry"].get("url", "")))
        elif method == "Network.requestWillBeSent":
            self.requests[values["requestId"]] = [values["request"]["url"], values["type"], None]
        elif method == "Network.responseReceived" and values["requestId"] in self.requests:
            self.requests[values["requestId"]][2] = values["response"]["status"]
        elif method == "Network.loadingFailed" and values["requestId"] in self.requests:
            request = self.requests[values["requestId"]]
            request[2] = request[2] or values["errorText"]
        elif method == "Page.lifecycleEvent" and values["name"] == "load":
            self.loads.put((values["frameId"], values["loaderId"]))

    def command(self, method, **values):
        self.count += 1
        message = {"id": self.count, "method": method, "params": values}
        if self.session:
            message["sessionId"] = self.session
        answer = self.waiting[self.count] = queue.Queue()
        self.commands.write(json.dumps(message).encode() + b"\0")
        got = answer.get(timeout=60)
        assert "error" not in got, (method, got["error"], self.log_path.read_text()[-2000:])
        return got["result"]

    def _until_loaded(self, is_it):
        while not is_it(*(load := self.loads.get(timeout=60))):
            pass
        self.loaded = load

    def visit(self, url):
        """Loads a page to its end; the error text of a page that cannot be had, or None."""
        answer = self.command("Page.navigate", url=url)
        if not answer.get("errorText") and "loaderId" in answer:  # none: it is there already
            self._until_loaded(lambda frame, loader: loader == answer["loaderId"])
        return answer.get("errorText")

    def reload(self):
        """The visited page once more, to its end."""
        before = self.loaded
        self.command("Page.reload")
        self._until_loaded(lambda frame, loader: frame == before[0] and loader != before[1])

    def evaluate(self, script, limit_s=120):
        """The value of a JavaScript expression, awaited when it is a promise."""
        answer = self.command("Runtime.evaluate", expression=script, awaitPromise=True,
                              returnByValue=True, timeout=limit_s * 1000)
        assert "exceptionDetails" not in answer, (answer["exceptionDetails"], self.console,
                                                  self.requests)
        return answer["result"].get("value")

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.commands.close()

"""Rules swapped again and again under load: no request fails, none sees two generations of them."""
import os
import re
import signal
import threading

from house import SANITIZED, Closed, answering, reply, resident_bytes, wait_for
from test_blocking import HOSTS, ask, write_list

SWAPS = 20 if SANITIZED else 100
WARM = 10  # swaps until memory is level
FRAME = ("Accept: text/html", "Sec-Fetch-Dest: iframe", "Referer: http://news.example/")
SCRIPT = ("Accept: */*", "Sec-Fetch-Dest: script", "Referer: http://news.example/")


def rules_of(generation):
    """What generation N does to a request and to its answer names N; by turns a script is answered
    with a stub or refused, and one of two header fields taken out."""
    return "\n".join([
        "||ok.example^$uritransform=/none/gen%d/" % generation,
        "||ok.example^$csp=gen-%d" % generation,
        "||ok.example^$removeheader=x-%s" % ("odd" if generation % 2 else "even"),
        "||ads.example^" + ("$redirect=noopjs" if generation % 2 else ""),
        # something to compile, each time another thing
        *("||x%d-%d.example^" % (generation, number) for number in range(200)),
    ]) + "\n"


class Traffic:
    """Frames and scripts, by several threads; `wrong` tells what should not have been."""

    def __init__(self, proxy, port, threads=3):
        self.proxy, self.port = proxy, port
        self.wrong, self.seen, self.count = [], set(), 0
        self.stopping = threading.Event()
        self.threads = [threading.Thread(target=self._run, daemon=True) for _ in range(threads)]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        wait_for("traffic", lambda: self.count >= 10)
        return self

    def __exit__(self, *_):
        self.stopping.set()
        for thread in self.threads:
            thread.join(30)

    def _frame(self):
        got = ask(self.proxy, "http://ok.example:%d/none" % self.port, *FRAME)
        asked = re.fullmatch(rb"/gen(\d+)", got.body)
        added = re.search(r"gen-(\d+)", got.fields.get("content-security-policy", ""))
        left = {name for name in ("x-odd", "x-even") if name in got.fields}
        if got.status != 200 or not asked or not added or len(left) != 1:
            self.wrong.append(("frame", got.status, got.body, got.fields))
            return
        generation = int(asked.group(1))
        if generation != int(added.group(1)) or left != {"x-even" if generation % 2 else "x-odd"}:
            self.wrong.append(("two generations", got.body, got.fields))
        self.seen.add(generation)

    def _script(self):
        got = ask(self.proxy, "http://ads.example:%d/x.js" % self.port, *SCRIPT)
        if (got.status, b"function" in got.body) not in ((200, True), (403, False)):
            self.wrong.append(("script", got.status, got.body))

    def _run(self):
        while not self.stopping.is_set():
            try:
                self._frame()
                self._script()
            except (Closed, OSError) as error:
                self.wrong.append(("failed", error))
            self.count += 1


def test_no_verdict_mixes_two_generations(tmp_path, start_proxy, start_origin):
    origin = start_origin(answering(lambda request: reply(request.target.encode(), headers=[
        ("Content-Type", "text/html"), ("X-Odd", "1"), ("X-Even", "1")])))
    rules = write_list(tmp_path, rules_of(0))
    (tmp_path / "rules.d").mkdir()
    proxy = start_proxy('list "ours" { file = "%s" trusted = yes }' % rules, workers=2,
                        hosts_file=str(write_list(tmp_path, HOSTS, "hosts")),
                        rules_dir=str(tmp_path / "rules.d"))
    with Traffic(proxy, origin.port) as traffic:
        for generation in range(1, SWAPS + 1):
            write_list(tmp_path, rules_of(generation), "list.new").rename(rules)
            os.kill(proxy.pid, signal.SIGHUP)
            wait_for("generation %d" % generation, lambda n=generation: n in traffic.seen, 30)
            assert not traffic.wrong, traffic.wrong[:3]
            if generation == WARM:
                before = resident_bytes(proxy.pid)
        count = traffic.count
        wait_for("more traffic", lambda: traffic.count >= count + 20)
    assert not traffic.wrong, traffic.wrong[:3]
    assert traffic.seen >= set(range(1, SWAPS + 1))
    if not SANITIZED:
        assert resident_bytes(proxy.pid) - before < 4 << 20

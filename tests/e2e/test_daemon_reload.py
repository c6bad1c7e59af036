"""HUP, USR1, USR2, new name servers: what changes, what stays, and that nobody notices the change."""
import contextlib
import os
import pathlib
import shutil
import signal
import time

import pytest
from daemon_house import (Download, Held, Load, Tunnel, echo, is_running, refuses, reload,
                          wait_for_log, workers)
from house import (DEJUNK, SANITIZED, NameServer, ask, assert_quick, free_port, is_listening,
                   resident_bytes, wait_for)

RELOADS = 20 if SANITIZED else 100


def change(proxy, **options):
    proxy.options.update(options)
    proxy.write_config()


# ---- HUP ------------------------------------------------------------------------------------------

def test_new_config_is_in_force_and_nothing_breaks(start_serving, start_origin):
    held = Held()
    origin = start_origin(held)
    echoes = start_origin(echo)
    proxy = start_serving(workers=2)
    download = Download(proxy, origin.url + "/held", len(held.half))
    tunnel = Tunnel(proxy, echoes.port)
    before = workers(proxy.pid)
    assert ask(proxy, origin.url + "/quick").status == 200
    change(proxy, allow_destinations=["127.0.0.2"])
    reload(proxy)
    for _ in range(8):  # of either worker
        assert ask(proxy, origin.url + "/quick").status == 403
    tunnel.says(b"old tunnels live on")
    held.go_on.set()
    assert download.finish() == held.body
    tunnel.close()
    assert workers(proxy.pid) == before


@pytest.mark.parametrize("name, text, reason", [
    ("unknown option", "lissten = 1", "lissten"),
    ("impossible value", "workers = -3", "workers"),
    ("no syntax", "listen = {", "proxy.conf"),
    ("address in use", "listen = { \"127.0.0.1:%(busy)d\" }", "in use"),
    ("log that cannot be", "access_log = \"json\"\naccess_log_file = \"/no/such/log\"", "/no/such/log"),
])
def test_bad_config_changes_nothing(start_serving, start_origin, name, text, reason):
    held = Held()
    origin = start_origin(held)
    proxy = start_serving()
    download = Download(proxy, origin.url + "/held", len(held.half))
    before = workers(proxy.pid)
    proxy.more = "allow_destinations = { \"127.0.0.2\" }\n" + text % {"busy": origin.port}
    if "listen" in text and "busy" in text:
        proxy.options.pop("listen")
    proxy.write_config()
    os.kill(proxy.pid, signal.SIGHUP)
    wait_for_log(proxy, "the old config stays")
    assert reason in proxy.log().split("the old config stays")[1], name
    assert ask(proxy, origin.url + "/quick").status == 200
    held.go_on.set()
    assert download.finish() == held.body
    proxy.more = ""
    proxy.options["listen"] = ["127.0.0.1:%d" % proxy.port]
    change(proxy, allow_destinations=["127.0.0.2"])
    reload(proxy)
    assert ask(proxy, origin.url + "/quick").status == 403
    assert workers(proxy.pid) == before


def test_missing_config_changes_nothing(start_serving, origin):
    proxy = start_serving()
    (proxy.directory / "proxy.conf").unlink()
    os.kill(proxy.pid, signal.SIGHUP)
    wait_for_log(proxy, "the old config stays")
    assert ask(proxy, origin.url + "/").status == 200


def test_listeners_follow_the_config(start_serving, origin):
    proxy = start_serving(workers=2)
    old, new = proxy.port, free_port()
    change(proxy, listen=["127.0.0.1:%d" % old, "127.0.0.1:%d" % new])
    reload(proxy, 1)
    for port in (old, new):
        proxy.port = port
        assert ask(proxy, origin.url + "/").status == 200
    change(proxy, listen=["127.0.0.1:%d" % new])
    reload(proxy, 2)
    wait_for("the old port closed", lambda: refuses(old))
    for _ in range(8):
        assert ask(proxy, origin.url + "/").status == 200


def test_number_of_workers_follows_the_config(start_serving, start_origin):
    held = Held()
    origin = start_origin(held)
    proxy = start_serving(workers=3, drain="20s")
    wait_for("workers", lambda: len(workers(proxy.pid)) == 3)
    downloads = [Download(proxy, origin.url + "/held", len(held.half)) for _ in range(8)]
    change(proxy, workers=1)
    reload(proxy, 1)
    for _ in range(8):
        assert ask(proxy, origin.url + "/quick").status == 200
    held.go_on.set()
    for download in downloads:
        assert download.finish() == held.body
    wait_for("one worker", lambda: len(workers(proxy.pid)) == 1)
    change(proxy, workers=2)
    reload(proxy, 2)
    wait_for("two workers", lambda: len(workers(proxy.pid)) == 2)
    assert ask(proxy, origin.url + "/quick").status == 200


@pytest.mark.parametrize("reuse_port", [False, True])
def test_many_reloads_under_load_lose_nothing(start_serving, origin, reuse_port):
    proxy = start_serving(workers=2, reuse_port=reuse_port)
    with Load(proxy, origin.url + "/") as load:
        for number in range(10):  # warm
            reload(proxy, number + 1)
        before = resident_bytes(proxy.pid)
        fds = len(os.listdir("/proc/%d/fd" % proxy.pid))
        for number in range(10, RELOADS):
            reload(proxy, number + 1)
        load.more()
    assert not load.failed(), load.failed()[:5]
    wait_for("no more descriptors", lambda: len(os.listdir("/proc/%d/fd" % proxy.pid)) <= fds)
    if not SANITIZED:
        assert resident_bytes(proxy.pid) - before < 4 << 20


def test_a_burst_of_signals_is_one_reload_after_the_other(start_serving, origin):
    proxy = start_serving(workers=2)
    for _ in range(50):
        os.kill(proxy.pid, signal.SIGHUP)
    change(proxy, allow_destinations=["127.0.0.2"])
    os.kill(proxy.pid, signal.SIGHUP)
    wait_for("the last config", lambda: ask(proxy, origin.url + "/").status == 403)


def test_with_reuse_port_each_worker_has_a_socket(start_serving, origin):
    proxy = start_serving(workers=2, reuse_port=True)
    for _ in range(20):
        assert ask(proxy, origin.url + "/").status == 200
    victim = workers(proxy.pid)[0]
    os.kill(victim, signal.SIGKILL)
    for _ in range(20):  # none hangs in the socket of the dead
        assert ask(proxy, origin.url + "/", timeout=10).status == 200
    change(proxy, workers=1)
    reload(proxy, 1)
    for _ in range(20):
        assert ask(proxy, origin.url + "/", timeout=10).status == 200
    change(proxy, workers=3)
    reload(proxy, 2)
    for _ in range(20):
        assert ask(proxy, origin.url + "/", timeout=10).status == 200


# ---- USR1 -----------------------------------------------------------------------------------------

def test_logs_are_opened_anew(start_serving, origin, tmp_path):
    log = tmp_path / "access.log"
    proxy = start_serving(workers=2, access_log="combined", access_log_file=str(log))
    assert ask(proxy, origin.url + "/before").status == 200
    wait_for("a line", lambda: "/before" in log.read_text())
    log.rename(tmp_path / "access.log.1")
    assert ask(proxy, origin.url + "/between").status == 200
    os.kill(proxy.pid, signal.SIGUSR1)
    wait_for_log(proxy, "logs are open anew")
    for number in range(8):
        assert ask(proxy, origin.url + "/after%d" % number).status == 200
    wait_for("the new lines", lambda: all("/after%d" % n in log.read_text() for n in range(8)))
    wait_for("the old one's last line", lambda: "/between" in (tmp_path / "access.log.1").read_text())
    assert "/after" not in (tmp_path / "access.log.1").read_text()


def test_a_log_that_takes_no_more_stops_nothing(start_serving, origin, tmp_path):
    fifo = tmp_path / "access.fifo"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)  # and never read
    proxy = start_serving(access_log="combined", access_log_file=str(fifo))
    for _ in range(1000):
        assert ask(proxy, origin.url + "/" + "x" * 200).status == 200
    os.close(reader)
    assert ask(proxy, origin.url + "/").status == 200


# ---- name servers ---------------------------------------------------------------------------------

def test_new_name_server_is_in_force_within_a_second(start_serving, origin, start_names):
    proxy = start_serving(workers=2, connect_timeout="2s", private_names=["*.test"])
    where = proxy.directory / "resolv.conf"
    beside = proxy.directory / "resolv.new"
    count = 0

    def move():
        nonlocal count
        count += 1
        name = "a%d.test" % count
        url = "http://%s:%d/" % (name, origin.port)
        names = start_names({name: ["127.0.0.1"]})
        beside.write_text("nameserver %s\n" % names.at)
        assert ask(proxy, url).status != 200
        began = time.monotonic()
        beside.rename(where)
        wait_for_log(proxy, "resolv.conf or hosts changed", count)
        wait_for("answer", lambda: ask(proxy, url).status == 200)
        return time.monotonic() - began
    assert_quick("a new name server", 3 if SANITIZED else 1, move)


def test_new_hosts_file_is_in_force(start_serving, origin):
    proxy = start_serving(workers=2, private_names=["*.test"])
    (proxy.directory / "hosts").write_text("127.0.0.1 b.test\n")
    wait_for("answer", lambda: ask(proxy, "http://b.test:%d/" % origin.port).status == 200)


# ---- USR2 -----------------------------------------------------------------------------------------

class Family:
    """A proxy whose program can be replaced, and its successors, which are ended with it."""

    def __init__(self, start_serving, tmp_path, monkeypatch, **options):
        self.program = tmp_path / "dejunk"
        shutil.copy(DEJUNK, self.program)
        monkeypatch.setattr("house.DEJUNK", self.program)
        self.proxy = start_serving(**options)
        self.pids = []

    def succeed(self):
        """USR2; returns the pid of the successor when it is the service."""
        os.kill(self.pids[-1] if self.pids else self.proxy.pid, signal.SIGUSR2)
        wait_for_log(self.proxy, r"pid \d+ is the service now", len(self.pids) + 1)
        words = self.proxy.log().split(" is the service now")[len(self.pids)].split()
        self.pids.append(int(words[-1]))
        return self.pids[-1]

    def end(self):
        for pid in self.pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
        for pid in self.pids:
            wait_for("the end of a successor", lambda one=pid: not is_running(one))


@pytest.fixture
def start_family(start_serving, tmp_path, monkeypatch):
    families = []

    def start(**options):
        families.append(Family(start_serving, tmp_path, monkeypatch, **options))
        return families[-1]
    yield start
    for family in families:
        family.end()


def replace(path, by):
    """As a package manager does."""
    beside = path.with_suffix(".new")
    shutil.copy(by, beside)
    beside.rename(path)


def test_successor_takes_over_while_old_connections_live(start_family, start_origin):
    held = Held()
    origin = start_origin(held)
    echoes = start_origin(echo)
    family = start_family(workers=2)
    proxy = family.proxy
    old = proxy.pid
    download = Download(proxy, origin.url + "/held", len(held.half))
    tunnel = Tunnel(proxy, echoes.port)
    change(proxy, allow_destinations=["127.0.0.2"])
    replace(family.program, DEJUNK)
    inode = os.stat(family.program).st_ino
    with Load(proxy, origin.url + "/quick") as load:
        new = family.succeed()
        load.more()
    assert all(status in (200, None) for _, _, status in load.done)  # None: a 403, not "ok\n"
    assert os.stat("/proc/%d/exe" % new).st_ino == inode
    assert is_running(old)
    assert ask(proxy, origin.url + "/quick").status == 403  # the new one's config
    tunnel.says(b"the old one's")
    held.go_on.set()
    assert download.finish() == held.body
    assert is_running(old)
    tunnel.close()
    wait_for("the end of the old one", lambda: not is_running(old))
    assert proxy.process.wait(30) == 0
    assert ask(proxy, origin.url + "/quick").status == 403


def test_nothing_is_lost_over_generations(start_family, origin):
    family = start_family(workers=2)
    with Load(family.proxy, origin.url + "/") as load:
        for _ in range(3):
            family.succeed()
            load.more()
    assert not load.failed(), load.failed()[:5]
    wait_for("the end of the old ones", lambda: not is_running(family.pids[0]) and
             not is_running(family.pids[1]))
    assert len(workers(family.pids[2])) == 2


def script_program(path, text):
    path.write_text("#!/bin/sh\n" + text)
    path.chmod(0o755)


@pytest.mark.parametrize("text", ["exit 3\n", "exec sleep 60\n", None])
def test_successor_that_fails_changes_nothing(start_family, origin, tmp_path, text):
    family = start_family()
    proxy = family.proxy
    if text is None:
        family.program.unlink()
    else:
        script_program(tmp_path / "broken", text)
        (tmp_path / "broken").rename(family.program)
    os.kill(proxy.pid, signal.SIGUSR2)
    wait_for_log(proxy, "starts .* as successor")
    if text and "sleep" in text:  # it is under way for half a minute; the old one serves and reloads
        os.kill(proxy.pid, signal.SIGUSR2)
        wait_for_log(proxy, "no successor now")
        change(proxy, allow_destinations=["127.0.0.2"])
        reload(proxy)
        assert ask(proxy, origin.url + "/").status == 403
        return
    wait_for_log(proxy, "the successor failed, this process goes on")
    assert ask(proxy, origin.url + "/").status == 200
    replace(family.program, DEJUNK)
    family.succeed()
    assert ask(proxy, origin.url + "/").status == 200


def test_successor_with_a_bad_config_changes_nothing(start_family, origin):
    family = start_family()
    proxy = family.proxy
    proxy.more = "nonsense = 1"
    proxy.write_config()
    os.kill(proxy.pid, signal.SIGUSR2)
    wait_for_log(proxy, "the successor failed, this process goes on")
    assert ask(proxy, origin.url + "/").status == 200
    assert len(workers(proxy.pid)) == 1


def test_term_limits_the_drain_of_a_predecessor(start_family, start_origin):
    held = Held()
    origin = start_origin(held)
    family = start_family(drain="1s")
    download = Download(family.proxy, origin.url + "/held", len(held.half))
    family.succeed()
    os.kill(family.proxy.pid, signal.SIGTERM)
    assert family.proxy.process.wait(30) == 0
    assert ask(family.proxy, origin.url + "/quick").status == 200
    held.go_on.set()
    assert download.finish() != held.body


def test_successor_takes_what_the_config_says_now(start_family, origin):
    family = start_family()
    proxy = family.proxy
    old, new = proxy.port, free_port()
    change(proxy, listen=["127.0.0.1:%d" % new])
    family.succeed()
    wait_for("the new port", lambda: is_listening(new))
    wait_for("the old port closed", lambda: refuses(old))
    proxy.port = new
    assert ask(proxy, origin.url + "/").status == 200


class Listening(NameServer):
    """Keeps the ids of the questions, too."""
    ids = ()

    def _answer(self, question):
        self.ids += (question[:2],)
        return super()._answer(question)


def test_a_jailed_resolver_asks_with_ids_that_nobody_can_guess(start_serving, origin):
    """A new name server comes when /dev/urandom is out of reach, without which c-ares draws from
    rand(), the same in every process."""
    seen = []
    for _ in range(2):
        names = Listening({"a.test": ["127.0.0.1"]})
        proxy = start_serving(private_names=["*.test"])
        (proxy.directory / "resolv.conf").write_text("nameserver %s\n" % names.at)
        wait_for_log(proxy, "resolv.conf or hosts changed")
        wait_for("answer", lambda one=proxy: ask(one, "http://a.test:%d/" % origin.port).status == 200)
        seen.append(names.ids[:2])
        names.stop()
    assert len(seen[0]) == 2 and seen[0] != seen[1]

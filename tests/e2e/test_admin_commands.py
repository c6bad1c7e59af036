"""Commands on the control socket: status, reload, log, pause and allow, with two workers, over
restarts and kills; what a stranger says there."""
import contextlib
import os
import pathlib
import signal
import socket
import subprocess
import time

import pytest
from admin_house import (admin_pid, command, control_path, fetches, fetches_until, is_controlled,
                         metrics, metrics_with, pid_of_successor, start_filtering, status, url_at,
                         wait_for_control, wait_for_successor)
from daemon_house import workers
from house import DEJUNK, Peer, answering, ask, die_with_us, reply, wait_for

ANSWER = answering(lambda request: reply(b"hello\n"))
COMMANDS = [("status",), ("reload",), ("log", "-f"), ("pause",), ("allow", "a.example")]


@pytest.fixture
def filtering(start_proxy, start_origin, tmp_path):
    return start_filtering(start_proxy, tmp_path, start_origin, ANSWER, workers=2)


def say(proxy, line, finish=True):
    """The raw answer to raw bytes on the control socket."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(30)
        sock.connect(str(control_path(proxy)))
        sock.sendall(line)
        if finish:
            sock.shutdown(socket.SHUT_WR)
        got = b""
        while True:
            more = sock.recv(65536)
            if not more:
                return got
            got += more


@pytest.mark.parametrize("arguments", COMMANDS)
def test_nobody_is_there(tmp_path, arguments):
    done = subprocess.run([str(DEJUNK), arguments[0], "-D", "runtime_dir=%s" % tmp_path,
                           *arguments[1:]], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 69
    assert done.stdout == ""
    assert done.stderr == ("dejunk: no dejunk is running here: nobody listens at %s/control.sock\n"
                           % tmp_path)


def test_the_socket_is_for_owner_and_group(filtering):
    proxy, _ = filtering
    about = control_path(proxy).stat()
    assert about.st_mode & 0o777 == 0o660
    assert list(control_path(proxy).parent.iterdir()) == [control_path(proxy)]
    proxy_directory = control_path(proxy).parent
    assert proxy.stop() == 0
    assert not list(proxy_directory.iterdir())


def test_status(filtering):
    proxy, origin = filtering
    assert fetches(proxy, origin, "good.test", 3) == [200] * 3
    assert fetches(proxy, origin, "ads.test", 2) == [403] * 2
    metrics_with(proxy, passed=3, blocked=2)
    code, out, err = command(proxy, "status")
    assert (code, err) == (0, "")
    assert "2 of 2 serve, 0 replaced" in out
    assert "passed 3, blocked 2" in out
    assert "1 in 1 lists" in out
    shown = status(proxy)
    assert shown["requests"]["passed"] == 3 and shown["requests"]["blocked"] == 2
    assert shown["lists"][0]["name"] == "ours" and shown["lists"][0]["rules"] == 1
    assert shown["config"] == {"number": 1, "reloads": 0, "failed": 0, "last_reload": None,
                               "problem": None}
    assert abs(shown["lists"][0]["changed"] - time.time()) < 300


def test_reload_tells_how_it_went(filtering):
    proxy, origin = filtering
    assert command(proxy, "reload") == (0, "config number 2 is in force\n", "")
    pathlib.Path(proxy.directory.parent / "rules.txt").write_text("||other.test^\n")
    assert command(proxy, "reload") == (0, "config number 3 is in force\n", "")
    assert fetches(proxy, origin, "other.test", 6) == [403] * 6  # in every worker, at once
    assert fetches(proxy, origin, "ads.test", 2) == [200] * 2

    good = proxy.more
    proxy.more += "\nnonsense = 3"
    path = proxy.write_config()
    code, out, err = command(proxy, "reload")
    assert (code, out) == (78, "")
    assert err.startswith("dejunk: %s:" % path) and 'unknown option "nonsense"' in err
    assert "nonsense" in command(proxy, "status")[1]  # with a config that is bad now
    assert status(proxy)["config"]["failed"] == 1
    assert "nonsense" in status(proxy)["config"]["problem"]
    assert metrics(proxy)['dejunk_config_reloads_total{result="failure"}'] == 1
    assert fetches(proxy, origin, "other.test") == [403]

    proxy.more = good
    proxy.write_config()
    assert command(proxy, "reload")[0] == 0
    assert status(proxy)["config"]["problem"] is None


def test_many_reloads_at_once_are_all_answered(filtering):
    proxy, _ = filtering
    config = str(proxy.directory / "proxy.conf")
    running = [subprocess.Popen([str(DEJUNK), "reload", "-c", config], stdout=subprocess.PIPE,
                                preexec_fn=die_with_us) for _ in range(8)]
    for one in running:
        out, _ = one.communicate(timeout=60)
        assert one.returncode == 0 and b"is in force" in out


def test_pause_in_every_worker_until_its_end(filtering):
    proxy, origin = filtering
    assert fetches(proxy, origin, "ads.test", 6) == [403] * 6
    assert command(proxy, "pause", "1h")[0] == 0
    assert fetches(proxy, origin, "ads.test", 8) == [200] * 8
    assert "paused" in command(proxy, "status")[1]
    began = time.monotonic()
    assert command(proxy, "pause", "2s") == (0, "nothing is filtered, for 2 s\n", "")
    assert set(fetches_until(proxy, origin, "ads.test", began + 2)) <= {200}
    wait_for("the end of the pause", lambda: fetches(proxy, origin, "ads.test", 6) == [403] * 6)
    wait_for("an empty book", lambda: status(proxy)["passes"] == [])


def test_pause_off_and_for_one_client(filtering):
    proxy, origin = filtering
    assert command(proxy, "pause") == (0, "nothing is filtered, for 10 min\n", "")
    assert fetches(proxy, origin, "ads.test", 4) == [200] * 4
    assert command(proxy, "pause", "off") == (0, "filtering goes on\n", "")
    assert fetches(proxy, origin, "ads.test", 4) == [403] * 4
    assert command(proxy, "pause", "1h", "--client", "10.1.2.3")[0] == 0
    assert fetches(proxy, origin, "ads.test", 4) == [403] * 4
    assert command(proxy, "pause", "1h", "--client", "127.0.0.1")[0] == 0
    assert fetches(proxy, origin, "ads.test", 4) == [200] * 4


def test_allow_in_every_worker_until_its_end(filtering):
    proxy, origin = filtering
    began = time.monotonic()
    assert command(proxy, "allow", "ads.test", "--for", "2s") == (
        0, "ads.test is not filtered, for 2 s\n", "")
    assert set(fetches_until(proxy, origin, "ads.test", began + 2)) <= {200}
    wait_for("the end of the pass", lambda: fetches(proxy, origin, "ads.test", 6) == [403] * 6)
    assert command(proxy, "allow", "ads.test") == (0, "ads.test is not filtered\n", "")
    assert fetches(proxy, origin, "ads.test", 4) == [200] * 4
    assert fetches(proxy, origin, "x.ads.test", 4) == [200] * 4
    assert command(proxy, "allow", "ads.test", "--off") == (0, "ads.test is filtered again\n", "")
    assert fetches(proxy, origin, "ads.test", 4) == [403] * 4
    assert command(proxy, "allow", "ads.test", "--off")[0] == 65


def test_allow_is_for_the_pages_of_a_host_too(filtering):
    proxy, origin = filtering
    from_page = [("Sec-Fetch-Dest", "script"), ("Referer", "http://good.test/")]
    assert ask(proxy, url_at(origin, "ads.test", "/x.js"), headers=from_page).status == 403
    assert command(proxy, "allow", "good.test")[0] == 0
    assert ask(proxy, url_at(origin, "ads.test", "/x.js"), headers=from_page).status == 200
    assert fetches(proxy, origin, "ads.test") == [403]


def test_passes_outlive_everything(filtering):
    """Kills of each process, a reload, a restart."""
    proxy, origin = filtering
    assert command(proxy, "allow", "ads.test", "--for", "1h")[0] == 0
    for pid in workers(proxy.pid):
        os.kill(pid, signal.SIGKILL)
    wait_for("workers", lambda: status(proxy)["workers"]["serving"] == 2)
    assert fetches(proxy, origin, "ads.test", 4) == [200] * 4
    old = admin_pid(proxy)
    os.kill(old, signal.SIGKILL)
    wait_for("another admin", lambda: admin_pid(proxy) not in (None, old) and is_controlled(proxy))
    assert [one["host"] for one in status(proxy)["passes"]] == ["ads.test"]
    assert fetches(proxy, origin, "ads.test", 4) == [200] * 4
    assert command(proxy, "reload")[0] == 0
    assert fetches(proxy, origin, "ads.test", 4) == [200] * 4
    assert proxy.stop() == 0
    proxy.start()
    wait_for_control(proxy)
    assert fetches(proxy, origin, "ads.test", 4) == [200] * 4


def test_state_is_kept_where_the_config_says_now(filtering, tmp_path):
    proxy, origin = filtering
    elsewhere = tmp_path / "not" / "there yet"
    proxy.options["state_dir"] = str(elsewhere)
    proxy.write_config()
    assert command(proxy, "reload")[0] == 0
    wait_for("admin", lambda: command(proxy, "allow", "ads.test")[0] == 0 and
             (elsewhere / "passes").exists())
    assert fetches(proxy, origin, "ads.test", 4) == [200] * 4
    assert (elsewhere / "rules.db").exists()
    assert status(proxy)["lists"][0]["name"] == "ours"


def test_what_cannot_be_kept_is_in_force_and_said(filtering):
    proxy, origin = filtering
    state = pathlib.Path(proxy.options["state_dir"])
    (state / "passes").mkdir()
    code, out, err = command(proxy, "allow", "ads.test")
    assert (code, out) == (65, "") and err.startswith("dejunk: in force, but not kept: cannot keep ")
    assert fetches(proxy, origin, "ads.test", 4) == [200] * 4
    (state / "passes").rmdir()
    assert command(proxy, "allow", "ads.test")[0] == 0


def test_a_damaged_book_is_put_aside(filtering):
    proxy, origin = filtering
    assert command(proxy, "allow", "ads.test")[0] == 0
    assert proxy.stop() == 0
    book = pathlib.Path(proxy.options["state_dir"]) / "passes"
    text = book.read_text()
    assert text == "dejunk passes 1\nads.test * always\nend 1\n"
    book.write_text(text[:-3])
    proxy.start()
    wait_for_control(proxy)
    assert "is damaged" in proxy.log() and "put aside" in proxy.log()
    assert (book.parent / "passes.damaged").read_text() == text[:-3]
    assert fetches(proxy, origin, "ads.test") == [403]
    assert command(proxy, "allow", "ads.test")[0] == 0
    assert book.read_text() == text


@pytest.mark.parametrize("arguments, code, says", [
    (("pause", "0"), 64, "is no time"), (("pause", "soon"), 64, "is no time"),
    (("pause", "367d"), 64, "is no time"), (("pause", "366d"), 0, ""),
    (("pause", "1h", "--client", "ann"), 65, "is no address"),
    (("pause", "1h", "2h"), 64, "too many"), (("allow",), 64, "missing"),
    (("allow", "a b"), 64, "is no host name"), (("allow", "a..b"), 65, "is no host name"),
    (("allow", "http://a/"), 65, "is no host name"), (("allow", "-", "--for", "x"), 64, "is no time"),
    (("allow", "a" * 253), 0, ""), (("allow", "a" * 254), 65, "is no host name"),
    (("allow", "a" * 600), 64, "too long"), (("allow", "a", "--off", "--for=1s"), 64, "together"),
    (("allow", "192.0.2.1"), 0, ""), (("allow", "::1"), 0, ""),
])
def test_mistakes_are_told(filtering, arguments, code, says):
    proxy, _ = filtering
    got, _, err = command(proxy, *arguments)
    assert got == code, err
    assert says in err


@pytest.mark.parametrize("line, answer", [
    (b"\n", b"error words are parted by one blank, four at most\n"),
    (b"status  json\n", b"error words are parted by one blank, four at most\n"),
    (b"hello\n", b'error "hello" is not known here\n'),
    (b"GET / HTTP/1.1\r\n", b"error a line with more than plain text\n"),
    (b"status xml\n", b'error status knows only "json"\n'),
    (b"pause 1 a b\n", b"error pause with 3 words behind it\n"),
    (b"\x00\xff\n", b"error a line with more than plain text\n"),
    (b"x" * 512 + b"\n", b'error "'),
    (b"x" * 513 + b"\n", b"error the line is too long\n"),
    (b"x" * 100000, b"error the line is too long\n"),
    (b"", b""),
    (b"status", b""),
])
def test_strangers_on_the_control_socket(filtering, line, answer):
    proxy, _ = filtering
    try:
        got = say(proxy, line)
    except ConnectionError:  # it had not read all of a long line
        got = b"" if len(line) > 1000 else None
    assert got is not None and (got.startswith(answer) or len(line) > 1000)
    assert say(proxy, b"status\n", finish=False).startswith(b"ok\ndejunk ")


def test_no_more_callers_than_fit(filtering):
    proxy, _ = filtering
    silent = []
    for _ in range(40):
        sock = socket.socket(socket.AF_UNIX)
        sock.connect(str(control_path(proxy)))
        silent.append(sock)
    for sock in silent[32:]:
        sock.settimeout(10)
        assert sock.recv(1) == b""
    for sock in silent:
        sock.close()

    def is_answered():
        with contextlib.suppress(ConnectionError):  # not all of them are seen to be gone yet
            return say(proxy, b"status\n").startswith(b"ok\n")
    wait_for("an answer", is_answered)


class Follower:
    def __init__(self, proxy, tmp_path):
        self.path = tmp_path / "followed"
        self.process = subprocess.Popen(
            [str(DEJUNK), "log", "-f", "-c", str(proxy.directory / "proxy.conf")],
            stdout=open(self.path, "wb"), stderr=subprocess.PIPE, preexec_fn=die_with_us)

    def text(self):
        return self.path.read_text()

    def stop(self):
        self.process.terminate()
        self.process.wait(30)


def follows(proxy, origin, follower, mark):
    """Asks until a request is seen in what is followed."""
    def one():
        ask(proxy, url_at(origin, "good.test", "/%s?secret" % mark))
        return "/%s " % mark in follower.text()
    wait_for("a line", one)


def test_log_is_followed(filtering, tmp_path):
    proxy, origin = filtering
    follower = Follower(proxy, tmp_path)
    follows(proxy, origin, follower, "first")
    for pid in workers(proxy.pid):
        os.kill(pid, signal.SIGKILL)
    wait_for("workers", lambda: status(proxy)["workers"]["serving"] == 2)
    follows(proxy, origin, follower, "second")  # in new workers, too
    assert command(proxy, "pause", "1s")[0] == 0
    wait_for("lines of admin and master", lambda: "admin: nothing is filtered" in follower.text() and
             "master: worker 0 was ended by signal 9" in follower.text())
    assert "secret" not in follower.text()
    assert '"GET http://good.test:%d/first HTTP/1.1" 200 6 ' % origin.port in follower.text()
    follower.stop()
    before = follower.text()
    assert fetches(proxy, origin, "good.test", 4) == [200] * 4
    assert follower.text() == before


def test_a_follower_that_takes_nothing_stalls_nobody(filtering):
    proxy, origin = filtering
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(str(control_path(proxy)))
        sock.sendall(b"log\n")
        assert sock.recv(3) == b"ok\n"
        began = time.monotonic()
        url = url_at(origin, "good.test", "/" + "x" * 1000)
        for _ in range(1500):
            assert ask(proxy, url, headers=[("User-Agent", "y" * 250)]).status == 200
        assert time.monotonic() - began < 60
        wait_for("all counted", lambda: status(proxy)["requests"]["passed"] >= 1500)


def test_the_end_of_the_service_ends_following(filtering, tmp_path):
    proxy, origin = filtering
    follower = Follower(proxy, tmp_path)
    follows(proxy, origin, follower, "x")
    assert proxy.stop() == 0
    assert follower.process.wait(30) == 69
    assert follower.process.stderr.read() == b"dejunk: the service has ended\n"


def test_a_successor_takes_the_socket_over(filtering):
    proxy, origin = filtering
    assert command(proxy, "allow", "ads.test")[0] == 0
    old = proxy.pid
    before = status(proxy)
    os.kill(old, signal.SIGUSR2)
    wait_for_successor(proxy, before)
    wait_for("the end of the old one", lambda: proxy.process.poll() is not None)
    assert proxy.process.returncode == 0
    assert fetches(proxy, origin, "ads.test", 4) == [200] * 4
    assert is_controlled(proxy)
    os.kill(pid_of_successor(proxy), signal.SIGTERM)
    wait_for("its end", lambda: not is_controlled(proxy))
    wait_for("no socket", lambda: not control_path(proxy).exists())


def test_one_that_was_succeeded_writes_no_state_any_more(filtering):
    proxy, origin = filtering
    passes = proxy.directory / "state" / "passes"
    assert command(proxy, "allow", "ads.test", "--for", "3s")[0] == 0
    begun = time.monotonic()
    tunnel = Peer(proxy.connect())  # keeps the old one alive
    tunnel.send(b"CONNECT 127.0.0.1:%d HTTP/1.1\r\nHost: x\r\n\r\n" % origin.port)
    assert b" 200 " in tunnel.until(b"\r\n\r\n")
    before = status(proxy)
    os.kill(proxy.pid, signal.SIGUSR2)
    wait_for_successor(proxy, before)
    assert command(proxy, "allow", "ads.test", "--off")[0] in (0, 65)  # nothing ends here; 65: it has
    assert command(proxy, "allow", "other.test")[0] == 0
    text = passes.read_bytes()
    assert b"other.test" in text and b"ads.test" not in text
    inode = passes.stat().st_ino
    while time.monotonic() < begun + 4:  # the old one's pass has run out
        assert passes.read_bytes() == text and passes.stat().st_ino == inode
        time.sleep(0.05)
    assert proxy.process.poll() is None
    tunnel.close()
    wait_for("the end of the old one", lambda: proxy.process.poll() is not None)
    assert passes.read_bytes() == text and passes.stat().st_ino == inode
    os.kill(pid_of_successor(proxy), signal.SIGTERM)
    wait_for("its end", lambda: not is_controlled(proxy))


def test_a_pass_is_told_as_json(start_proxy, start_origin, tmp_path):
    proxy, _ = start_filtering(start_proxy, tmp_path, start_origin, ANSWER)
    assert command(proxy, "allow", "under_score.example")[0] == 0
    assert status(proxy)["passes"] == [{"host": "under_score.example", "client": "*",
                                        "until": None}]

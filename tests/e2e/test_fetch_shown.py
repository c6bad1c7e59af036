"""What `dejunk fetch` shows: on terminals, in files, and in how much memory."""
import os
import re
import shutil
import signal
import subprocess
import threading

import pytest
from fetch_house import sized
from house import SANITIZED, answering, process_tree, read_request, reply, wait_for


CONTROLS = re.compile(rb"[\x00-\x09\x0b-\x1f\x7f-\xff]")


def test_no_control_characters_in_a_file(start_origin, fetch):
    origin = start_origin(answering(lambda _: reply(
        b"x", "200 O\xe9K", [("X", "a\tb\x80\xffc"), ("Y", "\x80[31m")])))
    arguments = ["--null", origin.url + "/\x1b[31m\x07", origin.url + "/b", "http://\x1b[2J.invalid/"]
    for more in ([], ["-q"], ["--json"]):
        done = fetch(*more, *arguments)
        assert done.stdout and not CONTROLS.search(done.stdout + done.stderr), done.stdout


def test_letters_of_the_world_in_json(start_origin, fetch):
    origin = start_origin(answering(lambda _: reply(b"x", headers=[("X-Name", "caf\xe9")])))
    url = origin.url + "/caf\xe9-\u65e5\u672c-\U0001f600.txt"
    done = fetch.json("-o", str(fetch.out), url)
    assert not CONTROLS.search(done.out)
    assert done.ends[url]["file"] == str(fetch.out / "caf\xe9-\u65e5\u672c-\U0001f600.txt")
    with open(done.ends[url]["file"], "rb") as file:
        assert file.read() == b"x"
    assert ["X-Name", "caf\xe9"] in done.events[0]["headers"]
    # A URL that is no UTF-8 comes byte by byte.
    done = fetch.json("--null", os.fsencode(origin.url) + b"/\xff\xc3\xa9\"\\")
    assert [one["url"] for one in done.events[:2]] == [origin.url + "/\xff\xc3\xa9\"\\"] * 2


class Terminal:
    """tmux with one pane, on a socket of its own."""

    def __init__(self, directory, columns, rows):
        self.count, self.is_wrapped = rows, False
        self.command = ["tmux", "-f", "/dev/null", "-S", str(directory / ("tmux%d" % columns))]
        self.run("new-session", "-d", "-x", str(columns), "-y", str(rows),
                 "env TERM=screen PS1='$ ' sh")

    def run(self, *arguments):
        return subprocess.run([*self.command, *arguments], capture_output=True, text=True, timeout=60,
                              check=True).stdout

    def type(self, line):
        self.run("send-keys", "-l", line)
        self.run("send-keys", "Enter")

    def rows(self):
        """Its rows. Where lines are wrapped, they are fewer than these."""
        both = [line.rstrip() for line in
                self.run("capture-pane", "-p", ";", "capture-pane", "-pJ").split("\n")]
        rows, lines = both[:self.count], both[self.count:2 * self.count]
        self.is_wrapped = lines != rows
        return rows

    def width(self):
        """As programs in it are told."""
        tty = self.run("display-message", "-p", "#{pane_tty}").strip()
        fd = os.open(tty, os.O_RDONLY | os.O_NOCTTY)
        try:
            return os.get_terminal_size(fd).columns
        finally:
            os.close(fd)

    def stop(self):
        self.run("kill-server")


@pytest.mark.skipif(not shutil.which("tmux"), reason="no tmux here")
@pytest.mark.parametrize("columns", [80, 40])
@pytest.mark.parametrize("quiet", ["-q", ""], ids=["quiet", "headers"])
def test_progress_on_a_terminal(start_origin, fetch, tmp_path, columns, quiet):
    go_on = threading.Event()

    def script(origin, peer):
        origin.seen(read_request(peer))
        peer.send(sized("X-Long: %s\r\n" % ("y" * 300), 2000000) + b"x" * 1000000)
        go_on.wait(30)
        peer.send(b"x" * 1000000)

    origin = start_origin(script)
    # What it runs is in a file, so that no line that is typed wraps.
    urls = ["%s/%s%d" % (origin.url, "a-name-longer-than-the-terminal-is-wide-" * 3, i)
            for i in range(3)]
    go = tmp_path / "go"
    go.write_text("clear\n%s\necho code $?\n" % " ".join(
        "'%s'" % word for word in fetch.command("-c", "3", *([quiet] if quiet else []), "--null",
                                                *urls)))
    terminal = Terminal(tmp_path, columns, 24)
    try:
        terminal.type("cd %s; . ./go" % tmp_path if len(str(tmp_path)) < 20 else ". %s" % go)

        def drawn():
            rows = terminal.rows()
            return rows if len([row for row in rows if "1.00 MB" in row]) == 3 else None

        rows = wait_for("progress", drawn)
        assert not terminal.is_wrapped
        assert all(len(row) < columns for row in rows)
        shown = [row for row in rows if "1.00 MB" in row]
        assert all(re.search(r"[\d.]+ [kMG]?B?(ytes)?/s +\S+$", row) for row in shown)
        if columns == 80:
            assert all("50%" in row and "=>" in row for row in shown)
            assert "3 under way, 0 done, 0 failed" in "\n".join(rows)
        assert "3.00 MB" in rows[rows.index(shown[-1]) + 1]  # all together
        go_on.set()
        rows = wait_for("its end", lambda: "code 0" in terminal.rows() and terminal.rows())
        assert not terminal.is_wrapped
        text = "\n".join(rows)
        assert "3 URLs: 3 done" in text and "6.00 MB in " in text
        assert text.count("] done") == 3
        # Nothing is left over of the display.
        assert "under way" not in text and "50%" not in text and "=>" not in text
        assert all(row.startswith("[") or row in ("$", "", "code 0") or " URLs: " in row or
                   " in " in row for row in rows), text
    finally:
        terminal.stop()


@pytest.mark.skipif(not shutil.which("tmux"), reason="no tmux here")
def test_a_terminal_that_becomes_narrower_and_wider(start_origin, fetch, tmp_path):
    """Rows that wrap because the terminal did are taken away, too; letters of two columns and none
    count for nothing."""
    go_on = threading.Event()

    def script(origin, peer):
        read_request(peer)
        peer.send(sized("", 2000000) + b"x" * 1000000)
        go_on.wait(60)
        peer.send(b"x" * 1000000)

    origin = start_origin(script)
    urls = ["%s/\u65e5\u672c\u8a9e-e\u0301-%s%d" % (origin.url, "x" * 60, i) for i in range(3)]
    go = tmp_path / "go"
    go.write_text("set +m\nclear\n%s\necho code $?\n" % " ".join(
        "'%s'" % word for word in fetch.command("-c", "3", "-q", "-o", "out", *urls)))
    terminal = Terminal(tmp_path, 80, 24)

    def drawn(columns):
        rows = terminal.rows()
        shown = [row for row in rows if "1.00 MB" in row]
        others = [row for row in rows if row and row not in shown and "3.00 MB" not in row]
        return len(shown) == 3 and not others and not terminal.is_wrapped and \
            len(shown[0]) == columns - 1

    try:
        terminal.type("cd %s; . ./go" % tmp_path)
        wait_for("progress", lambda: drawn(80))
        shell = int(terminal.run("display-message", "-p", "#{pane_pid}"))
        pid = wait_for("fetch", lambda: process_tree(shell)[1:])[0]
        for columns in (40, 120, 61, 80):
            # It draws nothing while the terminal is between two widths.
            os.kill(pid, signal.SIGSTOP)
            wait_for("rest", lambda: terminal.rows() == terminal.rows())
            terminal.run("resize-window", "-x", str(columns), "-y", "24")
            wait_for("the new width", lambda: terminal.width() == columns)
            os.kill(pid, signal.SIGCONT)
            wait_for("progress in %d columns" % columns, lambda: drawn(columns))
        go_on.set()
        rows = wait_for("its end", lambda: "code 0" in terminal.rows() and terminal.rows())
        assert not terminal.is_wrapped
        text = "\n".join(rows)
        # A line is cut behind what matters.
        assert text.count("] done http://") == 3 and "3 URLs: 3 done" in text and "=>" not in text
    finally:
        terminal.stop()


@pytest.mark.skipif(SANITIZED, reason="sanitizers have memory of their own")
def test_memory_does_not_grow_with_the_number(start_nginx, fetch):
    nginx = start_nginx()
    (nginx.www / "x").write_bytes(b"x" * 100)

    def most_kb(count):
        said = fetch.directory / "said"
        with open(said, "wb") as out:
            process = fetch.start("-c", "16", "-q", "--null", "-", stdin=subprocess.PIPE, stdout=out)
        for i in range(count):
            process.stdin.write(b"%s/x?%d\n" % (nginx.url.encode(), i))
        process.stdin.flush()
        wait_for("all of them", lambda: said.read_bytes().count(b"] done") == count, 60)
        status = open("/proc/%d/status" % process.pid, encoding="ascii").read()
        process.stdin.close()
        assert process.wait(30) == 0
        return int(re.search(r"VmHWM:\s+(\d+)", status).group(1))

    before = most_kb(1000)
    assert most_kb(20000) < before + 1000

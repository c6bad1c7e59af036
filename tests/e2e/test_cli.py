"""The command line: what each command prints and its exit code; what the manual says of it."""
import os
import pty
import re
import signal
import subprocess

import pytest

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
DEJUNK = os.path.join(TOP, os.environ.get("DEJUNK", "build/dejunk"))


def dejunk(*arguments, stdin="", **environment):
    environment = {**os.environ, "TERM": "dumb", **environment}
    done = subprocess.run([DEJUNK, *arguments], input=stdin, capture_output=True, text=True,
                          env=environment, timeout=60)
    return done.returncode, done.stdout, done.stderr


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return str(path)


@pytest.mark.parametrize("arguments, code, out, err", [
    (["version"], 0, r"dejunk \d+\.\d+\.\d+\n", ""),
    (["--version"], 0, r"dejunk \d+\.\d+\.\d+\n", ""),
    (["--help"], 0, r"Usage: dejunk COMMAND(.|\n)*check  (.|\n)*", ""),
    (["help", "check"], 0, r"Usage: dejunk check(.|\n)*-c, --config=FILE(.|\n)*", ""),
    (["check", "--help"], 0, r"Usage: dejunk check(.|\n)*", ""),
    ([], 64, "", r"Usage: dejunk COMMAND(.|\n)*"),
    (["chekc"], 64, "", r'dejunk: unknown command "chekc"; did you mean "check"\?\n.*\n'),
    (["frobnicate"], 64, "", r'dejunk: unknown command "frobnicate"\n.*\n'),
    (["check", "--confg=x"], 64, "",
     r"dejunk: check: unknown option --confg; did you mean --config\?\n.*\n"),
    (["check", "-x"], 64, "", r"dejunk: check: unknown option -x\n.*\n"),
    (["check", "-c"], 64, "", r"dejunk: check: the option -c needs an argument\n.*\n"),
    (["check", "--help=x"], 64, "", r"dejunk: check: the option --help takes no argument\n.*\n"),
    (["check", "x"], 64, "", r'dejunk: check: "x" is one argument too many\n.*\n'),
    (["version", "x"], 64, "", r'dejunk: version: "x" is one argument too many\n.*\n'),
    (["help", "a", "b"], 64, "", r'dejunk: help: "b" is one argument too many\n.*\n'),
    (["check", "-c", "/nonexistent/x"], 78, "",
     r"dejunk: /nonexistent/x: cannot open it: No such file or directory\n"),
    (["check", "-D", "via=maybe"], 78, "", r'dejunk: -D:1: via: "maybe" is not yes or no\n'),
    (["check", "-D", "via"], 78, "", r"dejunk: -D:1: a setting has the form NAME=VALUE\n"),
    (["run", "-D", "via=maybe"], 78, "", r'(.|\n)*-D:1: via: "maybe" is not yes or no\n'),
    (["run"] + ["-Dvia=no"] * 1001, 78, "", r"dejunk: -D:1001: too many settings\n"),
    (["run", "x"], 64, "", r'dejunk: run: "x" is one argument too many\n.*\n'),
    (["check", "-c", "/dev/null"] + ["-Dvia=no"] * 1000, 0, r"(.|\n)*", r"(.|\n)*"),
    (["check"] + ["-Dvia=no"] * 1001, 78, "", r"dejunk: -D:1001: too many settings\n"),
])
def test_command_line(arguments, code, out, err):
    got = dejunk(*arguments)
    assert got[0] == code
    assert re.fullmatch(out, got[1]), got[1]
    assert re.fullmatch(err, got[2]), got[2]


def test_check_shows_what_a_config_comes_to(tmp_path):
    path = write(tmp_path / "proxy.conf", """
        listen = {"127.0.0.1:3128", "192.168.1.2:3128"}
        allow = {"192.168.1.0/24"}
        parent "tor" { url = "socks5://me:secret@127.0.0.1:9050" for = {"*.onion"} }
        list "mine" { file = "%s" trusted = yes }
        list "gone" { file = "/nonexistent/list" }
    """ % write(tmp_path / "mine.txt", ""))
    write(tmp_path / "proxy.conf.d/10-more.conf", 'list "gone" { enabled = no }\n')
    code, out, err = dejunk("check", "-c", path, "-D", "filter=no", "-D",
                            'no_intercept="%s/mine.txt"' % tmp_path)
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        path + " is good",
        "  with         %s.d/10-more.conf" % path,
        "  listens on   127.0.0.1:3128, 192.168.1.2:3128",
        "  serves       loopback, 192.168.1.0/24",
        "  parents      tor: socks5://127.0.0.1:9050 for *.onion",
        "  opens https  enrolled clients",
        "  but not of   %s/mine.txt" % tmp_path,
        "  lists        mine: %s/mine.txt, trusted" % tmp_path,
        "               gone: /nonexistent/list, off",
        "  filter       off",
    ]


@pytest.mark.parametrize("text, error", [
    ('extra_ca = {"/nonexistent/a.pem"}',
     "extra_ca: cannot open /nonexistent/a.pem: No such file or directory"),
    ('site "*.x" { extra_ca = {"/etc/hostname"} }', "extra_ca /etc/hostname: "),
    ('no_intercept = "/nonexistent/list"',
     "no_intercept: cannot open /nonexistent/list: No such file or directory"),
])
def test_check_looks_into_the_files_for_https(text, error):
    code, out, err = dejunk("check", "-c", "/dev/stdin", stdin=text)
    assert (code, out) == (78, "") and "dejunk: " + error in err


def test_check_warns_of_an_authority_that_is_not_there():
    code, out, err = dejunk("check", "-c", "/dev/stdin",
                            stdin='ca { certificate = "/nonexistent/a" key = "/nonexistent/b" }')
    assert code == 0 and "opens https  enrolled clients" in out
    assert err.startswith("dejunk: warning: no https would be opened: ca: cannot open /nonexistent/a")


def test_check_warns_of_a_list_that_is_not_there():
    code, out, err = dejunk("check", "-c", "/dev/stdin",
                            stdin='list "x" { file = "/nonexistent/list" }')
    assert code == 0 and "/dev/stdin is good" in out
    assert err == ("dejunk: warning: list x: cannot read /nonexistent/list: "
                   "No such file or directory\n")


def test_check_tells_file_and_line(tmp_path):
    path = write(tmp_path / "proxy.conf", "via = yes\n")
    write(tmp_path / "proxy.conf.d/a.conf", "# first\n\nlistne = {}\n")
    assert dejunk("check", "-c", path) == (
        78, "", 'dejunk: %s.d/a.conf:3: unknown option "listne"; did you mean "listen"?\n' % path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root's file is another")
def test_users_find_their_own_file(tmp_path):
    path = write(tmp_path / "dejunk/proxy.conf", "via = no\n")
    code, out, _ = dejunk("check", XDG_CONFIG_HOME=str(tmp_path))
    assert code == 0 and out.startswith(path + " is good\n")


def test_a_password_fits_into_the_config(tmp_path):
    code, out, err = dejunk("passwd", "alice", stdin="secret\nnot this\n")
    assert (code, err) == (0, "")
    assert re.fullmatch(r'user "alice" \{\n    password = "\$y\$[./A-Za-z0-9$]+"\n\}\n', out)
    code, shown, _ = dejunk("check", "-c", write(tmp_path / "x.conf", "listen = 0.0.0.0:1\n" + out))
    assert code == 0 and "serves       1 user\n" in shown
    code, out, _ = dejunk("passwd", stdin="secret")
    assert code == 0 and out.startswith('password = "$y$')


@pytest.mark.parametrize("stdin, code, err", [
    ("", 65, "there is no password on standard input"),
    ("\n", 65, "there is no password on standard input"),
    ("x" * 511 + "\n", 0, ""),
    ("x" * 512 + "\n", 65, "the password is longer than 511 bytes, or has a NUL in it"),
    ("x\0y\n", 65, "the password is longer than 511 bytes, or has a NUL in it"),
])
def test_passwords_have_limits(stdin, code, err):
    got = dejunk("passwd", stdin=stdin)
    assert got[0] == code
    assert got[2] == ("dejunk: %s\n" % err if err else "")


def on_terminal(arguments, typed):
    """Runs dejunk on a terminal and types a line for each question; all output and the status."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.environ.update(TERM="xterm")
        os.environ.pop("NO_COLOR", None)
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        signal.alarm(60)  # the end of what hangs
        os.execv(DEJUNK, [DEJUNK, *arguments])
    out = b""
    try:
        for line in typed:
            asked = out.count(b": ")
            while out.count(b": ") == asked:
                out += os.read(terminal, 4096)
            os.write(terminal, line)
        while True:
            piece = os.read(terminal, 4096)
            if not piece:
                break
            out += piece
    except OSError:  # the terminal is gone with the last who had it open
        pass
    os.close(terminal)
    return out.decode(), os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@pytest.mark.parametrize("typed, code, shown", [
    ([b"secret\n", b"secret\n"], 0, 'password = "$y$'),
    ([b"secret\n", b"other\n"], 65, "the two were not the same"),
    ([b"\n"], 65, "no password was typed"),
    ([b"sec\x03"], -2, ""),  # Ctrl-C
])
def test_a_password_is_not_shown(typed, code, shown):
    out, got = on_terminal(["passwd"], typed)
    assert got == code
    assert shown in out and "sec" not in out.replace("$y$", "")


def test_colours_are_for_terminals():
    assert "\033[" in on_terminal(["frobnicate"], [])[0]
    assert "\033[" not in dejunk("frobnicate", TERM="xterm")[2]


def test_a_full_disk_is_an_error():
    with open("/dev/full", "w") as full:
        done = subprocess.run([DEJUNK, "version"], stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 74
    assert "No space left on device" in done.stderr


def test_the_manual_has_every_command_and_option():
    with open(os.path.join(TOP, "docs/dejunk.8")) as file:
        manual = file.read().replace("\\-", "-")
    commands = re.findall(r"^  ([a-z]+) ", dejunk("help")[1], re.M)
    assert "check" in commands
    for command in commands:
        assert re.search(r"^\.BR? %s\b" % command, manual, re.M), command
        for option in re.findall(r"(--[a-z-]+)", dejunk("help", command)[1]):
            assert option in manual, "%s %s" % (command, option)

"""Who is enrolled, and what is learned of programs that refuse: by commands and by handshakes, in every
worker, across the ends of processes."""
import os
import re
import signal
import ssl
import subprocess
import time

import pytest
from admin_house import admin_pid, command, status, wait_for_control
from daemon_house import reload, wait_for_log, workers
from house import DEJUNK, wait_for
from intercept_house import Authority, Tunnel, hello, is_ours, own_root, secure

HOSTS = "127.0.0.1 a.test b.test c.test d.test\n"


@pytest.fixture(scope="module")
def origins(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("pki") / "origins")


@pytest.fixture
def origin(start_origin, origins):
    names = ["DNS:%s.test" % letter for letter in "abcd"]
    return start_origin(secure(origins.server(*names, "IP:127.0.0.1"), hello()))


@pytest.fixture
def start(tmp_path, start_proxy, origins):
    def started(more="", rules="", **options):
        (tmp_path / "hosts").write_text(HOSTS)
        (tmp_path / "rules.d").mkdir(exist_ok=True)
        (tmp_path / "rules.txt").write_text(rules)
        options.setdefault("workers", 2)
        proxy = start_proxy('list "ours" { file = "%s" }\n%s' % (tmp_path / "rules.txt", more),
                            extra_ca=[str(origins.root)], hosts_file=str(tmp_path / "hosts"),
                            rules_dir=str(tmp_path / "rules.d"), **options)
        wait_for_control(proxy)
        wait_for_log(proxy, "master: serves")
        return proxy
    return started


def is_opened(proxy, host, port, **how):
    with Tunnel(proxy, host, port) as tunnel:
        return is_ours(tunnel.shake_hands(**how).certificate())


def all_workers(answer):
    """The same in each of many connections, whichever worker they come to."""
    answers = {answer() for _ in range(8)}
    assert len(answers) == 1
    return answers.pop()


def curl(proxy, roots, host, port, *more):
    """curl's exit code: 0, or 60 when it does not trust who answers."""
    done = subprocess.run(["curl", "-sS", "-x", proxy.url, "--cacert", str(roots), "--max-time", "20",
                           "-o", "/dev/null", *more, "https://%s:%d/" % (host, port)],
                          capture_output=True, check=False)
    return done.returncode


def passes_everywhere(proxy, roots, host, port, *more):
    """Does this program get through in every worker? What it refused once in one of them is told to
    the others; refusals until then change nothing."""
    return all(curl(proxy, roots, host, port, *more) == 0 for _ in range(6))


def ca(proxy, *arguments):
    return command(proxy, "ca", *arguments)


def families(proxy):
    return re.findall(r"family=([0-9a-f]{16})", ca(proxy, "learned")[1])


# ---- enrolments -----------------------------------------------------------------------------------------

def test_enrolled_and_no_longer(start, origin):
    proxy = start()
    assert not all_workers(lambda: is_opened(proxy, "a.test", origin.port))
    assert ca(proxy, "enrolled") == (0, "", "")
    code, out, err = ca(proxy, "enrol", "127.0.0.1")
    assert (code, err) == (0, "") and "127.0.0.1" in out
    assert all_workers(lambda: is_opened(proxy, "a.test", origin.port))
    code, out, _ = ca(proxy, "enrolled")
    assert code == 0 and re.match(r"127\.0\.0\.1 family=any enrolled .* ago \(by-hand\), for good\n$", out)
    assert status(proxy)["https"] == {"intercept": "enrolled", "authority": True, "enrolled": 1,
                                      "ended": 0, "learned": 0}
    assert ca(proxy, "unenrol", "127.0.0.1")[0] == 0
    assert not all_workers(lambda: is_opened(proxy, "a.test", origin.port))
    code, _, err = ca(proxy, "unenrol", "127.0.0.1")
    assert code == 65 and "no such enrolment" in err


@pytest.mark.parametrize("arguments, code, words", [
    (["enrol"], 64, "missing"),
    (["enrol", "127.0.0.1", "x"], 64, "too many"),
    (["enrol", "127.0.0.1", "--for", "soon"], 64, "soon"),
    (["enrol", "127.0.0.1", "--family", "f1"], 65, "16 hexadecimal digits"),
    (["enrol", "a:b"], 65, "no address and no user"),
    (["forget"], 64, "missing"),
    (["forget", "nowhere.test"], 65, "nothing was learned"),
])
def test_mistakes_are_told(start, arguments, code, words):
    proxy = start(workers=1)
    got, out, err = ca(proxy, *arguments)
    assert (got, out) == (code, "") and words in err, err


def test_for_a_time_and_for_a_user(start, origin):
    proxy = start(workers=1)
    begun = time.monotonic()
    assert ca(proxy, "enrol", "127.0.0.1", "--for", "2s")[0] == 0
    assert is_opened(proxy, "a.test", origin.port) or time.monotonic() >= begun + 2
    wait_for("its end", lambda: not is_opened(proxy, "a.test", origin.port))
    assert ca(proxy, "enrolled")[1] == ""
    assert ca(proxy, "enrol", "ann", "--for", "30d")[0] == 0
    assert ca(proxy, "enrolled")[1].startswith("user:ann family=any enrolled")
    assert not is_opened(proxy, "a.test", origin.port)


def test_a_user_is_enrolled_wherever_they_come_from(start, origin, origins):
    section = subprocess.run([DEJUNK, "passwd", "ann"], input="secret\n", text=True, check=True,
                             capture_output=True).stdout
    proxy = start(more=section)
    login = ["--proxy-user", "ann:secret"]
    assert curl(proxy, origins.root, "a.test", origin.port, *login) == 0  # not opened
    assert ca(proxy, "enrol", "ann")[0] == 0
    for _ in range(4):
        assert curl(proxy, own_root(proxy), "a.test", origin.port, *login) == 0
    assert curl(proxy, origins.root, "b.test", origin.port, *login) == 60
    wait_for("what was learned", lambda: "client=user:ann" in ca(proxy, "learned")[1])
    wait_for("every worker", lambda: passes_everywhere(proxy, origins.root, "b.test", origin.port, *login))


def test_kept_across_the_ends_of_processes(start, start_proxy, origin):
    proxy = start()
    assert ca(proxy, "enrol", "127.0.0.1")[0] == 0
    for victim in (workers(proxy.pid)[0], admin_pid(proxy)):
        os.kill(victim, signal.SIGKILL)
        wait_for("another one", lambda: len(workers(proxy.pid)) == 2 and
                 victim not in [*workers(proxy.pid), admin_pid(proxy)])
        assert all_workers(lambda: is_opened(proxy, "a.test", origin.port))
    reload(proxy)
    assert all_workers(lambda: is_opened(proxy, "a.test", origin.port))
    assert proxy.stop() == 0
    proxy.start()
    wait_for("enrolments", lambda: is_opened(proxy, "a.test", origin.port))


def test_sections_and_the_list_come_first(start, origin, tmp_path):
    (tmp_path / "list").write_text("# money\nb.test\n")
    proxy = start('site "c.*" { intercept = no }\nno_intercept = "%s"' % (tmp_path / "list"),
                  intercept="all", workers=1)
    assert [is_opened(proxy, host, origin.port) for host in ("a.test", "b.test", "c.test")] == \
        [True, False, False]
    (tmp_path / "list").write_text("a.test\n")
    reload(proxy)
    wait_for("the new list", lambda: not is_opened(proxy, "a.test", origin.port))
    assert is_opened(proxy, "b.test", origin.port)


# ---- what programs refuse ------------------------------------------------------------------------------

def test_an_alert_holds_for_every_worker_and_is_undone(start, origin, origins):
    proxy = start(intercept="all")
    assert curl(proxy, origins.root, "a.test", origin.port) == 60
    wait_for("every worker", lambda: passes_everywhere(proxy, origins.root, "a.test", origin.port))
    assert curl(proxy, origins.root, "b.test", origin.port) == 60  # of that host alone
    out = wait_for("both", lambda: (lambda text: "b.test" in text and text)(ca(proxy, "learned")[1]))
    assert len(out.splitlines()) == 2
    assert re.match(r"a\.test client=127\.0\.0\.1 family=[0-9a-f]{16} refused .* ago, for .* more\n", out)
    assert status(proxy)["https"]["learned"] == 2
    assert "a.test is passed through for 127.0.0.1" in proxy.log()
    assert ca(proxy, "forget", "a.test")[0] == 0
    assert all_workers(lambda: is_opened(proxy, "a.test", origin.port))
    assert curl(proxy, own_root(proxy), "a.test", origin.port) == 0
    assert curl(proxy, origins.root, "a.test", origin.port) == 60


def test_learned_outlives_processes(start, origin, origins):
    proxy = start(intercept="all")
    assert curl(proxy, origins.root, "a.test", origin.port) == 60
    wait_for("every worker", lambda: passes_everywhere(proxy, origins.root, "a.test", origin.port))
    victim = workers(proxy.pid)[0]
    os.kill(victim, signal.SIGKILL)
    wait_for("another one", lambda: len(workers(proxy.pid)) == 2 and victim not in workers(proxy.pid))
    assert passes_everywhere(proxy, origins.root, "a.test", origin.port)
    kept = proxy.directory / "state" / "learned"
    wait_for("its file", lambda: kept.exists() and "tunnel" in kept.read_text())
    assert proxy.stop() == 0
    proxy.start()
    wait_for_control(proxy)
    assert len(families(proxy)) == 1
    wait_for("every worker", lambda: passes_everywhere(proxy, origins.root, "a.test", origin.port))


def test_an_enrolled_address_whose_new_device_lacks_the_authority(start, origin, origins):
    proxy = start()
    assert ca(proxy, "enrol", "127.0.0.1")[0] == 0
    assert curl(proxy, own_root(proxy), "a.test", origin.port) == 0
    for host in ("a.test", "b.test", "c.test"):  # the new one
        assert curl(proxy, origins.root, host, origin.port) == 60
    # Before anybody shakes hands: that would speak for it.
    wait_for_log(proxy, "127.0.0.1 is enrolled no more: three hosts were refused")
    wait_for("every worker", lambda: passes_everywhere(proxy, origins.root, "d.test", origin.port))
    assert re.search(r"^127\.0\.0\.1 family=any ENDED, enrolled .*; refused: a\.test, b\.test, c\.test$",
                     ca(proxy, "enrolled")[1], re.M)
    assert status(proxy)["https"]["enrolled"] == 0 and status(proxy)["https"]["ended"] == 1
    assert ca(proxy, "enrol", "127.0.0.1")[0] == 0  # it trusts us now
    assert all_workers(lambda: is_opened(proxy, "d.test", origin.port))


def test_one_accepted_between_keeps_the_enrolment(start, origin, origins):
    proxy = start(workers=1)
    assert ca(proxy, "enrol", "127.0.0.1")[0] == 0
    for host in ("a.test", "b.test"):
        assert curl(proxy, origins.root, host, origin.port) == 60
    assert curl(proxy, own_root(proxy), "d.test", origin.port) == 0
    assert curl(proxy, origins.root, "c.test", origin.port) == 60
    assert is_opened(proxy, "d.test", origin.port)
    assert status(proxy)["https"]["enrolled"] == 1


def test_a_damaged_file_is_put_aside(start, origin, tmp_path):
    state = tmp_path / "proxy0" / "state"
    state.mkdir(parents=True)
    (state / "learned").write_text("dejunk learned 1\nenrolled 127.0.0.1 any 5 alw")
    proxy = start(workers=1)
    assert "learned is damaged" in proxy.log()
    assert (state / "learned.damaged").exists()
    assert not is_opened(proxy, "a.test", origin.port)
    assert ca(proxy, "enrol", "127.0.0.1")[0] == 0
    assert is_opened(proxy, "a.test", origin.port)


# ---- closes ------------------------------------------------------------------------------------------------

def close_after_certificate(proxy, host, port):
    """A hello, whose answer is read up to our certificate, and then nothing more is said."""
    with Tunnel(proxy, host, port) as tunnel:
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        inside = context.wrap_bio(incoming, outgoing, server_hostname=host)
        with pytest.raises(ssl.SSLWantReadError):
            inside.do_handshake()
        tunnel.send(outgoing.read())
        return tunnel.some(1 << 16)


def test_three_closes_are_a_refusal_and_a_handshake_wipes_them(start, origin):
    proxy = start(workers=1, intercept="all")
    only_old = {"change": lambda context: setattr(context, "maximum_version", 0x0303)}
    for _ in range(2):
        close_after_certificate(proxy, "a.test", origin.port)
    assert is_opened(proxy, "a.test", origin.port, **only_old)  # the same program: it wipes them
    for _ in range(2):
        close_after_certificate(proxy, "a.test", origin.port)
    assert ca(proxy, "learned")[1] == ""
    close_after_certificate(proxy, "a.test", origin.port)
    wait_for("what was learned", lambda: "closed" in ca(proxy, "learned")[1])
    assert not is_opened(proxy, "a.test", origin.port, **only_old)
    assert is_opened(proxy, "a.test", origin.port)  # another program
    assert is_opened(proxy, "b.test", origin.port, **only_old)

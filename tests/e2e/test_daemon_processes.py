"""Master and workers: who is there, who may what, what happens when one of them is killed or stops,
and how the whole ends."""
import os
import resource
import signal
import subprocess
import time

import pytest
from admin_house import admin_pid, command, wait_for_control
from daemon_house import (Download, Held, Load, Tunnel, children, echo, is_running, refuses,
                          status_of, wait_for_log, workers)
from house import DEJUNK, SANITIZED, TOP, ask, assert_quick, free_port, wait_for

AT_ONCE_S = 2.0 if SANITIZED else 0.5


# ---- who is there ---------------------------------------------------------------------------------

@pytest.mark.parametrize("wanted", [1, 3])
def test_as_many_workers_as_asked_for(start_serving, origin, wanted):
    proxy = start_serving(workers=wanted)
    wait_for("workers", lambda: len(workers(proxy.pid)) == wanted)
    assert ask(proxy, origin.url + "/").status == 200


def test_a_worker_for_each_cpu_it_may_run_on(start_serving):
    proxy = start_serving(workers=0)
    wait_for("workers", lambda: len(workers(proxy.pid)) == len(os.sched_getaffinity(proxy.pid)))


@pytest.mark.skipif(SANITIZED, reason="sanitizers need what the jail takes away")
def test_workers_are_jailed(start_serving, origin):
    proxy = start_serving(workers=2)
    assert ask(proxy, origin.url + "/").status == 200
    for pid in workers(proxy.pid):
        assert status_of(pid, "Seccomp") == "2"
        assert status_of(pid, "NoNewPrivs") == "1"
        assert resource.prlimit(pid, resource.RLIMIT_CORE) == (0, 0)
        for fd in os.listdir("/proc/%d/fd" % pid):
            target = os.readlink("/proc/%d/fd/%s" % (pid, fd))
            if target.startswith("/") and int(fd) > 2:
                assert target == "/dev/null", target
            assert "inotify" not in target  # that is the master's


@pytest.mark.skipif(SANITIZED, reason="sanitizers need what the jail takes away")
def test_admin_is_jailed_too(start_serving, origin):
    proxy = start_serving(workers=1)
    assert ask(proxy, "http://dejunk/").status == 200
    pid = admin_pid(proxy)
    assert status_of(pid, "Seccomp") == "2"
    assert status_of(pid, "NoNewPrivs") == "1"
    assert resource.prlimit(pid, resource.RLIMIT_CORE) == (0, 0)


def test_admin_begins_anew_for_another_runtime_directory(start_serving, origin, tmp_path):
    proxy = start_serving(workers=1)
    wait_for_control(proxy)
    proxy.options["runtime_dir"] = str(tmp_path / "elsewhere")
    proxy.write_config()
    os.kill(proxy.pid, signal.SIGHUP)
    wait_for("control socket", (tmp_path / "elsewhere" / "control.sock").exists)
    wait_for("answer", lambda: command(proxy, "status")[0] == 0)
    assert ask(proxy, origin.url + "/").status == 200


PROBE = TOP / "tests/e2e/jail_probe.c"


@pytest.mark.skipif(SANITIZED, reason="the probe would come before the sanitizer")
def test_a_worker_that_tries_what_is_forbidden_goes_on_serving(start_serving, origin, tmp_path,
                                                               monkeypatch):
    """From inside a real worker: a library beside it tries, and tells on standard error."""
    library = tmp_path / "probe.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-o", str(library), str(PROBE)], check=True)
    monkeypatch.setenv("LD_PRELOAD", str(library))
    proxy = start_serving(workers=1)
    monkeypatch.delenv("LD_PRELOAD")
    pid = workers(proxy.pid)
    assert ask(proxy, origin.url + "/").status == 200
    wait_for_log(proxy, "probe: done")
    for name in ("open", "exec", "ptrace", "netlink", "unix", "fork", "bind"):
        assert "probe: %s refused" % name in proxy.log()
    assert "allowed" not in proxy.log()
    assert ask(proxy, origin.url + "/").status == 200
    assert workers(proxy.pid) == pid


# ---- one of them ends -----------------------------------------------------------------------------

@pytest.mark.parametrize("count", [1, 2])
def test_killed_worker_is_replaced_under_load(start_serving, origin, count):
    proxy = start_serving(workers=count)
    slowest = []
    with Load(proxy, origin.url + "/") as load:
        usual = max(seconds for _, seconds, _ in load.done)
        for _ in range(2):  # a third would be three in ten seconds, which waits
            victim = workers(proxy.pid)[0]
            os.kill(victim, signal.SIGKILL)
            wait_for("its end", lambda one=victim: not is_running(one))
            ended, known = time.monotonic(), len(load.done)
            wait_for("new worker", lambda one=victim: len(workers(proxy.pid)) == count and
                     one not in workers(proxy.pid))
            load.more()
            after = [one for one in load.done[known:] if one[0] >= ended]
            assert after and all(status == 200 for _, _, status in after), load.failed()
            slowest.append(max(seconds for _, seconds, _ in after))
    assert min(slowest) < AT_ONCE_S + usual, (slowest, usual)
    assert len(load.failed()) <= 2 * len(load.threads)  # what was under way in a victim


def test_worker_that_crashes_again_and_again_waits(start_serving, origin):
    proxy = start_serving(workers=1)
    for _ in range(4):
        victim = wait_for("worker", lambda: [one for one in workers(proxy.pid) if is_running(one)])[0]
        os.kill(victim, signal.SIGKILL)
        wait_for("its end", lambda one=victim: not is_running(one))
    wait_for_log(proxy, r"the next start is in 250 ms")
    wait_for_log(proxy, r"the next start is in 500 ms")
    assert ask(proxy, origin.url + "/").status == 200


def test_stopped_worker_is_replaced(start_serving, origin):
    proxy = start_serving(workers=2)
    victim = wait_for("workers", lambda: workers(proxy.pid))[0]
    stopped = time.monotonic()
    os.kill(victim, signal.SIGSTOP)
    wait_for("its end", lambda: not is_running(victim), 12.0)
    assert time.monotonic() - stopped > 5  # not for a short hiccup
    wait_for("new worker", lambda: len(workers(proxy.pid)) == 2 and victim not in workers(proxy.pid))
    assert ask(proxy, origin.url + "/").status == 200


def test_workers_end_with_a_killed_master(start_serving, origin):
    proxy = start_serving(workers=2)
    assert ask(proxy, origin.url + "/").status == 200
    pids = workers(proxy.pid)
    stopped = pids[0]
    os.kill(stopped, signal.SIGSTOP)  # even one that cannot see it by itself
    proxy.process.kill()
    proxy.process.wait()
    proxy.process = None
    wait_for("the end of all workers", lambda: not any(is_running(pid) for pid in pids))
    wait_for("nobody listening", lambda: refuses(proxy.port))


def test_counters_and_sockets_do_not_leak_over_many_deaths(start_serving, origin):
    proxy = start_serving(workers=1)
    fds = "/proc/%d/fd" % proxy.pid
    assert ask(proxy, origin.url + "/").status == 200
    before = len(os.listdir(fds))
    for _ in range(3):
        victim = wait_for("worker", lambda: workers(proxy.pid))[0]
        os.kill(victim, signal.SIGKILL)
        wait_for("new worker", lambda: workers(proxy.pid) not in ([], [victim]))
        assert ask(proxy, origin.url + "/").status == 200
    wait_for("the descriptors of before", lambda: len(os.listdir(fds)) == before)


# ---- the end --------------------------------------------------------------------------------------

def test_term_drains(start_serving, start_origin):
    held = Held()
    origin = start_origin(held)
    echoes = start_origin(echo)
    proxy = start_serving(drain="20s")
    download = Download(proxy, origin.url + "/held", len(held.half))
    tunnel = Tunnel(proxy, echoes.port)
    proxy.process.terminate()
    wait_for("nobody listening", lambda: refuses(proxy.port))
    tunnel.says(b"still here")
    held.go_on.set()
    assert download.finish() == held.body
    assert proxy.process.poll() is None
    tunnel.close()
    assert proxy.process.wait(30) == 0


def test_drain_has_an_end(start_serving, start_origin):
    held = Held()
    origin = start_origin(held)
    proxy = start_serving(drain="1s")
    download = Download(proxy, origin.url + "/held", len(held.half))
    began = time.monotonic()
    proxy.process.terminate()
    assert proxy.process.wait(30) == 0
    assert 0.9 < time.monotonic() - began < 5
    held.go_on.set()
    assert download.finish() != held.body


@pytest.mark.parametrize("first, second", [(signal.SIGTERM, signal.SIGTERM),
                                           (signal.SIGINT, signal.SIGTERM)])
def test_second_signal_ends_at_once(start_serving, start_origin, first, second):
    held = Held()
    origin = start_origin(held)

    def end():
        proxy = start_serving(drain="60s")
        download = Download(proxy, origin.url + "/held", len(held.half))
        pids = workers(proxy.pid)
        proxy.process.send_signal(first)
        wait_for("nobody listening", lambda: refuses(proxy.port))
        began = time.monotonic()
        proxy.process.send_signal(second)
        assert proxy.process.wait(30) == 0
        took = time.monotonic() - began
        assert not any(is_running(pid) for pid in pids)
        held.go_on.set()
        assert download.finish() != held.body
        held.go_on.clear()
        return took
    assert_quick("the end", AT_ONCE_S, end)


def test_ctrl_c_reaches_workers_too_and_drains_all_the_same(start_serving, start_origin):
    held = Held()
    origin = start_origin(held)
    proxy = start_serving(drain="20s")
    download = Download(proxy, origin.url + "/held", len(held.half))
    for pid in [proxy.pid] + workers(proxy.pid):  # as a terminal does
        os.kill(pid, signal.SIGINT)
    wait_for("nobody listening", lambda: refuses(proxy.port))
    held.go_on.set()
    assert download.finish() == held.body
    assert proxy.process.wait(30) == 0


@pytest.mark.parametrize("numbers", [[signal.SIGTERM], [signal.SIGHUP, signal.SIGUSR1],
                                     [signal.SIGINT, signal.SIGINT]])
def test_signals_before_it_serves_are_obeyed(start_proxy, numbers):
    proxy = start_proxy(workers=2)  # listening, but its rules are still being made
    for number in numbers:
        proxy.process.send_signal(number)
    if signal.SIGHUP in numbers:
        wait_for_log(proxy, "config 2 is in force")
    else:
        assert proxy.process.wait(30) == 0


# ---- the beginning --------------------------------------------------------------------------------

def start(tmp_path, config, *more):
    path = tmp_path / "proxy.conf"
    path.write_text(config)
    return subprocess.run([str(DEJUNK), "run", "-c", str(path), "-D",
                           "state_dir=%s" % tmp_path, *more], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60,
                          check=False)


def test_bad_config_starts_nothing(tmp_path):
    done = start(tmp_path, "via = no\nlissten = { \"127.0.0.1:0\" }\n")
    assert done.returncode == 78
    assert "proxy.conf:2: " in done.stdout and "listen" in done.stdout


def test_address_in_use_is_said(start_serving, tmp_path):
    proxy = start_serving()
    done = start(tmp_path, "listen = { \"127.0.0.1:%d\" }\n" % proxy.port)
    assert done.returncode == 69
    assert "127.0.0.1:%d" % proxy.port in done.stdout and "in use" in done.stdout


def test_log_that_cannot_be_opened_is_said(tmp_path):
    done = start(tmp_path, "listen = { \"127.0.0.1:%d\" }\naccess_log = \"json\"\n"
                 "access_log_file = \"%s/no/such/log\"\n" % (free_port(), tmp_path))
    assert done.returncode == 71
    assert "no/such/log" in done.stdout


def test_a_state_directory_that_cannot_be_made_stops_nothing(start_serving, origin, tmp_path):
    (tmp_path / "file").write_text("")
    proxy = start_serving(state_dir=str(tmp_path / "file" / "state"))
    assert ask(proxy, origin.url + "/").status == 200
    assert "pseudonym" in proxy.log()


def test_the_pseudonym_is_made_once(start_serving, origin):
    proxy = start_serving()
    path = proxy.directory / "state" / "via-pseudonym"
    first = path.read_text()
    assert first.startswith("dejunk-") and path.stat().st_mode & 0o77 == 0
    proxy.stop()
    proxy.start()
    assert path.read_text() == first
    path.write_text("no pseudonym of ours\n")
    proxy.stop()
    proxy.start()
    assert path.read_text().startswith("dejunk-") and path.read_text() != first


def test_the_secret_is_made_once(start_serving, origin):
    proxy = start_serving()
    path = proxy.directory / "state" / "site-secret"
    first = path.read_text()
    assert len(bytes.fromhex(first)) == 32 and path.stat().st_mode & 0o77 == 0
    proxy.stop()
    proxy.start()
    assert path.read_text() == first


def test_no_processes_are_left_over(start_serving, origin):
    proxy = start_serving(workers=2)
    assert ask(proxy, origin.url + "/").status == 200
    pids = children(proxy.pid)
    assert proxy.stop() == 0
    assert not any(is_running(pid) for pid in pids)

"""dejunk as a service: the test plays systemd, passes a socket and listens to what it is told; the
units are verified, weighed, and their filter of system calls is put around a running dejunk."""
import ctypes
import ctypes.util
import errno
import os
import re
import signal
import socket
import subprocess
import time

import pytest
from daemon_house import (Download, Held, Load, Tunnel, echo, is_running, refuses, reload,
                          wait_for_log, workers)
from house import DEJUNK, SANITIZED, TOP, Proxy, ask, die_with_us, free_port, wait_for


# ---- systemd is played ----------------------------------------------------------------------------

class Manager:
    """Starts dejunk as systemd would from the unit's command line, and hears what it says."""

    def __init__(self, directory, sockets=(), watchdog_s=0, wrap=None, **options):
        self.path = str(directory / "notify")
        self.heard = []
        self.told = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.told.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self.told.bind(self.path)
        self.told.settimeout(0.05)
        self.sockets = list(sockets)
        self.watchdog_s = watchdog_s
        self.wrap = wrap
        self.proxy = Proxy(directory / "service", **options)
        if self.sockets:
            self.proxy.options["listen"] = ["127.0.0.1:%d" % free_port()]  # not to be opened

    def start(self):
        env = dict(os.environ, NOTIFY_SOCKET=self.path)
        script = "export LISTEN_PID=$$ WATCHDOG_PID=$$; exec \"$@\""
        if self.sockets:
            env["LISTEN_FDS"] = str(len(self.sockets))
            for number, sock in enumerate(self.sockets):
                script += " %d<&%d" % (3 + number, sock.fileno())
            self.proxy.port = self.sockets[0].getsockname()[1]
        else:
            self.proxy.port = free_port()
            self.proxy.options["listen"] = ["127.0.0.1:%d" % self.proxy.port]
        if self.watchdog_s:
            env["WATCHDOG_USEC"] = str(int(self.watchdog_s * 1e6))

        def before():
            die_with_us()
            if self.wrap:
                self.wrap()
        config = self.proxy.write_config()
        with open(self.proxy.log_path, "ab") as log:
            self.proxy.process = subprocess.Popen(
                ["/bin/bash", "-c", script, "bash", str(DEJUNK), "run", "-c", str(config)],
                env=env, cwd=TOP, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                pass_fds=[sock.fileno() for sock in self.sockets], preexec_fn=before)
        return self

    def listen(self):
        try:
            while True:
                text, control, _, _ = self.told.recvmsg(4096, socket.CMSG_SPACE(12))
                pid = int.from_bytes(control[0][2][:4], "little")
                self.heard.append((pid, text.decode()))
        except (socket.timeout, BlockingIOError):
            pass

    def wait_for(self, pattern, after=0, limit_s=30.0):
        """The number of the first message from `after` on that has this line."""
        def look():
            self.listen()
            for number, (_, text) in enumerate(self.heard[after:], after):
                if re.search(r"^%s$" % pattern, text, re.M):
                    return number + 1
            return 0
        return wait_for("'%s' from the service" % pattern, look, limit_s) - 1

    def stop(self):
        self.proxy.stop()
        self.told.close()


@pytest.fixture
def start_service(tmp_path):
    started = []

    def start(**options):
        manager = Manager(tmp_path, **options)
        started.append(manager)
        return manager.start()
    yield start
    for manager in started:
        manager.stop()


@pytest.fixture
def passed_socket():
    with socket.create_server(("127.0.0.1", 0), backlog=512) as sock:
        yield sock


def test_the_life_of_a_service(start_service, passed_socket, origin):
    service = start_service(sockets=[passed_socket], watchdog_s=0.4, workers=2)
    proxy = service.proxy
    ready = service.wait_for("READY=1")
    assert re.search("^STATUS=2 of 2 workers serve, config 1$", service.heard[ready][1], re.M)
    assert ask(proxy, origin.url + "/").status == 200
    for _ in range(3):
        ready = service.wait_for("WATCHDOG=1", ready + 1)
    before = time.clock_gettime(time.CLOCK_MONOTONIC)
    os.kill(proxy.pid, signal.SIGHUP)
    at = service.wait_for("RELOADING=1", ready)
    usec = re.search(r"^MONOTONIC_USEC=(\d+)$", service.heard[at][1], re.M)
    assert before <= int(usec.group(1)) / 1e6 <= time.clock_gettime(time.CLOCK_MONOTONIC)
    at = service.wait_for("READY=1", at + 1)
    assert "config 2" in service.heard[at][1]
    proxy.more = "bad = 1"
    proxy.write_config()
    os.kill(proxy.pid, signal.SIGHUP)
    at = service.wait_for("RELOADING=1", at + 1)
    at = service.wait_for("READY=1", at + 1)
    assert "the last reload failed" in service.heard[at][1] and "bad" in service.heard[at][1]
    proxy.process.terminate()
    service.wait_for("STOPPING=1", at + 1)
    assert proxy.process.wait(30) == 0
    assert {pid for pid, _ in service.heard} == {proxy.pid}


def test_a_passed_socket_is_the_only_one_and_stays(start_service, passed_socket, origin):
    service = start_service(sockets=[passed_socket])
    proxy = service.proxy
    service.wait_for("READY=1")
    port = int(proxy.options["listen"][0].rpartition(":")[2])
    assert refuses(port)
    assert "listening on 127.0.0.1:%d, passed by systemd" % proxy.port in proxy.log()
    reload(proxy)
    assert refuses(port)
    assert ask(proxy, origin.url + "/").status == 200
    proxy.process.terminate()
    assert proxy.process.wait(30) == 0
    waiting = proxy.connect()  # systemd's socket is still there, and the next start serves it
    service.start()
    waiting.sendall(b"GET %s/ HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" % origin.url.encode())
    assert waiting.recv(12) == b"HTTP/1.1 200"
    waiting.close()


def test_a_killed_master_is_started_anew_and_no_connection_refused(start_service, passed_socket,
                                                                   origin):
    """The manager has the socket, and starts what ended by a signal (Restart=on-failure)."""
    assert "\nRestart=on-failure\n" in (TOP / "conf/dejunk.service").read_text()
    service = start_service(sockets=[passed_socket], workers=2)
    proxy = service.proxy
    service.wait_for("READY=1")
    with Load(proxy, origin.url + "/") as load:
        proxy.process.kill()
        proxy.process.wait()
        service.start()
        load.more()
    # What was under way; of the two workers one ends a little later.
    assert len(load.failed()) <= 2 * len(load.threads)


def test_two_passed_sockets(start_service, passed_socket, origin):
    with socket.create_server(("127.0.0.1", 0)) as other:
        service = start_service(sockets=[passed_socket, other])
        service.wait_for("READY=1")
        for sock in (passed_socket, other):
            service.proxy.port = sock.getsockname()[1]
            assert ask(service.proxy, origin.url + "/").status == 200


def test_a_passed_socket_of_another_kind_is_refused(start_service):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.bind(("127.0.0.1", 0))
        service = start_service(sockets=[udp])
        assert service.proxy.process.wait(30) == 78
        assert "no listening TCP socket" in service.proxy.log()


def test_no_ready_before_it_serves(start_service, origin):
    service = start_service(workers=2)
    service.wait_for("READY=1")
    assert ask(service.proxy, origin.url + "/").status == 200  # no waiting


def test_a_bad_config_never_gets_ready(start_service):
    service = start_service(workers="many")
    assert service.proxy.process.wait(30) == 78
    service.listen()
    assert not service.heard


def test_the_manager_is_told_of_a_successor(start_service, passed_socket, start_origin):
    held = Held()
    origin = start_origin(held)
    echoes = start_origin(echo)
    service = start_service(sockets=[passed_socket], watchdog_s=0.4)
    proxy = service.proxy
    service.wait_for("READY=1")
    old = proxy.pid
    download = Download(proxy, origin.url + "/held", len(held.half))
    tunnel = Tunnel(proxy, echoes.port)
    os.kill(old, signal.SIGUSR2)
    at = service.wait_for(r"MAINPID=\d+")
    pid, text = service.heard[at]
    new = int(text.partition("=")[2])
    assert pid == old != new
    try:
        at = service.wait_for("READY=1", at)
        assert service.heard[at][0] == new
        at = service.wait_for("WATCHDOG=1", at)
        at = service.wait_for("WATCHDOG=1", at + 1)
        assert {pid for pid, _ in service.heard[at:]} == {new}
        tunnel.says(b"still here")
        held.go_on.set()
        assert download.finish() == held.body
        tunnel.close()
        assert proxy.process.wait(30) == 0
        assert "STOPPING=1" not in "".join(text for _, text in service.heard)
        assert ask(proxy, origin.url + "/quick").status == 200  # on systemd's socket, by the new one
        os.kill(new, signal.SIGTERM)
        at = service.wait_for("STOPPING=1", at)
        assert service.heard[at][0] == new
    finally:
        if is_running(new):
            os.kill(new, signal.SIGTERM)
        wait_for("its end", lambda: not is_running(new))


# ---- the units ------------------------------------------------------------------------------------

def analyze(*words):
    done = subprocess.run(["systemd-analyze", *words], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    return done.returncode, done.stdout


@pytest.fixture
def units(tmp_path):
    """As `make install` puts them, with a program that is there."""
    text = (TOP / "conf/dejunk.service").read_text()
    (tmp_path / "dejunk.service").write_text(text.replace("/usr/local/bin/dejunk", str(DEJUNK)))
    (tmp_path / "dejunk.socket").write_text((TOP / "conf/dejunk.socket").read_text())
    return [str(tmp_path / name) for name in ("dejunk.service", "dejunk.socket")]


def test_units_are_verified(units):
    code, said = analyze("verify", "--man=no", *units)
    assert (code, said) == (0, "")


def test_unit_is_tight(units):
    code, said = analyze("security", "--offline=yes", "--threshold=15", units[0])
    assert code == 0, said
    assert float(re.search(r"exposure level for dejunk.service: (\S+)", said).group(1)) <= 1.2


def test_installed_units_name_the_installed_program():
    text = (TOP / "conf/dejunk.service").read_text()
    assert "ExecStart=/usr/local/bin/dejunk run\n" in text


def calls_of_group(name):
    code, said = analyze("syscall-filter", name)
    assert code == 0, said
    names = set()
    for line in said.splitlines():
        word = line.strip()
        if not word or word.startswith("#") or word == name:
            continue
        names |= calls_of_group(word) if word.startswith("@") else {word}
    return names


def calls_the_unit_allows():
    """SystemCallFilter=, line by line, as systemd.exec(5) says: added, or with ~ taken away."""
    allowed = calls_of_group("@default")
    for words in re.findall(r"^SystemCallFilter=(.*)$", (TOP / "conf/dejunk.service").read_text(),
                            re.M):
        takes = words.startswith("~")
        named = set()
        for word in words.lstrip("~").split():
            named |= calls_of_group(word) if word.startswith("@") else {word}
        allowed = allowed - named if takes else allowed | named
    return allowed


def filter_calls(allowed):
    """Puts a seccomp filter around the caller: what is not in `allowed` fails with EPERM."""
    library = ctypes.CDLL("libseccomp.so.2")
    library.seccomp_init.restype = ctypes.c_void_p
    library.seccomp_rule_add_array.argtypes = [ctypes.c_void_p, ctypes.c_uint32, ctypes.c_int,
                                               ctypes.c_uint, ctypes.c_void_p]
    library.seccomp_load.argtypes = [ctypes.c_void_p]
    allow, refuse = 0x7fff0000, 0x00050000 | errno.EPERM
    rules = library.seccomp_init(refuse)
    for name in sorted(allowed):
        number = library.seccomp_syscall_resolve_name(name.encode())
        if number >= 0:
            library.seccomp_rule_add_array(rules, allow, number, 0, None)
    if library.seccomp_load(rules) != 0:
        os._exit(99)


@pytest.mark.skipif(SANITIZED, reason="of the released binary")
def test_the_units_filter_of_system_calls_is_wide_enough(start_service, passed_socket, start_origin):
    """Everything a master does: start, replace a worker, reload, see new names, start a successor."""
    held = Held()
    origin = start_origin(held)
    allowed = calls_the_unit_allows()
    assert "ptrace" not in allowed and "mount" not in allowed and "execve" in allowed
    service = start_service(sockets=[passed_socket], workers=2, wrap=lambda: filter_calls(allowed))
    proxy = service.proxy
    service.wait_for("READY=1")
    victim = workers(proxy.pid)[0]
    os.kill(victim, signal.SIGKILL)
    wait_for("new worker", lambda: len(workers(proxy.pid)) == 2 and
             victim not in workers(proxy.pid))
    (proxy.directory / "resolv.conf").write_text("nameserver 127.0.0.1:1\n")
    wait_for_log(proxy, "resolv.conf or hosts changed")
    reload(proxy)
    with Load(proxy, origin.url + "/quick") as load:
        os.kill(proxy.pid, signal.SIGUSR2)
        at = service.wait_for(r"MAINPID=\d+")
        new = int(service.heard[at][1].partition("=")[2])
        load.more()
    assert proxy.process.wait(30) == 0
    assert all(status is None or status == 200 for _, _, status in load.done)
    os.kill(new, signal.SIGTERM)
    wait_for("its end", lambda: not is_running(new))
    assert "error master" not in proxy.log().replace(
        "was ended by signal 9", "").replace("error master: worker", "")

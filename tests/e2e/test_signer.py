"""The signer: who has the key and who has not, what a worker can do to it and ask of it, what happens
when it is killed."""
import base64
import contextlib
import ctypes
import os
import re
import signal
import socket
import struct
import subprocess
import threading

import pytest
from daemon_house import children, is_running, reload, status_of, wait_for_log, workers
from house import DEJUNK, SANITIZED, TOP, Closed, wait_for
from intercept_house import (Authority, Tunnel, fetch, hello, is_ours, openssl, own_root, secure)

PASSPHRASE = "correct horse battery"
HOSTS = "127.0.0.1 good.test other.test new.test\n"


@pytest.fixture(scope="module")
def origins(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("pki") / "origins")


@pytest.fixture
def good(start_origin, origins):
    context = origins.server("DNS:good.test", "DNS:other.test", "DNS:new.test", "IP:127.0.0.1")
    return start_origin(secure(context, hello()))


@pytest.fixture
def start(tmp_path, start_proxy, origins):
    def started(**options):
        (tmp_path / "hosts").write_text(HOSTS)
        (tmp_path / "rules.d").mkdir(exist_ok=True)
        (tmp_path / "none.txt").write_text("")
        options.setdefault("intercept", "all")
        proxy = start_proxy('list "ours" { file = "%s" }' % (tmp_path / "none.txt"),
                            extra_ca=[str(origins.root)], hosts_file=str(tmp_path / "hosts"),
                            rules_dir=str(tmp_path / "rules.d"), **options)
        wait_for_log(proxy, "master: serves")
        return proxy
    return started


def signer(proxy):
    return next((one for one in children(proxy.pid) if status_of(one, "Name") == "signer"), None)


def vault(proxy):
    return proxy.directory / "state" / "ca" / "authority.pem"


# ---- the key is nowhere else ------------------------------------------------------------------------

class Memory:
    """All that a process has in memory, as a core dump would have it. Needs to be root."""

    def __init__(self, pid):
        self.parts = []
        with open("/proc/%d/maps" % pid, encoding="ascii", errors="replace") as maps, \
                open("/proc/%d/mem" % pid, "rb", 0) as memory:
            for line in maps:
                match = re.match(r"([0-9a-f]+)-([0-9a-f]+) r", line)
                if not match or "[v" in line:  # vvar, vsyscall
                    continue
                first, last = (int(one, 16) for one in match.groups())
                with contextlib.suppress(OSError):
                    memory.seek(first)
                    self.parts.append(memory.read(last - first))

    def has(self, needle):
        return any(needle in part for part in self.parts)


def secrets_of(pem, passphrase=None):
    """What of a private key could be found: DER whole and as PKCS #8, its number as bytes and as limbs,
    the text of its file."""
    arguments = ["-passin", "pass:" + passphrase] if passphrase else []
    text = openssl("pkey", "-text", "-noout", *arguments, stdin=pem)
    digits = re.search(r"priv:\n((?:\s+[0-9a-f:]+\n)+)", text).group(1)
    number = bytes.fromhex(re.sub(r"[\s:]", "", digits)).rjust(32, b"\0")[-32:]
    found = {"number": number, "limbs": number[::-1]}
    for name, form in (("pkcs8", []), ("sec1", ["-traditional"])):
        plain = openssl("pkey", *form, *arguments, stdin=pem)
        lines = [line for line in plain.splitlines() if not line.startswith("-----")]
        found[name] = base64.b64decode("".join(lines))
        found[name + " text"] = lines[0].encode() + b"\n" + lines[1][:20].encode()
    return found


def pem_blocks(text, kind):
    return re.findall(r"-----BEGIN %s-----.*?-----END %s-----\n" % (kind, kind), text, re.S)


@pytest.mark.skipif(os.geteuid() != 0, reason="looks into memory, as only root may")
@pytest.mark.skipif(SANITIZED, reason="terabytes of shadow memory")
def test_no_other_process_has_a_key(start, good, tmp_path, start_proxy):
    # An authority whose root key was kept, so that there are two keys to be looked for.
    state = tmp_path / "proxy0" / "state"
    state.mkdir(parents=True)
    subprocess.run([str(DEJUNK), "ca", "-D", 'state_dir="%s"' % state, "--keep-root", "export",
                    str(tmp_path / "root.pem")], input=PASSPHRASE + "\n", text=True, check=True,
                   capture_output=True)
    proxy = start(workers=2)
    text = vault(proxy).read_text()
    secrets = {"root's " + name: one for name, one in
               secrets_of(pem_blocks(text, "ENCRYPTED PRIVATE KEY")[0], PASSPHRASE).items()}
    key = secrets_of(pem_blocks(text, "PRIVATE KEY")[0])
    secrets.update({"signer's " + name: one for name, one in key.items()})
    stop = threading.Event()

    def load():
        while not stop.is_set():
            with contextlib.suppress(OSError, Closed):
                fetch(proxy, own_root(proxy), "good.test", good.port)
    threads = [threading.Thread(target=load, daemon=True) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        wait_for("leaves", lambda: proxy.log().count("signed for") >= 2)
        victim = workers(proxy.pid)[0]  # what a worker that began later has got, too
        os.kill(victim, signal.SIGKILL)
        wait_for("another worker", lambda: len(workers(proxy.pid)) == 2 and
                 victim not in workers(proxy.pid))
        everybody = [proxy.pid] + [one for one in children(proxy.pid) if one != signer(proxy)]
        assert len(everybody) == 4  # master, admin, two workers
        for pid in everybody:
            memory = Memory(pid)
            assert sum(len(part) for part in memory.parts) > 1 << 20
            for name, secret in secrets.items():
                assert not memory.has(secret), (status_of(pid, "Name"), name)
    finally:
        stop.set()
        for thread in threads:
            thread.join(30)
    # The search does find what is there.
    assert Memory(signer(proxy)).has(key["limbs"])


# ---- what it may do, and what may be done to it -------------------------------------------------------

@pytest.mark.skipif(SANITIZED, reason="sanitizers need what the jail takes away")
def test_the_signer_has_nothing_but_lines_to_us(start, good):
    proxy = start(workers=2)
    assert fetch(proxy, own_root(proxy), "good.test", good.port).status == 200
    pid = signer(proxy)
    assert status_of(pid, "Seccomp") == "2"
    assert status_of(pid, "NoNewPrivs") == "1"
    assert int(status_of(pid, "VmLck").split()[0]) > 0
    with open("/proc/net/unix", encoding="ascii") as file:
        unix = {line.split()[6] for line in file}
    others = []
    for fd in os.listdir("/proc/%d/fd" % pid):
        target = os.readlink("/proc/%d/fd/%s" % (pid, fd))
        if target.startswith("socket:"):
            assert target[8:-1] in unix, target  # of no network
        elif int(fd) > 2:
            others.append(target)
    assert set(others) <= {"anon_inode:[eventpoll]", "anon_inode:[eventfd]",
                           "anon_inode:[timerfd]"}, others


@pytest.mark.skipif(SANITIZED, reason="the probe would come before the sanitizer")
def test_a_worker_cannot_get_at_the_key(start, good, tmp_path, monkeypatch):
    library = tmp_path / "probe.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-o", str(library),
                    str(TOP / "tests/e2e/signer_probe.c")], check=True)
    monkeypatch.setenv("LD_PRELOAD", str(library))
    monkeypatch.setenv("DEJUNK_PROBE_KEY", str(tmp_path / "proxy0/state/ca/authority.pem"))
    proxy = start(workers=1)
    monkeypatch.delenv("LD_PRELOAD")
    pid = signer(proxy)
    wait_for_log(proxy, "probe: done")
    assert vault(proxy).exists()
    for name in ("key", "mem", "maps", "attach", "seize", "vm", "pidfd", "kill"):
        assert "probe: %s refused" % name in proxy.log(), name
    assert "allowed" not in proxy.log()
    assert fetch(proxy, own_root(proxy), "good.test", good.port).status == 200
    assert signer(proxy) == pid


# ---- what a worker can ask ------------------------------------------------------------------------------

def peer_inodes():
    """{inode: inode of the other end} of unix sockets (sock_diag(7))."""
    found = {}
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 4) as diag:
        ask = struct.pack("=BBHIIIII", 1, 0, 0, 0xffffffff, 0, 4, 0, 0)
        diag.send(struct.pack("=IHHII", 16 + len(ask), 20, 0x301, 1, 0) + ask)
        while True:
            data = diag.recv(1 << 20)
            while data:
                size, kind = struct.unpack("=IH", data[:6])
                if kind in (2, 3):  # an error, the end
                    return found
                inode = struct.unpack("=I", data[20:24])[0]
                at = 32
                while at + 4 <= size:
                    length, attribute = struct.unpack("=HH", data[at:at + 4])
                    if attribute == 2:
                        found[inode] = struct.unpack("=I", data[at + 4:at + 8])[0]
                    at += (length + 3) & ~3
                data = data[(size + 3) & ~3:]


def sockets_by_inode(pid):
    found = {}
    for fd in os.listdir("/proc/%d/fd" % pid):
        target = os.readlink("/proc/%d/fd/%s" % (pid, fd))
        if target.startswith("socket:"):
            found[int(target[8:-1])] = int(fd)
    return found


@contextlib.contextmanager
def line_of(worker, signer_pid):
    """The worker's own line to the signer, while the worker is stopped."""
    os.kill(worker, signal.SIGSTOP)
    try:
        theirs, peers = sockets_by_inode(signer_pid), peer_inodes()
        fd = next(number for inode, number in sockets_by_inode(worker).items()
                  if peers.get(inode) in theirs)
        pidfd = os.pidfd_open(worker)
        own = ctypes.CDLL(None, use_errno=True).syscall(438, pidfd, fd, 0)  # pidfd_getfd
        os.close(pidfd)
        assert own >= 0, os.strerror(ctypes.get_errno())
        with socket.socket(fileno=own) as line:
            line.settimeout(5)
            line.setblocking(True)
            yield line
    finally:
        os.kill(worker, signal.SIGCONT)


def public_point():
    pem = openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256")
    der = subprocess.run(["openssl", "pkey", "-pubout", "-outform", "DER"], input=pem.encode(),
                         capture_output=True, check=True).stdout
    return der[-65:]


def ask_signer(line, number, point, lifetime_s=7 * 24 * 3600, usages=1, is_authority=0,
               name=b"good.test"):
    """(outcome, certificate), as trust/sign.h has it."""
    line.sendall(b"djs1" + struct.pack(">BIIBB", 1, number, lifetime_s, usages, is_authority) + point +
                 struct.pack(">BBB", 1, 1, len(name)) + name)
    packet = line.recv(40000)
    magic, kind, got, outcome, size = struct.unpack(">4sBIBH", packet[:12])
    assert (magic, kind, got) == (b"djs1", 2, number) and size == len(packet) - 12
    return outcome, packet[12:]


@pytest.mark.skipif(os.geteuid() != 0, reason="takes a descriptor of a worker, as only root may")
def test_what_a_worker_cannot_have_signed(start, good):
    proxy = start(workers=1, leaf_rate=5, leaf_burst=12)
    done, is_authority, too_long, usage, rate = 0, 1, 2, 3, 6
    point = public_point()
    with line_of(workers(proxy.pid)[0], signer(proxy)) as line:
        outcome, certificate = ask_signer(line, 1, point)
        assert outcome == done
        assert ask_signer(line, 2, point, is_authority=1) == (is_authority, b"")
        assert ask_signer(line, 3, point, lifetime_s=10 * 366 * 86400) == (too_long, b"")
        assert ask_signer(line, 4, point, usages=2) == (usage, b"")  # clientAuth
        assert ask_signer(line, 5, point, usages=3) == (usage, b"")
        assert rate in [ask_signer(line, 6 + i, point)[0] for i in range(60)]
    text = subprocess.run(["openssl", "x509", "-inform", "DER", "-noout", "-text"], input=certificate,
                          capture_output=True, check=True).stdout.decode()
    assert "CA:FALSE" in text and "TLS Web Server Authentication" in text
    assert "Client" not in text and "Certificate Sign" not in text
    for words in ("no authorities are signed", "longer than 7 days", "for servers alone",
                  "signed for worker 0: good.test", "too many at once"):
        wait_for_log(proxy, words)
    assert proxy.log().count("refused to worker 0") < 20  # the log is not filled with it


@pytest.mark.skipif(os.geteuid() != 0, reason="takes a descriptor of a worker, as only root may")
def test_a_worker_that_talks_nonsense_is_heard_no_more(start, good):
    proxy = start(workers=2)
    pid, victim = signer(proxy), workers(proxy.pid)[0]
    with line_of(victim, pid) as line:
        line.sendall(b"nonsense")
        assert line.recv(1) == b""
    wait_for_log(proxy, "is heard no more")
    os.kill(victim, signal.SIGKILL)  # another one gets another line
    wait_for("another worker", lambda: len(workers(proxy.pid)) == 2 and
             victim not in workers(proxy.pid))
    for _ in range(6):
        assert fetch(proxy, own_root(proxy), "good.test", good.port).status == 200
    assert signer(proxy) == pid


# ---- it ends --------------------------------------------------------------------------------------------

def test_killed_and_there_again(start, good):
    proxy = start(workers=2)
    assert fetch(proxy, own_root(proxy), "good.test", good.port).status == 200
    first = signer(proxy)
    os.kill(first, signal.SIGKILL)
    wait_for("another signer", lambda: signer(proxy) not in (None, first))
    wait_for_log(proxy, "signer: signs for", 2)
    assert fetch(proxy, own_root(proxy), "good.test", good.port).status == 200
    for host in ("new.test", "other.test"):  # each worker has a new line to it
        wait_for(host, lambda name=host: all(works(proxy, name, good.port) for _ in range(6)))


def test_while_it_is_away_kept_leaves_go_on_and_new_hosts_fail(start, good, start_origin, origins):
    other = start_origin(secure(origins.server("DNS:other.test", "DNS:new.test"), hello()))
    proxy = start(workers=1)
    assert fetch(proxy, own_root(proxy), "good.test", good.port).status == 200
    for host, wait_ms in (("other.test", 1000), ("new.test", 4000)):
        while "signer ended 3 times in short time, the next start is in %d ms" % wait_ms not in proxy.log():
            victim = wait_for("signer", lambda: signer(proxy))  # each time it waits for longer
            os.kill(victim, signal.SIGKILL)
            wait_for("its end", lambda one=victim: not is_running(one))
        kept, is_new = works(proxy, "good.test", good.port), works(proxy, host, other.port)
        if signer(proxy) is None:
            break  # it was away all the time; else the machine is slow, and it is to be away for longer
    assert signer(proxy) is None and kept and not is_new
    wait_for("the new host", lambda: works(proxy, host, other.port))


def works(proxy, host, port):
    with contextlib.suppress(OSError, Closed):
        return fetch(proxy, own_root(proxy), host, port).status == 200
    return False


# ---- another authority ------------------------------------------------------------------------------------

def test_a_reload_takes_another_authority(start, good):
    proxy = start(workers=2)
    assert fetch(proxy, own_root(proxy), "good.test", good.port).status == 200
    first, old = signer(proxy), own_root(proxy).read_bytes()
    reload(proxy)
    assert signer(proxy) == first  # nothing changed
    subprocess.run([str(DEJUNK), "ca", "-c", str(proxy.directory / "proxy.conf"), "rotate"],
                   check=True, capture_output=True)
    assert own_root(proxy).read_bytes() != old
    reload(proxy, 2)
    wait_for("another signer", lambda: signer(proxy) not in (None, first))
    for host in ("good.test", "new.test"):
        wait_for("the new authority in every worker",
                 lambda name=host: all(works(proxy, name, good.port) for _ in range(6)))


def test_interception_is_switched_on_by_a_reload(start, good):
    proxy = start(workers=1, intercept="none")
    assert not (proxy.directory / "state/ca").exists()
    with Tunnel(proxy, "good.test", good.port) as tunnel:
        assert not is_ours(tunnel.shake_hands().certificate())
    proxy.options["intercept"] = "all"
    proxy.write_config()
    reload(proxy)
    wait_for("an authority", lambda: own_root(proxy).exists())
    wait_for("https that is opened", lambda: works(proxy, "good.test", good.port))
    proxy.options["intercept"] = "none"
    proxy.write_config()
    reload(proxy, 2)
    with Tunnel(proxy, "good.test", good.port) as tunnel:
        assert not is_ours(tunnel.shake_hands().certificate())
    assert own_root(proxy).exists()  # for when it is switched on again


def test_a_companys_own_authority(start, good, tmp_path):
    own = Authority(tmp_path / "own", "A Company")
    proxy = start(workers=1)
    proxy.more += '\nca { certificate = "%s" key = "%s" }' % (own.root, own.key)
    own.key.chmod(0o600)
    proxy.write_config()
    reload(proxy)

    def is_signed_by_it():
        with contextlib.suppress(OSError, Closed), Tunnel(proxy, "good.test", good.port) as tunnel:
            tunnel.shake_hands(own.root)
            return "A Company" in tunnel.certificate() and tunnel.ask().status == 200
    wait_for("its signature", is_signed_by_it)
    assert "PRIVATE KEY" not in proxy.log()


# ---- tickets ------------------------------------------------------------------------------------------------

def resume(proxy, port, *arguments):
    """"New" or "Reused" of each handshake."""
    out = subprocess.run(
        ["openssl", "s_client", "-proxy", "127.0.0.1:%d" % proxy.port, "-connect",
         "good.test:%d" % port, "-servername", "good.test", "-CAfile", str(own_root(proxy)),
         "-tls1_2", *arguments], input="", capture_output=True, text=True, timeout=60,
        check=False).stdout
    return re.findall(r"^(New|Reused), TLSv", out, re.M)


def test_sessions_are_resumed_by_every_worker_and_by_a_successor(start, good, tmp_path):
    """A ticket of one is good for all: their keys are the master's, who hands them on."""
    proxy = start(workers=2)
    session = str(tmp_path / "session")
    assert resume(proxy, good.port, "-sess_out", session) == ["New"]
    for _ in range(6):
        assert resume(proxy, good.port, "-sess_in", session) == ["Reused"]
    old = proxy.pid
    os.kill(old, signal.SIGUSR2)
    new = int(wait_for("a successor", lambda: re.search(r"pid (\d+) is the service now",
                                                        proxy.log())).group(1))
    try:
        assert proxy.process.wait(20) == 0
        for _ in range(4):
            assert resume(proxy, good.port, "-sess_in", session) == ["Reused"]
    finally:
        os.kill(new, signal.SIGTERM)
        wait_for("its end", lambda: not is_running(new))

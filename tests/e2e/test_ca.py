"""dejunk ca: the authority is made when first needed, kept closed, handed out, trusted, renewed."""
import os
import re
import shutil
import stat
import subprocess

import pytest

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
DEJUNK = os.path.join(TOP, os.environ.get("DEJUNK", "build/dejunk"))

needs_certutil = pytest.mark.skipif(not shutil.which("certutil"), reason="no certutil here")


class House:
    """A home and a state directory of their own."""

    def __init__(self, path):
        self.home = path / "home"
        self.state = path / "state" / "dejunk"
        self.home.mkdir()

    def ca(self, *arguments, stdin="", code=0, **environment):
        environment = {**os.environ, "HOME": str(self.home), "TERM": "dumb", **environment}
        environment.pop("SUDO_UID", None)
        done = subprocess.run([DEJUNK, "ca", "-D", "state_dir=%s" % self.state, *arguments],
                              input=stdin, capture_output=True, text=True, env=environment,
                              timeout=60)
        assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
        return done.stdout, done.stderr

    def database(self, place, password=None):
        folder = self.home / place
        folder.mkdir(parents=True)
        secret = folder / "secret"
        secret.write_text(password or "")
        how = ["-f", str(secret)] if password else ["--empty-password"]
        subprocess.run(["certutil", "-N", "-d", "sql:%s" % folder, *how], check=True)
        return folder

    def trusted(self, folder):
        shown = subprocess.run(["certutil", "-L", "-d", "sql:%s" % folder], check=True,
                               capture_output=True, text=True).stdout
        return re.findall(r"^(dejunk root \S.*?) +C,,\s*$", shown, re.M)

    def vault(self, name=""):
        return self.state / "ca" / name


@pytest.fixture
def house(tmp_path):
    return House(tmp_path)


def openssl(*arguments, stdin=None):
    return subprocess.run(["openssl", *arguments], input=stdin, check=True, capture_output=True,
                          text=True).stdout


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_there_is_none_until_it_is_needed(house):
    out, _ = house.ca("show", code=69)
    assert "There is no authority yet" in out
    assert not house.state.exists()


def test_export_makes_one_and_hands_out_its_certificate_alone(house):
    pem, err = house.ca("export")
    assert "A new authority was made" in err
    assert pem.count("BEGIN CERTIFICATE") == 1 and "PRIVATE" not in pem
    assert house.ca("export") == (pem, "")
    house.ca("export", str(house.home / "root.pem"))
    assert (house.home / "root.pem").read_text() == pem
    house.ca("export", "--der", str(house.home / "root.crt"))
    assert openssl("x509", "-inform", "DER", "-in", str(house.home / "root.crt")) == pem
    assert house.vault("root.pem").read_text() == pem
    assert mode(house.vault()) == 0o700
    assert mode(house.vault("authority.pem")) == 0o600
    house.ca("export", "/nonexistent/x", code=73)


def test_show_tells_what_openssl_tells(house):
    pem, _ = house.ca("export")
    out, _ = house.ca("show")
    fingerprint = openssl("x509", "-noout", "-fingerprint", "-sha256", stdin=pem)
    assert fingerprint.strip().split("=")[1] in out
    name = openssl("x509", "-noout", "-subject", "-nameopt", "multiline", stdin=pem)
    assert "authority  %s\n" % re.search(r"= (dejunk root .*)", name).group(1) in out
    assert "root key   not kept\n" in out
    constraints = open(os.path.join(TOP, "conf", "no-intercept-constraints")).read()
    domains = [line for line in constraints.splitlines() if line and line[0] != "#"]
    assert 40 <= len(domains) <= 64
    assert "excluded   %d domains" % len(domains) in out
    text = openssl("x509", "-noout", "-text", "-in", str(house.vault("authority.pem")))
    for domain in domains:
        assert "DNS:%s\n" % domain in text + "\n"


def test_a_vault_that_others_may_read_is_refused(house):
    house.ca("export")
    house.vault("authority.pem").chmod(0o644)
    for action in ["show", "export", "rotate", "trust"]:
        _, err = house.ca(action, code=77)
        assert "may be read by others" in err


def test_a_damaged_vault_is_told_and_may_be_replaced(house):
    house.ca("export")
    house.vault("authority.pem").write_text("junk")
    _, err = house.ca("show", code=65)
    assert "authority.pem: " in err
    house.ca("rotate")
    house.ca("show")


def test_rotate_makes_another_root(house):
    first, _ = house.ca("export")
    out, _ = house.ca("rotate")
    assert "Devices must trust the new one" in out
    second, _ = house.ca("export")
    assert first != second
    old = list(house.vault().glob("old-*.pem"))
    assert [path.read_text() for path in old] == [first]


def test_a_kept_root_is_renewed_and_stays_trusted(house):
    _, err = house.ca("rotate", "--keep-root", stdin="short\n", code=78)
    assert "at least 8" in err
    _, err = house.ca("rotate", "--keep-root", code=78)
    assert "there is no passphrase" in err
    house.ca("rotate", "--keep-root", stdin="correct horse\n")
    assert "kept, under a passphrase" in house.ca("show")[0]
    root, _ = house.ca("export")
    before = house.vault("authority.pem").read_text()
    assert "BEGIN ENCRYPTED PRIVATE KEY" in before
    _, err = house.ca("rotate", stdin="wrong horse\n", code=77)
    assert "not the passphrase" in err
    out, _ = house.ca("rotate", stdin="correct horse\n")
    assert "no device has to trust anything anew" in out
    assert house.ca("export")[0] == root
    assert house.vault("authority.pem").read_text() != before
    chain = house.home / "signer.pem"
    chain.write_text(openssl("x509", "-in", str(house.vault("authority.pem"))))
    openssl("verify", "-CAfile", str(house.vault("root.pem")), str(chain))


@needs_certutil
def test_trust_reaches_every_database(house):
    folders = [house.database(place) for place in (
        ".pki/nssdb", ".mozilla/firefox/abc.default", ".mozilla/firefox/xyz.other",
        "snap/firefox/common/.mozilla/firefox/s.default", ".thunderbird/t.default")]
    out, _ = house.ca("trust", "--browsers")
    name = re.search(r"^authority  (.*)$", out, re.M).group(1)
    for folder in folders:
        assert "browser    trusted: %s\n" % folder in out
        assert house.trusted(folder) == [name]
    assert "To undo: dejunk ca untrust" in out
    house.ca("trust", "--browsers")  # again, and it stands there once
    assert house.trusted(folders[0]) == [name]
    # The one before, too, is taken out.
    house.ca("rotate")
    house.ca("trust", "--browsers")
    assert len(house.trusted(folders[0])) == 2
    out, _ = house.ca("untrust", "--browsers")
    for folder in folders:
        assert house.trusted(folder) == []
        assert out.count("no longer trusted: %s\n" % folder) == 2
    assert "No store trusts" in house.ca("untrust", "--browsers")[0]


@needs_certutil
def test_a_database_under_a_password_is_told_of(house):
    locked = house.database(".mozilla/firefox/a.locked", password="secret phrase")
    free = house.database(".mozilla/firefox/b.free")
    out, err = house.ca("trust", "--browsers")
    assert len(house.trusted(free)) == 1
    assert str(locked) in err or house.trusted(locked)


def test_no_database_is_no_error(house):
    out, _ = house.ca("trust", "--browsers")
    assert "start the browser once" in out


def in_own_system(house, script):
    """Runs a shell where the system's store is a copy."""
    setup = ("set -e; mount -t tmpfs none /usr/local/share/ca-certificates; "
             "cp -r /etc/ssl/certs /tmp/certs.$$; mount -t tmpfs none /etc/ssl/certs; "
             "cp -r /tmp/certs.$$/. /etc/ssl/certs; rm -r /tmp/certs.$$; ")
    return subprocess.run(["unshare", "-m", "sh", "-c", setup + script], capture_output=True,
                          text=True, timeout=120,
                          env={**os.environ, "HOME": str(house.home), "TERM": "dumb"})


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("update-ca-certificates"),
                    reason="not root, or not Debian")
def test_trust_and_untrust_in_the_systems_store(house):
    root, _ = house.ca("export")
    command = "%s ca -D state_dir=%s" % (DEJUNK, house.state)
    probe = "grep -c '%s' /etc/ssl/certs/ca-certificates.crt || true; " % root.splitlines()[3]
    done = in_own_system(house, "%s trust --system; " % command + probe +
                         "%s untrust --system; " % command + probe)
    if done.returncode != 0 and "unshare" in done.stderr + done.stdout:
        pytest.skip("no mount namespace here")
    assert done.returncode == 0, done.stderr
    assert re.search(r"system     trusted: /usr/local/share/ca-certificates/dejunk-[0-9a-f]{8}.crt, "
                     r"update-ca-certificates\n(.*\n)*1\n"
                     r"system     no longer trusted: (.*\n)*0\n", done.stdout), done.stdout


@pytest.mark.parametrize("arguments, code, err", [
    ([], 64, "something is missing"),
    (["frobnicate"], 64, "none of show, export, rotate, trust, untrust"),
    (["show", "x"], 64, "one argument too many"),
    (["export", "x", "y"], 64, "one argument too many"),
])
def test_mistakes(house, arguments, code, err):
    assert err in house.ca(*arguments, code=code)[1]

"""The build and the set-up themselves: what is rebuilt when, how the binary is hardened, which
packages are installed by whom."""
import os
import re
import shutil
import stat
import subprocess

import pytest
from house import DEJUNK, SANITIZED, TOP

CLEAN_ENV = {name: value for name, value in os.environ.items()
             if name not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS", "MAKEOVERRIDES", "T", "SAN", "CC")}


def run(*words, cwd=TOP, env=None, want=0):
    done = subprocess.run(words, cwd=cwd, env=env or CLEAN_ENV, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    assert want is None or done.returncode == want, done.stdout
    return done.stdout


# ---- the binary -----------------------------------------------------------------------------------

def readelf(*options):
    return run("readelf", "-W", *options, str(DEJUNK))


@pytest.mark.skipif(SANITIZED, reason="of the released binary")
def test_binary_is_hardened():
    assert "DYN (Position-Independent Executable" in readelf("-h")
    dynamic = readelf("-d")
    assert re.search(r"FLAGS.*BIND_NOW", dynamic) and "TEXTREL" not in dynamic
    segments = readelf("-l")
    assert "GNU_RELRO" in segments
    assert re.search(r"GNU_STACK.* RW +0x", segments)
    assert not re.search(r"LOAD.*RWE", segments)
    assert "RPATH" not in dynamic and "RUNPATH" not in dynamic
    symbols = readelf("--dyn-syms")
    assert "__stack_chk_fail" in symbols
    assert re.search(r"__(mem|str|v?sn?printf|read|f?printf)\w*_chk", symbols)


@pytest.mark.skipif(SANITIZED, reason="of the released binary")
def test_binary_keeps_its_assertions_and_symbols():
    assert "__assert_fail" in readelf("--dyn-syms")
    assert ".debug_info" in readelf("-S")


# ---- what is rebuilt ------------------------------------------------------------------------------

@pytest.fixture
def small(tmp_path):
    """The Makefile with a house of two rooms."""
    for name in ("Makefile", "conf"):
        source = TOP / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, tmp_path / name)
    (tmp_path / "src/base").mkdir(parents=True)
    (tmp_path / "src/base/one.h").write_text("int one(void);\n")
    (tmp_path / "src/base/one.c").write_text('#include "base/one.h"\nint one(void) { return 0; }\n')
    (tmp_path / "src/base/two.c").write_text("int two(void);\nint two(void) { return 2; }\n")
    (tmp_path / "src/main.c").write_text('#include "base/one.h"\nint main(void) { return one(); }\n')
    run("make", "-j2", cwd=tmp_path)
    return tmp_path


def remade(top, *words):
    return re.findall(r"^  (?:CC|LINK) +(\S+)", run("make", *words, cwd=top), re.M)


def test_make_rebuilds_what_a_change_touches(small):
    assert run("make", cwd=small).strip() == "make: Nothing to be done for 'all'."
    run("make", "-q", cwd=small)
    run(small / "build/dejunk", cwd=small)

    header = small / "src/base/one.h"
    header.write_text(header.read_text() + "/* changed */\n")
    run("make", "-q", cwd=small, want=1)
    assert remade(small) == ["src/main.c", "src/base/one.c", "build/dejunk"]

    assert remade(small, "CFLAGS=-DX") == [
        "src/main.c", "src/base/one.c", "src/base/two.c", "/usr/share/llhttp/api.c",
        "/usr/share/llhttp/http.c", "/usr/share/llhttp/llhttp.c", "build/dejunk"] or \
        not os.path.exists("/usr/share/llhttp/llhttp.c")
    assert remade(small, "CFLAGS=-DX") == []

    (small / "src/base/two.c").unlink()
    assert remade(small, "CFLAGS=-DX") == ["build/dejunk"]
    assert "two.o" not in run("ar", "t", "build/libdejunk.a", cwd=small)


def test_other_flags_go_to_another_directory(small):
    assert "build/san-address-undefined/dejunk" in remade(small, "-j2", "SAN=address,undefined")
    run("make", "-q", cwd=small)
    run("make", "-q", "SAN=address,undefined", cwd=small)
    run(small / "build/san-address-undefined/dejunk", cwd=small)


def test_install_and_uninstall(tmp_path):
    place = tmp_path / "place"
    done = {"DESTDIR": str(place), "PREFIX": "/opt/dejunk"}
    words = ["%s=%s" % pair for pair in done.items()]
    if DEJUNK != TOP / "build/dejunk":
        pytest.skip("of the released binary")
    run("make", "install", *words)
    program = place / "opt/dejunk/bin/dejunk"
    assert program.stat().st_mode & 0o777 == 0o755
    assert run(str(program), "version").startswith("dejunk ")
    for unit in place.glob("**/*.service"):
        assert "/usr/local" not in unit.read_text() and "/opt/dejunk/bin/dejunk" in unit.read_text()
    assert (place / "opt/dejunk/share/dejunk/unfiltered-hosts").exists()
    run("make", "uninstall", *words)
    assert not list(place.glob("**/*"))


# ---- conf/setup, with a machine made of stand-ins -------------------------------------------------

class Machine:
    """dpkg-query, apt-get, sudo, id and flock as scripts that write down how they were called."""

    def __init__(self, directory, installed, user, sudo=True):
        self.bin = directory / "bin"
        self.bin.mkdir()
        self.calls = directory / "calls"
        self.calls.touch()
        self.installed = directory / "installed"
        self.installed.write_text("".join("%s installed\n" % name for name in installed))
        self.policy = directory / "policy-rc.d"
        self.conf = directory / "conf"
        shutil.copytree(TOP / "conf", self.conf)
        (self.conf / "packages").write_text(
            "[build]\ngcc compiler\nlibev-dev loop\n\n[test]\ncurl browser\nlibev-dev again\n"
            "[lint]\nclang compiler\n")
        for name in ("sh", "awk", "dirname", "rm", "chmod", "mkdir", "cat"):
            (self.bin / name).symlink_to(shutil.which(name))
        self.script("dpkg-query", "cat %s; exit 1" % self.installed)
        self.script("id", "echo %s" % user)
        self.script("flock", 'shift; exec "$@"')
        self.script("apt-get", 'echo "apt-get $*" >>%s\n[ -x %s ] && echo "policy" >>%s\n%s' % (
            self.calls, self.policy, self.calls, "exit ${APT_FAILS:-0}"))
        if sudo:
            self.script("sudo", '[ "$1" = -n ] && exit %s\necho sudo >>%s\nexec "$@"' % (
                "0" if sudo == "works" else "1", self.calls))

    def script(self, name, text):
        path = self.bin / name
        path.write_text("#!/bin/sh\n%s\n" % text)
        path.chmod(path.stat().st_mode | stat.S_IXUSR)

    def setup(self, *sections, want=0, **env):
        env.update(PATH=str(self.bin), POLICY_RC_D=str(self.policy))
        said = run(str(self.bin / "sh"), str(self.conf / "setup"), *sections, env=env, want=want)
        return said, self.calls.read_text().splitlines()


INSTALL = "apt-get -q -o DPkg::Lock::Timeout=600 install -y --no-install-recommends "


def test_nothing_missing_asks_nobody(tmp_path):
    machine = Machine(tmp_path, ["gcc", "libev-dev"], user=0)
    assert machine.setup("build") == ("", [])


def test_root_installs_what_its_sections_miss(tmp_path):
    machine = Machine(tmp_path, ["gcc"], user=0)
    _, calls = machine.setup("build", "test")
    assert calls == [INSTALL + "libev-dev curl", "policy"]  # no service is started meanwhile
    assert not machine.policy.exists()


def test_policy_that_is_there_stays(tmp_path):
    machine = Machine(tmp_path, [], user=0)
    machine.policy.write_text("#!/bin/sh\nexit 101 # the operator's\n")
    machine.setup("lint")
    assert "operator" in machine.policy.read_text()


def test_lists_are_fetched_when_the_first_try_fails(tmp_path):
    machine = Machine(tmp_path, [], user=0)
    _, calls = machine.setup("lint", want=1, APT_FAILS="1")
    assert [line for line in calls if line != "policy"] == [
        INSTALL + "clang", "apt-get -q -o DPkg::Lock::Timeout=600 update"]
    assert not machine.policy.exists()


def test_user_with_sudo(tmp_path):
    machine = Machine(tmp_path, ["gcc"], user=1000, sudo="works")
    _, calls = machine.setup("build")
    assert calls == ["sudo", INSTALL + "libev-dev", "policy"]


@pytest.mark.parametrize("sudo", [False, "asks"])
def test_user_without_sudo_is_told_the_command(tmp_path, sudo):
    machine = Machine(tmp_path, ["gcc"], user=1000, sudo=sudo)
    said, calls = machine.setup("build", want=77)
    assert "apt-get install --no-install-recommends libev-dev" in said and calls == []


def test_section_that_does_not_exist(tmp_path):
    machine = Machine(tmp_path, [], user=0)
    said, calls = machine.setup("bild", want=64)
    assert "no section [bild]" in said and calls == []


def test_no_dpkg_no_packages(tmp_path):
    machine = Machine(tmp_path, [], user=0)
    (machine.bin / "dpkg-query").unlink()
    assert machine.setup("build") == ("", [])


def test_every_package_says_what_it_is_for():
    for line in (TOP / "conf/packages").read_text().splitlines():
        assert not line or line[0] in "#[" or re.fullmatch(r"[a-z0-9][a-z0-9.+-]+ +\S.*", line), line

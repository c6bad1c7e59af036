"""The harness of tests of `dejunk fetch`: runs it in a directory of the test's, with hosts and name
servers of the test's own, and reads what it said."""
import hashlib
import json
import os
import subprocess

from house import DEJUNK, REPORT, die_with_us


class Fetched:
    """What `dejunk fetch` said: events by kind, ends by URL."""

    def __init__(self, done):
        self.code, self.out, self.err = done.returncode, done.stdout, done.stderr
        self.events = [json.loads(line) for line in self.out.splitlines() if line.startswith(b"{")]
        self.ends = {one["url"]: one for one in self.events if one["event"] == "end"}

    def end(self, url):
        return self.ends[url]["end"]


class Fetch:
    def __init__(self, directory):
        self.directory = directory
        self.hosts = directory / "hosts"
        self.hosts.touch()
        (directory / "resolv.conf").touch()
        self.out = directory / "out"

    def command(self, *arguments):
        return [str(DEJUNK), "fetch", "-D", "hosts_file=%s" % self.hosts, "-D",
                "resolv_conf=%s" % (self.directory / "resolv.conf"), *arguments]

    def environment(self):
        return {**os.environ, "XDG_CONFIG_HOME": str(self.directory), "HOME": str(self.directory)}

    def start(self, *arguments, **how):
        how.setdefault("stdin", subprocess.DEVNULL)
        return subprocess.Popen(self.command(*arguments), cwd=self.directory, env=self.environment(),
                                preexec_fn=die_with_us, **how)

    def __call__(self, *arguments, stdin=b"", timeout=60):
        done = subprocess.run(self.command(*arguments), cwd=self.directory, env=self.environment(),
                              input=stdin, capture_output=True, timeout=timeout, check=False)
        assert not REPORT.search(done.stderr.decode(errors="replace")), done.stderr
        return done

    def json(self, *arguments, **how):
        return Fetched(self("--json", *arguments, **how))

    def files(self):
        """Names and contents of what is in the directory, hidden files too."""
        return {path.name: path.read_bytes() for path in self.out.iterdir()}


def sha256(body):
    return hashlib.sha256(body).hexdigest()


def sized(head, size):
    return ("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n%s\r\n" % (size, head)).encode()

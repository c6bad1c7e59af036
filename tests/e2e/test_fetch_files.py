"""What `dejunk fetch` leaves in a directory: stopped and gone on with, asked for again, never
half of anything."""
import os
import re
import signal
import subprocess
import threading

import pytest
from fetch_house import sha256, sized
from house import answering, read_request, reply, wait_for


class Big:
    """A large body with an ETag, in ranges; what was asked for is kept."""

    def __init__(self, start_origin, body, etag='"one"'):
        self.body, self.etag = body, etag
        self.hold_at = len(body) // 2
        self.go_on = threading.Event()
        self.origin = start_origin(self.script)

    def script(self, origin, peer):
        while True:
            request = origin.seen(read_request(peer))
            part = re.fullmatch(r"bytes=(\d+)-", request.fields.get("range", ""))
            start = int(part.group(1)) if part else 0
            if request.fields.get("if-range", self.etag) != self.etag:
                start = 0
            if start >= len(self.body) > 0:
                peer.send(reply(b"", "416 Range Not Satisfiable",
                                [("Content-Range", "bytes */%d" % len(self.body))]))
                continue
            lines = ["HTTP/1.1 " + ("206 Partial Content" if start else "200 OK"),
                     "Content-Length: %d" % (len(self.body) - start), "ETag: " + self.etag]
            if start:
                lines.append("Content-Range: bytes %d-%d/%d" % (start, len(self.body) - 1,
                                                                len(self.body)))
            peer.send(("\r\n".join(lines) + "\r\n\r\n").encode())
            if start < self.hold_at:
                peer.send(self.body[start:self.hold_at])
                start = self.hold_at
                self.go_on.wait(30)
            peer.send(self.body[start:])


@pytest.mark.parametrize("how", ["killed", "interrupted"])
@pytest.mark.parametrize("changed", [False, True], ids=["same", "changed"])
def test_stopped_and_continued(start_origin, fetch, how, changed):
    big = Big(start_origin, os.urandom(4000000))
    small = start_origin(answering(lambda request: reply(b"small")))
    urls = [small.url + "/small", big.origin.url + "/big"]
    process = fetch.start("--continue", "-q", "-o", str(fetch.out), *urls, stdout=subprocess.DEVNULL)
    part = fetch.out / ".big.part"
    wait_for("half of it", lambda: part.exists() and part.stat().st_size == big.hold_at)
    wait_for("the small one", lambda: (fetch.out / "small").exists())
    process.send_signal(signal.SIGKILL if how == "killed" else signal.SIGINT)
    assert process.wait(30) == (-signal.SIGKILL if how == "killed" else 1)
    assert not (fetch.out / "big").exists()
    big.go_on.set()
    if changed:
        big.etag, big.body = '"two"', os.urandom(4000000)
    seen = len(big.origin.requests)
    done = fetch.json("--continue", "-o", str(fetch.out), *urls)
    assert done.code == 0
    assert (fetch.out / "big").read_bytes() == big.body
    assert done.ends[urls[1]]["sha256"] == sha256(big.body)
    request = big.origin.requests[seen]
    assert request.fields["range"] == "bytes=%d-" % big.hold_at
    assert request.fields["if-range"] == '"one"'
    # What was whole was left alone.
    assert len(small.requests) == 1 and done.ends[urls[0]]["why"] == "was whole already"
    assert {name for name in fetch.files() if not name.startswith(".")} == {"big", "small"}
    assert ".big.part" not in fetch.files()


def test_interrupted_keeps_what_is_whole_and_nothing_else(start_origin, fetch):
    big = Big(start_origin, os.urandom(300000))
    small = start_origin(answering(lambda request: reply(b"small")))
    process = fetch.start("-o", str(fetch.out), small.url + "/small", big.origin.url + "/big",
                          stdout=subprocess.PIPE)
    part = fetch.out / ".big.part"
    wait_for("half of it", lambda: part.exists() and part.stat().st_size == big.hold_at)
    wait_for("the small one", lambda: (fetch.out / "small").exists())
    process.send_signal(signal.SIGINT)
    out = process.communicate(timeout=30)[0].decode()
    assert process.returncode == 1
    assert "interrupted" in out and "2 URLs: 1 done, 1 interrupted" in out
    assert fetch.files() == {"small": b"small"}
    big.go_on.set()


def test_broken_off_and_tried_again_within_one_run(start_origin, fetch):
    body = os.urandom(200000)
    seen = []

    def script(origin, peer):
        request = origin.seen(read_request(peer))
        start = int(request.fields.get("range", "bytes=0-")[6:-1])
        seen.append(start)
        head = "HTTP/1.1 %s\r\nETag: \"e\"\r\nContent-Length: %d\r\n" % (
            "206 Partial Content" if start else "200 OK", len(body) - start)
        if start:
            head += "Content-Range: bytes %d-%d/%d\r\n" % (start, len(body) - 1, len(body))
        peer.send((head + "\r\n").encode() + body[start:start + 90000])

    origin = start_origin(script)
    done = fetch.json("--retries", "3", "-o", str(fetch.out), "-H", "Accept-Encoding: identity",
                      origin.url + "/x")
    assert done.code == 0 and seen == [0, 90000, 180000]
    assert fetch.files() == {"x": body} and done.ends[origin.url + "/x"]["sha256"] == sha256(body)


def parts_of(body, answer):
    """An origin that breaks off the whole at half, and gives parts as answer(start) says: the end of
    the part, the ETag, and how many bytes it says and sends (None: as many as there are)."""
    def script(origin, peer):
        request = origin.seen(read_request(peer))
        if "range" not in request.fields:
            peer.send(sized('ETag: "e"\r\n', len(body)) + body[:len(body) // 2])
            return
        start = int(request.fields["range"][6:-1])
        end, etag, says = answer(start)
        length = "Content-Length: %d" % (says or end - start)
        peer.send(("HTTP/1.1 206 Partial Content\r\nETag: %s\r\nConnection: close\r\n"
                   "Content-Range: bytes %d-%d/%d\r\n%s\r\n\r\n"
                   % (etag, start, end - 1, len(body), length)).encode() + body[start:end])
    return script


def test_broken_off_and_then_busy(start_origin, fetch):
    """What came before a server was busy is not asked for again; standard output has it once."""
    body = os.urandom(100000)
    seen = []

    def script(origin, peer):
        start = int(read_request(peer).fields.get("range", "bytes=0-")[6:-1])
        seen.append(start)
        if len(seen) == 1:
            peer.send(sized('ETag: "e"\r\n', len(body)) + body[:50000])
        elif len(seen) == 2:
            peer.send(reply(b"", "503 Busy", [("Connection", "close"), ("Retry-After", "0")]))
        else:
            peer.send(reply(body[start:], "206 Partial Content", [
                ("ETag", '"e"'), ("Connection", "close"),
                ("Content-Range", "bytes %d-%d/%d" % (start, len(body) - 1, len(body)))]))

    origin = start_origin(script)
    done = fetch("--retries", "2", "--body", origin.url + "/x")
    assert done.returncode == 0 and done.stdout == body and seen == [0, 50000, 50000]


def test_a_part_that_does_not_reach_the_end(start_origin, fetch):
    body = os.urandom(100000)
    origin = start_origin(parts_of(body, lambda start: (min(start + 20000, len(body)), '"e"', None)))
    url = origin.url + "/x"
    done = fetch.json("--retries", "1", "--continue", "-o", str(fetch.out), url)
    assert done.end(url) == "short body" and "x" not in fetch.files()
    assert fetch.files()[".x.part"] == body[:70000]
    done = fetch.json("--retries", "1", "--continue", "-o", str(fetch.out), url)
    assert done.end(url) == "done" and done.ends[url]["sha256"] == sha256(body)
    assert fetch.files()["x"] == body


def test_a_part_of_another_length_or_body(start_origin, fetch):
    body = os.urandom(100000)
    origin = start_origin(parts_of(body, lambda start: (len(body), '"e"', len(body) - start - 1)))
    url = origin.url + "/x"
    done = fetch.json("--retries", "1", "-o", str(fetch.out), url)
    assert done.end(url) == "bad answer" and not fetch.files()
    # Another body: begun anew, once; to standard output it cannot be.
    origin = start_origin(parts_of(body, lambda start: (len(body), '"other"', None)))
    url = origin.url + "/x"
    done = fetch.json("--retries", "1", "-o", str(fetch.out), url)
    assert done.end(url) == "bad answer" and not fetch.files()
    assert ["range" in one.fields for one in origin.requests] == [False, True, False, True]
    done = fetch("--retries", "1", "--body", url)
    assert done.returncode == 1 and b"bad answer" in done.stderr
    assert done.stdout == body[:50000]


def test_if_changed(start_nginx, fetch):
    nginx = start_nginx()
    (nginx.www / "a").write_bytes(b"first")
    url = nginx.url + "/a"
    assert fetch.json("--if-changed", "-o", str(fetch.out), url).ends[url]["status"] == 200
    again = fetch.json("--if-changed", "-o", str(fetch.out), url)
    assert again.code == 0 and again.ends[url]["status"] == 304
    assert again.ends[url]["why"] == "not changed" and again.ends[url]["sha256"] == sha256(b"first")
    (nginx.www / "a").write_bytes(b"second one")
    assert fetch.json("--if-changed", "-o", str(fetch.out), url).ends[url]["status"] == 200
    assert (fetch.out / "a").read_bytes() == b"second one"
    assert {name for name in fetch.files() if not name.startswith(".")} == {"a"}


def test_a_note_is_only_ever_of_what_is_there(start_origin, fetch):
    bodies = {"/one/x": b"first", "/two/x": b"other"}
    origin = start_origin(answering(lambda request: reply(
        bodies[request.target], headers=[("ETag", '"e"')])))
    one, two = origin.url + "/one/x", origin.url + "/two/x"
    fetch.out.mkdir()
    note = "url %s\netag \"e\"\nsha256 %s\nbytes 5\nend\n" % (one, sha256(b"first"))
    # What is left of a file that went away is not taken for the next one's.
    (fetch.out / ".x.meta").write_text(note)
    assert fetch.json("-o", str(fetch.out), two).code == 0
    assert fetch.files() == {"x": b"other"}
    # Nor is a note of another size, whoever left it; what it stands beside is not replaced.
    (fetch.out / ".x.meta").write_text(note.replace("bytes 5", "bytes 4"))
    for how in ("--continue", "--if-changed"):
        done = fetch.json(how, "-o", str(fetch.out), one)
        assert done.code == 0 and fetch.files()["x"] == b"other"
        kept = done.ends[one]["file"]
        assert kept != str(fetch.out / "x") and open(kept, "rb").read() == b"first"


# ---- files that nobody told of ----------------------------------------------------------------------

class Ranged:
    """Bodies by path, in ranges where it gives them; counts the bytes that it sent of each."""

    def __init__(self, start_origin, bodies, gives_ranges=True):
        self.bodies, self.gives_ranges = bodies, gives_ranges
        self.sent = dict.fromkeys(bodies, 0)
        self.origin = start_origin(answering(self.answer))

    def url(self, path):
        return self.origin.url + path

    def answer(self, request):
        body = self.bodies[request.target]
        start = int(request.fields.get("range", "bytes=0-")[6:-1]) if self.gives_ranges else 0
        self.sent[request.target] += max(0, len(body) - start)
        if start and start >= len(body):
            return reply(b"", "416 Range Not Satisfiable",
                         [("Content-Range", "bytes */%d" % len(body))])
        if start:
            return reply(body[start:], "206 Partial Content",
                         [("Content-Range", "bytes %d-%d/%d" % (start, len(body) - 1, len(body)))])
        return reply(body)


@pytest.mark.parametrize("gives_ranges", [True, False], ids=["ranges", "no-ranges"])
@pytest.mark.parametrize("size", [0, 5, 65536, 65537, 300000])
@pytest.mark.parametrize("how", ["--continue", "--if-changed"])
def test_what_an_earlier_run_left_is_known_again(start_origin, fetch, gives_ranges, size, how):
    """The first run was told nothing of a second: nothing comes twice, and nothing is lost."""
    bodies = {"/one/x": os.urandom(size), "/two/x": os.urandom(size), "/y": os.urandom(size)}
    server = Ranged(start_origin, bodies, gives_ranges)
    urls = [server.url(path) for path in bodies]
    assert fetch("-o", str(fetch.out), urls[0], urls[2]).returncode == 0  # stopped before the second
    done = fetch.json("-c", "1", how, "-o", str(fetch.out), *urls)
    assert [done.end(url) for url in urls] == ["done"] * 3
    for url, body in zip(urls, bodies.values()):
        with open(done.ends[url]["file"], "rb") as file:
            assert file.read() == body
        assert done.ends[url]["sha256"] == sha256(body)
    files = {name: body for name, body in fetch.files().items() if not name.startswith(".")}
    want = {"x": bodies["/one/x"], "y": bodies["/y"]}
    if size:  # two that are empty are the same
        want["x-2"] = bodies["/two/x"]
    assert {name: files[name] for name in want} == want and len(files) in (3, len(want))
    if gives_ranges and how == "--continue" and size > 65536:  # only the end came again
        assert server.sent["/one/x"] == size + 65536
    # From now on it is known whose they are.
    before = dict(server.sent)
    again = fetch.json("--continue", "-o", str(fetch.out), *urls)
    assert all(one["why"] == "was whole already" for one in again.ends.values())
    assert server.sent == before


def test_what_is_there_but_other_stays(start_origin, fetch):
    body = os.urandom(200000)
    for other in (body[:-1], body + b"x", b"x" + body[1:], body[:-1] + b"x", b"mine"):
        server = Ranged(start_origin, {"/x": body})
        fetch.out.mkdir(exist_ok=True)
        (fetch.out / "x").write_bytes(other)
        done = fetch.json("--continue", "-o", str(fetch.out), server.url("/x"))
        assert done.code == 0 and (fetch.out / "x").read_bytes() == other
        if other[-65536:] != body[-65536:]:
            assert (fetch.out / "x-2").read_bytes() == body
        for path in fetch.out.iterdir():
            path.unlink()


def test_killed_between_the_file_and_its_note(start_origin, fetch):
    server = Ranged(start_origin, {"/x": b"whole"})
    fetch.out.mkdir()
    (fetch.out / "x").write_bytes(b"whole")
    (fetch.out / ".x.meta").write_text('url %s\netag "1"\nbytes 0\nend\n' % server.url("/x"))
    assert fetch.json("--continue", "-o", str(fetch.out), server.url("/x")).code == 0
    assert sorted(fetch.files()) == [".x.meta", "x"]

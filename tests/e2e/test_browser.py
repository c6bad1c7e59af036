"""Debian's Chromium: a page with everything on it, with and without the proxy, must come out the same,
and the console must be clean."""
import base64
import hashlib
import struct
import time
import zlib

import pytest
from browser import PROGRAM, Browser
from house import answering, assert_quick, free_port, read_request, reply, wait_for

pytestmark = pytest.mark.skipif(not PROGRAM, reason="no chromium here")
UPLOAD_BYTES = 50 << 20
EVENTS = 20
MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455 section 1.3

PAGE = """<!doctype html><meta charset=utf-8><title>everything</title>
<link rel=icon href=/one.png><link rel=stylesheet href=/style.css>
<script src=/script.js></script>
<img id=one src=/one.png><img id=two src=/two.png?_ylt=A0*$x|y~z><p id=styled>styled</p>
<script>
const live = location.hash.slice(1);

function webSocket() {
    return new Promise((done, failed) => {
        const socket = new WebSocket(live.replace('http:', 'ws:') + '/echo');
        const sent = ['short', 'x'.repeat(70000), '\\u65e5\\u672c', 'last'], got = [];
        socket.onopen = () => socket.send(sent[0]);
        socket.onerror = () => failed('the socket failed');
        socket.onmessage = event => {
            got.push(event.data);
            if (got.length < sent.length)
                socket.send(sent[got.length]);
            else
                socket.close(1000, 'enough');
        };
        socket.onclose = event => done([event.code, event.wasClean,
                                        JSON.stringify(got) == JSON.stringify(sent)]);
    });
}

function eventStream() {
    return new Promise((done, failed) => {
        const source = new EventSource(live + '/events'), late = [];
        source.onerror = () => failed('the stream failed');
        source.onmessage = event => {
            late.push(Date.now() - Number(event.data));
            if (late.length == EVENTS) {
                source.close();
                done(late);
            }
        };
    });
}

async function upload() {
    const block = new Uint8Array(1 << 20).map((_, i) => i * 31 >> 3);
    const body = new Blob(Array(UPLOAD_BYTES >> 20).fill(block));
    return await (await fetch(live + '/upload', { method: 'POST', body })).text();
}

async function range() {
    const answer = await fetch('/two.png', { headers: { Range: 'bytes=8-15' } });
    return [answer.status, answer.headers.get('Content-Range'),
            [...new Uint8Array(await answer.arrayBuffer())]];
}

async function beacon() {
    return navigator.sendBeacon(live + '/beacon', 'seen');
}

async function everything() {
    await new Promise(done => document.readyState == 'complete' ? done() : onload = done);
    return {
        images: [one, two].map(image => [image.complete, image.naturalWidth, image.naturalHeight]),
        script: window.scriptRan,
        style: getComputedStyle(styled).color,
        webSocket: await webSocket(),
        late: await eventStream(),
        upload: await upload(),
        range: await range(),
        beacon: await beacon(),
    };
}
</script>
""".replace("EVENTS", str(EVENTS)).replace("UPLOAD_BYTES", str(UPLOAD_BYTES))


def png(width, height):
    def part(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    rows = (b"\0" + bytes(range(0, 3 * width))) * height
    return (b"\x89PNG\r\n\x1a\n" + part(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
            + part(b"IDAT", zlib.compress(rows)) + part(b"IEND", b""))


def echo_messages(peer, key):
    """A WebSocket server that sends every message back (RFC 6455)."""
    accept = base64.b64encode(hashlib.sha1(key.encode() + MAGIC).digest())
    peer.send(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
              b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n")
    while True:
        first, size = peer.take(2)
        size &= 127
        if size == 126:
            size, = struct.unpack(">H", peer.take(2))
        elif size == 127:
            size, = struct.unpack(">Q", peer.take(8))
        mask = peer.take(4)
        data = peer.take(size)
        data = (int.from_bytes(data, "big") ^ int.from_bytes(
            (mask * (size // 4 + 1))[:size], "big")).to_bytes(size, "big")
        if size < 126:
            head = bytes([first, size])
        elif size < 65536:
            head = bytes([first, 126]) + struct.pack(">H", size)
        else:
            head = bytes([first, 127]) + struct.pack(">Q", size)
        peer.send(head + data)
        if first & 15 == 8:  # close, answered
            return


def live_script(origin, peer):
    """What nginx does not do: WebSocket, event stream, upload."""
    while True:
        request = origin.seen(read_request(peer))
        everybody = ("Access-Control-Allow-Origin", "*")
        if request.target == "/echo":
            echo_messages(peer, request.fields["sec-websocket-key"])
            return
        if request.target == "/events":
            peer.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
                      b"Access-Control-Allow-Origin: *\r\nCache-Control: no-store\r\n\r\n")
            for _ in range(EVENTS):
                peer.send(b"data: %d\n\n" % (time.time() * 1000))
                time.sleep(0.02)  # the rhythm of the stream, not a wait for anything
            return
        body = hashlib.sha256(request.body).hexdigest() if request.target == "/upload" else ""
        peer.send(reply(body.encode(), headers=[everybody, ("Content-Type", "text/plain")]))


def assert_prompt(browser, late):
    """Each event is there within 100 ms: of the stream that was late by so much, or of another one."""
    streams = [late]

    def slowest_s():
        return max(streams.pop() if streams else browser.evaluate("eventStream()")) / 1000
    assert_quick("an event", 0.101, slowest_s)


def look_at_everything(directory, nginx, live, proxy):
    browser = Browser(directory, proxy)
    url = "%s/index.html#%s" % (nginx.url, live.url)
    try:
        assert browser.visit(url) is None
        result = browser.evaluate("everything()")
        late = result.pop("late")
        assert browser.visit(nginx.url.replace("//", "//ann:pass%20word@") + "/private/secret.txt") is None
        result["private"] = browser.evaluate("document.body.innerText")
        result["private again"] = browser.evaluate(
            "fetch(location.origin + '/private/secret.txt').then(answer => answer.text())")
        # Icons and beacons come when they come.
        result["requests"] = sorted((url.replace(str(nginx.port), "N").replace(str(live.port), "L"),
                                     kind, status) for url, kind, status in browser.requests.values()
                                    if kind not in ("Other", "Ping"))
        if proxy:
            assert browser.visit(url) is None
            assert_prompt(browser, late)
        return result, browser.console
    finally:
        browser.stop()


def test_page_with_everything_is_as_without_proxy(tmp_path, start_proxy, start_nginx, start_origin):
    nginx = start_nginx()
    for name, data in (("index.html", PAGE.encode()), ("style.css", b"#styled { color: rgb(1, 2, 3) }"),
                       ("script.js", b"window.scriptRan = 'yes';"), ("one.png", png(3, 5)),
                       ("two.png", png(30, 50)),
                       ("favicon.ico", png(1, 1)), ("secret.txt", b"the secret\n")):
        (nginx.www / name).write_bytes(data)
    live = start_origin(live_script)
    block = bytes((i * 31 >> 3) & 255 for i in range(1 << 20))
    uploaded = hashlib.sha256(block * (UPLOAD_BYTES >> 20)).hexdigest()

    want, console = look_at_everything(tmp_path / "direct", nginx, live, None)
    assert console == []
    proxy = start_proxy()
    got, console = look_at_everything(tmp_path / "through", nginx, live, proxy)
    assert got == want
    assert console == []
    assert got["upload"] == uploaded and got["webSocket"] == [1000, True, True]
    assert got["private"].strip() == "the secret" and got["script"] == "yes"
    assert got["images"] == [[True, 3, 5], [True, 30, 50]] and got["style"] == "rgb(1, 2, 3)"
    wait_for("both beacons", lambda: [one.body for one in live.requests
                                      if one.target == "/beacon"] == [b"seen", b"seen"])


def test_refused_origin_shows_the_page_of_the_proxy(tmp_path, start_proxy, start_origin):
    good = start_origin(answering(lambda request: reply(b"<p>good", headers=[("Content-Type", "text/html")])))
    proxy = start_proxy()
    browser = Browser(tmp_path / "browser", proxy)
    try:
        assert browser.visit("http://127.0.0.1:%d/" % free_port()) is None
        assert "127.0.0.1" in browser.evaluate("document.body.innerText")
        assert browser.evaluate("performance.getEntriesByType('navigation')[0].responseStatus") == 502
        assert browser.visit(good.url + "/") is None
        assert browser.evaluate("document.body.innerText") == "good"
    finally:
        browser.stop()

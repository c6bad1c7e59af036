"""For the tests of HTTPS: an authority for origins, origins over TLS, browsers that look at what they
are shown."""
import contextlib
import socket
import ssl
import subprocess

from house import Closed, Peer, answering, read_response, reply

LEAF = "basicConstraints=CA:FALSE\nkeyUsage=digitalSignature\nextendedKeyUsage=%s\n"


def openssl(*arguments, stdin=None):
    done = subprocess.run(["openssl", *arguments], input=stdin, capture_output=True, text=True)
    assert done.returncode == 0, (arguments, done.stderr)
    return done.stdout


class Authority:
    """A root, and what it signs; everything is a file in its directory."""

    def __init__(self, directory, name="origins' root"):
        self.directory = directory
        self.directory.mkdir()
        self.root = directory / "root.pem"
        self.key = directory / "root.key"
        self.count = 0
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                "-days", "30", "-subj", "/CN=%s" % name, "-addext",
                "basicConstraints=critical,CA:TRUE", "-addext",
                "keyUsage=critical,keyCertSign,cRLSign", "-keyout", str(self.key),
                "-out", str(self.root))

    def leaf(self, *names, use="serverAuth", more="", days=20):
        """For names like "DNS:a.test" and "IP:127.0.0.1": its certificate and key, in one file."""
        self.count += 1
        base = self.directory / ("leaf%d" % self.count)
        extensions = base.with_suffix(".ext")
        extensions.write_text(LEAF % use + more +
                              ("subjectAltName=%s\n" % ",".join(names) if names else ""))
        request = base.with_suffix(".csr")
        openssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                "-subj", "/CN=leaf %d" % self.count, "-keyout", str(base.with_suffix(".key")),
                "-out", str(request))
        openssl("x509", "-req", "-in", str(request), "-CA", str(self.root), "-CAkey", str(self.key),
                "-set_serial", str(1000 + self.count), "-days", str(days), "-extfile",
                str(extensions), "-out", str(base.with_suffix(".crt")))
        both = base.with_suffix(".pem")
        both.write_text(base.with_suffix(".crt").read_text() +
                        base.with_suffix(".key").read_text())
        return both

    def server(self, *names, protocols=None, **how):
        """A context for an origin of these names."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(str(self.leaf(*names, **how)))
        if protocols:
            context.set_alpn_protocols(protocols)
        return context


def secure(context, script):
    """The script of an origin, inside of TLS. Handshakes that fail are not the script's business."""
    def inside(origin, peer):
        try:
            peer.sock = context.wrap_socket(peer.sock, server_side=True)
        except (OSError, ssl.SSLError) as error:
            raise Closed(str(error)) from error
        script(origin, peer)
        with contextlib.suppress(AttributeError, OSError, ValueError):  # it may be gone
            peer.sock.settimeout(0)
            peer.sock.unwrap()  # a farewell, whose answer is not waited for
    return inside


def hello(body=b"hello from the origin", headers=()):
    return answering(lambda request: reply(body, headers=headers))


def describe(der):
    """Issuer, names and dates of a certificate, as text."""
    done = subprocess.run(["openssl", "x509", "-inform", "DER", "-noout", "-issuer", "-ext",
                           "subjectAltName,extendedKeyUsage", "-dates"], input=der,
                          capture_output=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.decode()


class Tunnel(Peer):
    """CONNECT through the proxy. `response` is its answer; then shake_hands() for TLS inside. before,
    behind: bytes in the same segment; what answers those before is passed over."""

    def __init__(self, proxy, host, port, timeout=20, before=b"", behind=b""):
        super().__init__(proxy.connect(timeout))
        self.host = host
        connect = "CONNECT %s:%d HTTP/1.1\r\nHost: %s:%d\r\n\r\n" % (host, port, host, port)
        self.send(before + connect.encode() + behind)
        if before:
            read_response(self)
        self.response = read_response(self, "CONNECT")
        self.authority = "%s:%d" % (host, port)

    def shake_hands(self, roots=None, name=None, protocols=(), certificate=None, change=None):
        """TLS with whoever answers. roots: a file to verify with; None: nothing is verified. name:
        SNI, False for none."""
        context = ssl.create_default_context(cafile=str(roots) if roots else None)
        if not roots:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if protocols:
            context.set_alpn_protocols(list(protocols))
        if certificate:
            context.load_cert_chain(str(certificate))
        if change:
            change(context)
        if name is False:
            context.check_hostname = False
        assert not self.held
        # The end is one in order only with close_notify.
        self.sock = context.wrap_socket(self.sock, suppress_ragged_eofs=False,
                                        server_hostname=None if name is False else name or self.host)
        return self

    def certificate(self):
        return describe(self.sock.getpeercert(True))

    def ask(self, target="/", method="GET", host=None, headers=(), body=b""):
        lines = ["%s %s HTTP/1.1" % (method, target), "Host: " + (host or self.authority)]
        lines += ["%s: %s" % pair for pair in headers]
        if body:
            lines.append("Content-Length: %d" % len(body))
        self.send(("\r\n".join(lines) + "\r\n\r\n").encode() + body)
        return read_response(self, method)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        with contextlib.suppress(OSError):
            self.sock.close()


def fetch(proxy, roots, host, port, target="/", **how):
    """One GET over HTTPS, verified by these roots."""
    with Tunnel(proxy, host, port) as tunnel:
        assert tunnel.response.status == 200, tunnel.response.first
        tunnel.shake_hands(roots)
        return tunnel.ask(target, **how)


def own_root(proxy):
    """The file with the certificate that devices trust."""
    return proxy.directory / "state" / "ca" / "root.pem"


def is_ours(text):
    return "dejunk" in text.partition("\n")[0]


def dead_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]

"""Who may come in: passwords, and (in a network of its own) clients by address, and the way back to
the proxy itself."""
import base64
import subprocess
import threading

import pytest
from house import DEJUNK, SANITIZED, Peer, answering, ask, read_response, reply, wait_for

SLOW = 4 if SANITIZED else 1


def user_section(name, password):
    return subprocess.run([DEJUNK, "passwd", name], input=password + "\n", text=True, check=True,
                          stdout=subprocess.PIPE, timeout=60).stdout


def login(name, password):
    pair = base64.b64encode(("%s:%s" % (name, password)).encode()).decode()
    return [("Proxy-Authorization", "Basic " + pair)]


@pytest.fixture
def origin(start_origin):
    return start_origin(answering(lambda request: reply(b"in\n")))


@pytest.fixture
def proxy(start_proxy):
    return start_proxy(user_section("ann", "pass: word") + user_section("bob", "other"),
                       auth_realm="at home")


@pytest.mark.parametrize("headers", [
    [],
    login("ann", "wrong"),
    login("ann", ""),
    login("nobody", "pass: word"),
    login("bob", "pass: word"),
    [("Proxy-Authorization", "Basic")],
    [("Proxy-Authorization", "Basic !!!!")],
    [("Proxy-Authorization", "Bearer YW5uOnBhc3M6IHdvcmQ=")],
    [("Proxy-Authorization", "Basic " + base64.b64encode(b"ann:" + b"x" * 764).decode())],
    [("Proxy-Authorization", "Basic " + base64.b64encode(b"ann:" + b"x" * 767).decode())],
    [("Authorization", login("ann", "pass: word")[0][1])],
])
def test_without_the_right_pair_nobody_comes_in(proxy, origin, headers):
    for method, url in ("GET", origin.url + "/"), ("GET", "http://dejunk/"):
        response = ask(proxy, url, method, headers)
        assert response.status == 407
        assert response.fields["proxy-authenticate"] == 'Basic realm="at home", charset="UTF-8"'
    peer = Peer(proxy.connect())
    peer.send(("CONNECT 127.0.0.1:%d HTTP/1.1\r\nHost: x\r\n" % origin.port).encode() + "".join(
        "%s: %s\r\n" % header for header in headers).encode() + b"\r\n")
    assert read_response(peer, "CONNECT").status == 407
    peer.close()
    assert origin.accepted == 0


def test_the_right_pair_goes_no_further_than_the_proxy(proxy, origin):
    body = b"x" * 200000  # held back while the password is checked
    response = ask(proxy, origin.url + "/", "POST", login("ann", "pass: word"), body)
    assert (response.status, response.body) == (200, b"in\n")
    assert ask(proxy, origin.url + "/", headers=login("bob", "other")).status == 200
    assert origin.requests[0].body == body
    for request in origin.requests:
        assert b"proxy-auth" not in request.head.lower()
        assert b"ann" not in request.head and b"bob" not in request.head


def test_wrong_pairs_are_slowed_and_good_ones_remembered(proxy, origin):
    assert ask(proxy, origin.url + "/", headers=login("ann", "pass: word")).status == 200
    guesses = [threading.Thread(target=ask, args=(proxy, origin.url + "/", "GET",
                                                  login("ann", "guess %d" % number)))
               for number in range(30)]
    for guess in guesses:
        guess.start()
    known = [ask(proxy, origin.url + "/", headers=login("ann", "pass: word")) for _ in range(20)]
    assert {response.status for response in known} == {200}
    # However busy those that guess keep the one who checks.
    assert sorted(response.seconds for response in known)[10] < 0.5 * SLOW
    for guess in guesses:
        guess.join()
    for name in "ann", "nobody":  # the answer does not tell which of them exists
        response = ask(proxy, origin.url + "/", headers=login(name, "wrong"))
        assert response.status == 407 and response.seconds >= 0.99


def test_many_guesses_at_once_do_not_lock_out_who_is_known(proxy, origin):
    assert ask(proxy, origin.url + "/", headers=login("bob", "other")).status == 200
    guessing = []
    for number in range(300):  # more than are taken in line
        peer = Peer(proxy.connect())
        peer.send(("GET %s/ HTTP/1.1\r\nHost: x\r\n%s: %s\r\n\r\n" % (
            (origin.url,) + login("bob", "guess %d" % number)[0])).encode())
        guessing.append(peer)
    assert ask(proxy, origin.url + "/", headers=login("bob", "other")).status == 200
    for peer in guessing:
        peer.close()


def test_a_client_that_is_allowed_gives_no_password(start_proxy, origin):
    proxy = start_proxy(user_section("ann", "secret"), allow=["127.0.0.1"])
    assert ask(proxy, origin.url + "/").status == 200
    assert ask(proxy, origin.url + "/", headers=login("ann", "wrong")).status == 200
    assert all("proxy-authorization" not in request.fields for request in origin.requests)


def test_a_user_is_known_inside_of_a_tunnel(start_proxy, origin, tmp_path):
    """As browsers open ws://; what is different for the user holds there too."""
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules/own.txt").write_text("/blocked^\n")
    log = tmp_path / "access.log"
    proxy = start_proxy(user_section("ann", "secret") + user_section("bob", "secret") +
                        'client "ann" { filter = no }\n', rules_dir=str(tmp_path / "rules"),
                        access_log="combined", access_log_file=str(log))
    for name, want in (("ann", 200), ("bob", 403)):
        peer = Peer(proxy.connect())
        peer.send(("CONNECT 127.0.0.1:%d HTTP/1.1\r\nHost: x\r\n%s: %s\r\n\r\n" % (
            (origin.port,) + login(name, "secret")[0])).encode())
        assert read_response(peer, "CONNECT").status == 200
        for path in "blocked", "blocked":
            peer.send(("GET /%s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n\r\n" % (
                path, origin.port)).encode())
            assert read_response(peer).status == want
        peer.close()
    proxy.stop()
    lines = [line for line in log.read_text().splitlines() if "/blocked" in line]
    assert [line.split()[2] for line in lines] == ["ann", "ann", "bob", "bob"]


def test_the_log_knows_only_users_who_proved_it(start_proxy, origin, tmp_path):
    log = tmp_path / "access.log"
    proxy = start_proxy(user_section("ann", "secret"), access_log="combined",
                        access_log_file=str(log))
    for password, want in (("wrong", 407), ("secret", 200), ("wrong", 407), ("secret", 200)):
        assert ask(proxy, origin.url + "/", headers=login("ann", password)).status == want
    gone = Peer(proxy.connect())  # before its password is checked
    gone.send(("GET %s/gone HTTP/1.1\r\nHost: x\r\n%s: %s\r\n\r\n" % (
        (origin.url,) + login("ann", "also wrong")[0])).encode())
    gone.reset()
    assert ask(proxy, origin.url + "/").status == 407
    proxy.stop()
    lines = [line for line in log.read_text().splitlines() if "/gone" not in line]
    assert [line.split()[2] for line in lines] == ["-", "ann", "-", "ann", "-"]
    assert all(line.split()[2] == "-" for line in log.read_text().splitlines() if "/gone" in line)


def test_a_changed_password_is_in_force_at_once(proxy, origin):
    good, new = login("ann", "pass: word"), login("ann", "new")
    assert ask(proxy, origin.url + "/", headers=good).status == 200
    proxy.more = user_section("ann", "new")
    proxy.write_config()
    proxy.process.send_signal(1)
    wait_for("the new one", lambda: ask(proxy, origin.url + "/", headers=new).status == 200)
    assert ask(proxy, origin.url + "/", headers=good).status == 407


def test_clients_by_address(in_own_network, tmp_path):
    in_own_network("netns_access.py", tmp_path)

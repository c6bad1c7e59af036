/* TLS streams over socket pairs, against a peer that is fed by hand, a few bytes at a time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <errno.h>
#include <arpa/inet.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#include "certificates.h"
#include "io/stream_tls.h"

enum { LARGE = 3 * 1024 * 1024 };

/* The far side: an SSL in memory, pumped through a socket by a task on the loop. */
struct peer {
    SSL *ssl;
    BIO *in, *out;
    int fd;
    size_t step;    // bytes of the socket for each turn
    size_t to_send; // of application data
    size_t got, put;
    char last;        // byte received
    bool wants_end;   // close_notify when all is sent
    bool closes_bare; // closes the socket when all is sent
    bool is_deaf;     // reads nothing from the socket
    bool saw_end, saw_bare_end, has_failed;
    struct loop_task turn;
};

struct side {
    struct stream stream;
    size_t got, put, to_send, piece; // piece: bytes for each read
    unsigned events;
    enum stream_outcome last;
    int error;
    bool was_shaken;
    struct stream_tls_failure failure; // ending WHOLE: it went well
    void (*then)(struct side *side);   // after each event
};

static struct loop *loop;
static struct made root, leaf;
static struct peer peer;
static struct side side;
static struct loop_timer limit;
static bool (*is_enough)(void);
static char pattern[64 * 1024];
static SSL_SESSION *peer_session; // offered by the next peer
static bool over_tcp;             // and not over a socket pair, from the next begin() on

static int set_up(void **state)
{
    (void)state;
    root = make_certificate(&(struct recipe)ROOT_RECIPE("test root"));
    leaf = make_certificate(
        &(struct recipe){ .cn = "x", .issuer = &root, LEAF_USAGE, .names = "DNS:a.example" });
    for (size_t i = 0; i < sizeof pattern; i++)
        pattern[i] = (char)(i % 251);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    free_made(&leaf);
    free_made(&root);
    return 0;
}

static SSL_CTX *new_context(bool server, int version)
{
    SSL_CTX *context = SSL_CTX_new(server ? TLS_server_method() : TLS_client_method());

    if (server) {
        SSL_CTX_use_certificate(context, leaf.certificate);
        SSL_CTX_use_PrivateKey(context, leaf.key);
        SSL_CTX_set_session_id_context(context, (const unsigned char *)"t", 1);
    }
    SSL_CTX_set_max_proto_version(context, version);
    return context;
}

/* ---- the peer ---- */

static void peer_talks(void)
{
    char bytes[4096];
    int count;

    if (!SSL_is_init_finished(peer.ssl)) {
        int result = SSL_do_handshake(peer.ssl);
        int reason = SSL_get_error(peer.ssl, result);

        if (result != 1) {
            peer.has_failed |= reason != SSL_ERROR_WANT_READ;
            return;
        }
    }
    while (peer.to_send > 0 && BIO_ctrl_pending(peer.out) < 100000) {
        size_t offset = peer.put % 251;
        size_t size = peer.to_send < 20000 ? peer.to_send : 20000;

        count = SSL_write(peer.ssl, pattern + offset, (int)size);
        if (count <= 0)
            break;
        peer.put += (size_t)count;
        peer.to_send -= (size_t)count;
    }
    if (peer.to_send == 0 && peer.wants_end && !(SSL_get_shutdown(peer.ssl) & SSL_SENT_SHUTDOWN))
        SSL_shutdown(peer.ssl);
    while (!peer.saw_end && (count = SSL_read(peer.ssl, bytes, sizeof bytes)) > 0) {
        for (int i = 0; i < count; i++)
            if (bytes[i] != (char)((peer.got + (size_t)i) % 251))
                fail_msg("byte %zu is wrong at the peer", peer.got + (size_t)i);
        peer.got += (size_t)count;
        peer.last = bytes[count - 1];
    }
    peer.saw_end |= SSL_get_shutdown(peer.ssl) & SSL_RECEIVED_SHUTDOWN;
}

static bool pump_socket(void)
{
    char bytes[65536], *at;
    bool moved = false;
    long size = BIO_get_mem_data(peer.out, &at);
    ssize_t count;

    if (size > 0) {
        count = send(peer.fd, at, (size_t)size < peer.step ? (size_t)size : peer.step,
                     MSG_NOSIGNAL | MSG_DONTWAIT);
        moved = count > 0;
        if (count > 0)
            assert_int_equal(BIO_read(peer.out, bytes, (int)count), count);
    }
    if (!peer.is_deaf && !peer.saw_bare_end) {
        count =
            recv(peer.fd, bytes, sizeof bytes < peer.step ? sizeof bytes : peer.step, MSG_DONTWAIT);
        moved |= count > 0;
        if (count > 0)
            BIO_write(peer.in, bytes, (int)count);
        else if (count == 0 || errno != EAGAIN)
            peer.saw_bare_end = true;
    }
    return moved;
}

static void on_turn(void *owner)
{
    (void)owner;
    pump_socket();

    if (peer.fd >= 0 && !peer.has_failed)
        peer_talks();
    if (peer.closes_bare && peer.to_send == 0 && BIO_ctrl_pending(peer.out) == 0 &&
        SSL_is_init_finished(peer.ssl) && peer.fd >= 0 && side.was_shaken) {
        close(peer.fd);
        peer.fd = -1;
    }
    if (is_enough())
        loop_stop(loop);
    else if (peer.fd >= 0)
        loop_later(loop, &peer.turn);
}

/* ---- our side ---- */

static void on_readable(void *owner)
{
    struct side *self = owner;
    size_t got = 0, piece = self->piece ? self->piece : LOOP_SCRATCH_BYTES;

    self->events++;
    self->last = stream_read(&self->stream, loop->scratch, piece, &got);
    self->error = errno;
    if (self->last == STREAM_OK) {
        for (size_t i = 0; i < got; i++)
            if (loop->scratch[i] != (char)((self->got + i) % 251))
                fail_msg("byte %zu is wrong", self->got + i);
        self->got += got;
    }
    if (self->last == STREAM_END || self->last == STREAM_LOST)
        stream_want(&self->stream, self->stream.wanted & STREAM_WRITE);
    if (self->then)
        self->then(self);
    if (is_enough())
        loop_stop(loop);
}

static void on_writable(void *owner)
{
    struct side *self = owner;

    while (self->to_send > 0) {
        size_t put = 0, offset = self->put % 251;
        size_t size = self->to_send < 40000 ? self->to_send : 40000;
        size_t first = size < 700 ? size : 700, second = size - first < 50 ? size - first : 50;
        struct iovec parts[4] = { { pattern + offset, first },
                                  { NULL, 0 },
                                  { pattern + (offset + first) % 251, second },
                                  { pattern + (offset + first + second) % 251,
                                    size - first - second } };

        self->last = stream_write(&self->stream, parts, 4, &put);
        self->error = errno;
        if (self->last != STREAM_OK)
            break;
        self->put += put;
        self->to_send -= put;
    }
    stream_want(&self->stream, (self->stream.wanted & STREAM_READ) |
                                   (self->to_send && self->last != STREAM_LOST ? STREAM_WRITE : 0));
    if (self->then)
        self->then(self);
    if (is_enough())
        loop_stop(loop);
}

static const struct stream_events events = { on_readable, on_writable };

static void on_shaken(void *owner, const struct stream_tls_failure *failure)
{
    struct side *self = owner;

    self->was_shaken = true;
    if (failure)
        self->failure = *failure;
    else
        stream_want(&self->stream, STREAM_READ | (self->to_send ? STREAM_WRITE : 0));
    if (self->then)
        self->then(self);
    if (is_enough())
        loop_stop(loop);
}

static void too_slow(void *owner)
{
    (void)owner;
    fail_msg("the loop still runs after 60 s: got %zu of %zu, peer %zu of %zu, last %d", side.got,
             peer.put, peer.got, side.put, side.last);
}

static void run(bool (*until)(void))
{
    is_enough = until;
    loop_timer_init(&limit, loop, too_slow, NULL);
    loop_timer_set(&limit, 60000);
    loop_later(loop, &peer.turn);
    loop_run(loop);
    loop_timer_stop(&limit);
    loop_later_cancel(loop, &peer.turn);
}

static void new_peer(SSL_CTX *context, bool server, int fd, size_t step)
{
    peer = (struct peer){ .ssl = SSL_new(context),
                          .in = BIO_new(BIO_s_mem()),
                          .out = BIO_new(BIO_s_mem()),
                          .fd = fd,
                          .step = step,
                          .turn = { .run = on_turn } };
    BIO_set_mem_eof_return(peer.in, -1);
    SSL_set_bio(peer.ssl, peer.in, peer.out);
    if (server)
        SSL_set_accept_state(peer.ssl);
    else
        SSL_set_connect_state(peer.ssl);
    if (peer_session)
        SSL_set_session(peer.ssl, peer_session);
}

static void connect_tcp(int fds[2])
{
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
    socklen_t size = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_int_equal(bind(listener, (struct sockaddr *)&address, size), 0);
    assert_int_equal(listen(listener, 1), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &size), 0);
    fds[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fds[0], (struct sockaddr *)&address, size), 0);
    fds[1] = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    assert_true(fds[1] >= 0);
    fcntl(fds[0], F_SETFL, O_NONBLOCK);
    close(listener);
}

/* Our side is the server, or not. The contexts are taken over. Nothing runs yet. */
static void begin(SSL_CTX *ours, SSL_CTX *theirs, bool server, size_t step)
{
    int fds[2], small = 20000;
    struct stream below = { 0 };
    struct error error;
    SSL *ssl = SSL_new(ours);
    struct span replay = SPAN_NONE;
    char *at = NULL;

    assert_int_equal(loop_new(&loop, &error), ERROR_NONE);
    if (over_tcp)
        connect_tcp(fds);
    else
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds),
                         0);
    setsockopt(fds[0], SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
    setsockopt(fds[1], SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
    new_peer(theirs, !server, fds[1], step);
    if (server) { // the hello was read before
        SSL_set_accept_state(ssl);
        SSL_do_handshake(peer.ssl);
        replay.size = (size_t)BIO_get_mem_data(peer.out, &at);
        replay.at = at;
    } else {
        SSL_set_connect_state(ssl);
    }
    side = (struct side){ 0 };
    stream_init_tcp(&below, loop, fds[0], &events, NULL);
    stream_init_tls(&side.stream, &below, &ssl, replay, &events, &side);
    assert_false(stream_is_open(&below));
    assert_null(ssl);
    if (server)
        (void)BIO_reset(peer.out);
    stream_tls_shake_hands(&side.stream, on_shaken);
    SSL_CTX_free(ours);
    SSL_CTX_free(theirs);
}

static void end(void)
{
    stream_close(&side.stream);
    SSL_set_shutdown(peer.ssl, SSL_SENT_SHUTDOWN); // else its session would count as bad
    SSL_free(peer.ssl);
    if (peer.fd >= 0)
        close(peer.fd);
    loop_free(&loop);
    ERR_clear_error();
}

/* ---- tests ---- */

static bool all_is_there(void)
{
    return side.to_send == 0 && peer.to_send == 0 && side.got == peer.put && peer.got == side.put &&
           side.was_shaken;
}

static void moves_bytes_however_they_are_cut(void **state)
{
    static const size_t steps[] = { 1, 7, 1000, SIZE_MAX };
    (void)state;

    for (int server = 0; server < 2; server++) {
        for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
            for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
                begin(new_context(server, version), new_context(!server, version), server,
                      steps[i]);
                side.to_send = peer.to_send = steps[i] < 100 ? 40000 : LARGE;
                run(all_is_there);
                assert_int_equal(side.failure.ending, STREAM_TLS_WHOLE);
                assert_null(SSL_get_current_compression(stream_tls_ssl(&side.stream)));
                end();
            }
        }
    }
}

/* What OpenSSL holds already must be told without the socket's help. */
static void small_reads_are_told_again(void **state)
{
    (void)state;
    begin(new_context(true, 0), new_context(false, 0), true, SIZE_MAX);
    side.piece = 100;
    peer.to_send = 50000;
    run(all_is_there);
    assert_true(side.events >= 500);
    assert_true(side.events < 700); // and not for nothing
    end();
}

static void pause_reading(struct side *self)
{
    if (self->got > 0)
        stream_want(&self->stream, 0);
}

static bool peer_has_sent(void)
{
    return peer.to_send == 0 && side.got > 0 && BIO_ctrl_pending(peer.out) == 0;
}

static void a_pause_forgets_nothing(void **state)
{
    size_t before;
    (void)state;

    begin(new_context(true, 0), new_context(false, 0), true, SIZE_MAX);
    side.piece = 100;
    side.then = pause_reading;
    peer.to_send = 10000;
    run(peer_has_sent);
    before = side.got;
    assert_int_equal(before, 100);
    side.then = NULL;
    side.piece = 0;
    stream_want(&side.stream, STREAM_READ);
    run(all_is_there);
    end();
}

static bool is_over(void)
{
    return side.last == STREAM_END || side.last == STREAM_LOST;
}

static void tells_an_end_from_a_loss(void **state)
{
    static const struct {
        const char *name;
        bool wants_end, closes_bare;
        enum stream_outcome want;
        enum stream_tls_ending ending;
        int code;
    } rows[] = {
        { "close_notify", true, false, STREAM_END, 0, 0 },
        { "close_notify, then closed", true, true, STREAM_END, 0, 0 },
        { "closed without a word", false, true, STREAM_LOST, STREAM_TLS_CLOSED, ECONNABORTED },
    };
    (void)state;

    for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
        for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
            begin(new_context(true, version), new_context(false, version), true, SIZE_MAX);
            peer.to_send = 30000;
            peer.wants_end = rows[i].wants_end;
            peer.closes_bare = rows[i].closes_bare;
            run(is_over);
            if (side.last != rows[i].want || side.got != 30000 ||
                (rows[i].want == STREAM_LOST &&
                 stream_tls_ending(&side.stream, NULL) != rows[i].ending) ||
                (rows[i].code && side.error != rows[i].code))
                fail_msg("%s: %d (%d) after %zu, errno %d", rows[i].name, side.last,
                         stream_tls_ending(&side.stream, NULL), side.got, side.error);
            // It stays as it is.
            size_t got;
            assert_int_equal(stream_read(&side.stream, loop->scratch, 10, &got), rows[i].want);
            end();
        }
    }
}

static bool was_shaken(void)
{
    return side.was_shaken;
}

static void peer_resets(struct side *self)
{
    static const struct linger at_once = { .l_onoff = 1, .l_linger = 0 };

    if (!self->was_shaken || peer.fd < 0 || self->put + self->got == 0)
        return;
    setsockopt(peer.fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    close(peer.fd);
    peer.fd = -1;
}

static void tells_a_reset(void **state)
{
    (void)state;
    over_tcp = true;
    for (int writes = 0; writes < 2; writes++) {
        begin(new_context(true, 0), new_context(false, 0), true, SIZE_MAX);
        peer.to_send = writes ? 0 : 10;
        side.to_send = writes ? 100 * LARGE : 0;
        side.then = peer_resets;
        run(is_over);
        assert_int_equal(side.last, STREAM_LOST);
        assert_true(side.error == ECONNRESET || side.error == EPIPE);
        assert_int_equal(stream_tls_ending(&side.stream, NULL), STREAM_TLS_LOST);
        end();
    }
    // And within the handshake.
    begin(new_context(false, 0), new_context(true, 0), false, SIZE_MAX);
    setsockopt(peer.fd, SOL_SOCKET, SO_LINGER, &(struct linger){ 1, 0 }, sizeof(struct linger));
    close(peer.fd);
    peer.fd = -1;
    run(was_shaken);
    assert_int_equal(side.failure.ending, STREAM_TLS_LOST);
    assert_int_equal(side.failure.error.kind, ERROR_LOST);
    end();
    over_tcp = false;
}

static void shut_down(struct side *self)
{
    if (self->was_shaken && self->to_send == 0) {
        stream_shutdown(&self->stream);
        self->then = NULL;
    }
}

static bool peer_was_told_and_answered(void)
{
    return peer.saw_end && peer.saw_bare_end && side.got == peer.put && peer.to_send == 0;
}

static void shuts_one_direction(void **state)
{
    (void)state;
    for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
        begin(new_context(true, version), new_context(false, version), true, 1000);
        side.to_send = 100000;
        peer.to_send = 100000;
        side.then = shut_down;
        run(peer_was_told_and_answered);
        assert_int_equal(peer.got, 100000);
        end();
    }
}

static bool peer_got_all(void)
{
    return peer.saw_bare_end && (peer.got == side.put || peer.has_failed);
}

static void close_with_bytes_unsent(struct side *self)
{
    if (self->was_shaken && self->last == STREAM_WAIT && self->put > 0) {
        peer.is_deaf = false;
        stream_close(&self->stream);
    }
}

static void a_close_still_sends_what_was_put(void **state)
{
    (void)state;
    begin(new_context(true, 0), new_context(false, 0), true, 100);
    side.to_send = LARGE;
    side.then = close_with_bytes_unsent;
    run(peer_got_all);
    assert_true(side.put > 0 && side.put < LARGE);
    assert_int_equal(peer.got, side.put);
    assert_true(peer.saw_end);
    end();
}

static void shut_down_with_bytes_unsent(struct side *self)
{
    if (self->was_shaken && self->last == STREAM_WAIT && self->put > 0) {
        stream_shutdown(&self->stream);
        stream_want(&self->stream, STREAM_READ);
        self->to_send = 0;
        self->then = NULL;
    }
}

static void linger_with_bytes_unsent(struct side *self)
{
    if (self->was_shaken && self->last == STREAM_WAIT && self->put > 0)
        stream_linger(&self->stream);
}

static void a_shutdown_still_sends_what_was_put(void **state)
{
    (void)state;
    for (int lingers = 0; lingers < 2; lingers++) {
        begin(new_context(true, 0), new_context(false, 0), true, 100);
        side.to_send = LARGE;
        side.then = lingers ? linger_with_bytes_unsent : shut_down_with_bytes_unsent;
        run(peer_got_all);
        assert_true(side.put > 0 && side.put < LARGE);
        assert_int_equal(peer.got, side.put);
        assert_true(peer.saw_end);
        end();
    }
}

static void reset_with_bytes_unsent(struct side *self)
{
    if (self->was_shaken && self->put > 0)
        stream_reset(&self->stream);
}

static bool peer_saw_the_end(void)
{
    return peer.saw_bare_end;
}

static void a_reset_says_no_goodbye(void **state)
{
    (void)state;
    begin(new_context(true, 0), new_context(false, 0), true, SIZE_MAX);
    side.to_send = 1000;
    side.then = reset_with_bytes_unsent;
    run(peer_saw_the_end);
    assert_false(peer.saw_end);
    end();
}

static bool is_closed_with_unsent(void)
{
    return !stream_is_open(&side.stream);
}

static void a_flush_is_evicted_with_its_loop(void **state)
{
    (void)state;
    begin(new_context(true, 0), new_context(false, 0), true, 100);
    side.to_send = LARGE;
    side.then = close_with_bytes_unsent;
    run(is_closed_with_unsent);
    assert_int_equal(loop->guest_count, 1);
    end();
}

/* ---- handshakes that fail ---- */

static int refuse(X509_STORE_CTX *context, void *argument)
{
    X509_STORE_CTX_set_error(context, *(int *)argument);
    return 0;
}

static void tells_whose_alert_it_was(void **state)
{
    static const struct {
        const char *name;
        int version, refuse_with; // the peer's verification error; 0: none
        int peer_most;            // another version for the peer
        bool server;
        enum stream_tls_ending ending;
        int alert;
        bool certificate_was_sent;
    } rows[] = {
        { "unknown CA, TLS 1.3", TLS1_3_VERSION, X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY, 0,
          true, STREAM_TLS_ALERT_FROM_PEER, SSL_AD_UNKNOWN_CA, true },
        { "unknown CA, TLS 1.2", TLS1_2_VERSION, X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY, 0,
          true, STREAM_TLS_ALERT_FROM_PEER, SSL_AD_UNKNOWN_CA, true },
        { "bad certificate", TLS1_3_VERSION, X509_V_ERR_HOSTNAME_MISMATCH, 0, true,
          STREAM_TLS_ALERT_FROM_PEER, SSL_AD_BAD_CERTIFICATE, true },
        { "certificate unknown", TLS1_3_VERSION, X509_V_ERR_UNHANDLED_CRITICAL_EXTENSION, 0, true,
          STREAM_TLS_ALERT_FROM_PEER, SSL_AD_CERTIFICATE_UNKNOWN, true },
        { "no version in common", TLS1_3_VERSION, 0, TLS1_1_VERSION, true, STREAM_TLS_ALERT_FROM_US,
          SSL_AD_PROTOCOL_VERSION, false },
        { "the origin has no version for us", TLS1_3_VERSION, 0, TLS1_1_VERSION, false,
          STREAM_TLS_ALERT_FROM_PEER, SSL_AD_PROTOCOL_VERSION, false },
    };
    (void)state;

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        SSL_CTX *ours = new_context(rows[i].server, rows[i].version);
        SSL_CTX *theirs =
            new_context(!rows[i].server, rows[i].peer_most ? rows[i].peer_most : rows[i].version);

        SSL_CTX_set_security_level(theirs, 0);
        SSL_CTX_set_min_proto_version(theirs, TLS1_VERSION);
        SSL_CTX_set_min_proto_version(ours, TLS1_2_VERSION);
        if (rows[i].refuse_with) {
            SSL_CTX_set_verify(theirs, SSL_VERIFY_PEER, NULL);
            SSL_CTX_set_cert_verify_callback(theirs, refuse, (void *)&rows[i].refuse_with);
        }
        begin(ours, theirs, rows[i].server, 50);
        run(was_shaken);
        if (side.failure.ending != rows[i].ending || side.failure.alert != rows[i].alert ||
            side.failure.certificate_was_sent != rows[i].certificate_was_sent ||
            side.failure.error.kind != ERROR_TLS)
            fail_msg("%s: ending %d, alert %d, sent %d: %s", rows[i].name, side.failure.ending,
                     side.failure.alert, side.failure.certificate_was_sent,
                     side.failure.error.text);
        assert_non_null(strstr(side.failure.error.text, stream_tls_alert_name(rows[i].alert)));
        end();
    }
}

static bool the_certificate_arrived(void)
{
    return BIO_ctrl_pending(peer.in) > 500;
}

static void a_close_after_the_certificate_is_told(void **state)
{
    (void)state;
    begin(new_context(true, 0), new_context(false, 0), true, SIZE_MAX);
    peer.has_failed = true; // takes bytes and says nothing
    run(the_certificate_arrived);
    close(peer.fd);
    peer.fd = -1;
    run(was_shaken);
    assert_int_equal(side.failure.ending, STREAM_TLS_CLOSED);
    assert_int_equal(side.failure.error.kind, ERROR_LOST);
    assert_true(side.failure.certificate_was_sent);
    end();

    begin(new_context(false, 0), new_context(true, 0), false, SIZE_MAX);
    close(peer.fd);
    peer.fd = -1;
    run(was_shaken);
    assert_true(side.failure.ending == STREAM_TLS_CLOSED || side.failure.ending == STREAM_TLS_LOST);
    assert_false(side.failure.certificate_was_sent);
    end();
}

static void junk_is_no_tls(void **state)
{
    (void)state;
    begin(new_context(false, 0), new_context(true, 0), false, SIZE_MAX);
    peer.has_failed = true;
    BIO_puts(peer.out, "HTTP/1.1 400 Bad Request\r\n\r\n");
    run(was_shaken);
    assert_int_equal(side.failure.error.kind, ERROR_TLS);
    assert_non_null(strstr(side.failure.error.text, "wrong version number"));
    end();
}

static int stop(SSL *ssl, void *argument)
{
    (void)ssl, (void)argument;
    return -1;
}

static void a_callback_may_stop_it(void **state)
{
    SSL_CTX *ours = new_context(true, 0);
    (void)state;

    SSL_CTX_set_cert_cb(ours, stop, NULL);
    begin(ours, new_context(false, 0), true, SIZE_MAX);
    run(was_shaken);
    assert_int_equal(side.failure.ending, STREAM_TLS_STOPPED);
    end();
}

static void close_when_shaken(struct side *self)
{
    stream_close(&self->stream);
}

static bool is_closed(void)
{
    return !stream_is_open(&side.stream);
}

static void may_be_closed_in_any_event(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++) {
        begin(new_context(true, 0), new_context(false, 0), true, 100);
        side.to_send = i == 1 ? 1000 : 0;
        peer.to_send = i == 2 ? 1000 : 0;
        side.then = i == 0 ? close_when_shaken : NULL;
        if (i > 0)
            run(was_shaken);
        side.then = close_when_shaken;
        run(is_closed);
        end();
    }
    // And before anything runs.
    begin(new_context(true, 0), new_context(false, 0), true, 100);
    end();
}

static void renegotiation_is_refused(void **state)
{
    (void)state;
    for (int server = 0; server < 2; server++) {
        SSL_CTX *theirs = new_context(!server, TLS1_2_VERSION);

        begin(new_context(server, TLS1_2_VERSION), theirs, server, SIZE_MAX);
        peer.to_send = 100;
        run(all_is_there);
        assert_int_equal(SSL_renegotiate(peer.ssl), 1);
        SSL_do_handshake(peer.ssl);
        peer.to_send = 1;
        for (int i = 0; i < 50 && !peer.has_failed && side.last != STREAM_LOST; i++) {
            int result = SSL_do_handshake(peer.ssl);
            peer.has_failed |=
                result != 1 && SSL_get_error(peer.ssl, result) != SSL_ERROR_WANT_READ;
            pump_socket();
            on_readable(&side);
        }
        assert_true(server ? peer.has_failed : SSL_total_renegotiations(peer.ssl) <= 1);
        end();
    }
}

/* A certificate of more bytes than may wait unsent, to a browser that takes its time. */
static void a_long_flight_waits(void **state)
{
    char *names = malloc(5000 * 30);
    size_t size = 0;
    struct made large;
    SSL_CTX *ours, *theirs;
    (void)state;

    for (int i = 0; i < 5000; i++)
        size += (size_t)snprintf(names + size, 30, "%sDNS:host-%d.example.org", i ? "," : "", i);
    large = make_certificate(
        &(struct recipe){ .cn = "x", .issuer = &root, LEAF_USAGE, .names = names });
    ours = new_context(true, 0);
    theirs = new_context(false, 0);
    SSL_CTX_use_certificate(ours, large.certificate);
    SSL_CTX_use_PrivateKey(ours, large.key);
    SSL_CTX_set_max_cert_list(theirs, 1 << 20);
    begin(ours, theirs, true, 500);
    side.to_send = peer.to_send = 1000;
    run(all_is_there);
    assert_int_equal(side.failure.ending, STREAM_TLS_WHOLE);
    end();
    free_made(&large);
    free(names);
}

/* Bytes that come with the last of the handshake are told of at once. */
static void bytes_behind_the_handshake_are_told(void **state)
{
    (void)state;
    for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
        begin(new_context(true, version), new_context(false, version), true, SIZE_MAX);
        peer.to_send = 10;
        stream_want(&side.stream, STREAM_READ);
        run(all_is_there);
        end();
    }
}

static void sessions_resume(void **state)
{
    (void)state;
    for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
        SSL_CTX *ours = new_context(true, version), *theirs = new_context(false, version);

        for (int i = 0; i < 2; i++) {
            SSL_CTX_up_ref(ours);
            SSL_CTX_up_ref(theirs);
            begin(ours, theirs, true, 100);
            side.to_send = 1;
            run(all_is_there);
            assert_int_equal(SSL_session_reused(stream_tls_ssl(&side.stream)), i);
            SSL_SESSION_free(peer_session);
            peer_session = SSL_get1_session(peer.ssl);
            end();
        }
        SSL_SESSION_free(peer_session);
        peer_session = NULL;
        SSL_CTX_free(ours);
        SSL_CTX_free(theirs);
    }
}

static void a_stream_changes_hands_with_its_bytes(void **state)
{
    static struct side other;
    (void)state;

    begin(new_context(true, 0), new_context(false, 0), true, SIZE_MAX);
    side.piece = 100;
    side.then = pause_reading;
    peer.to_send = 5000;
    run(peer_has_sent);
    other = side;
    other.stream = (struct stream){ 0 };
    stream_hand_over(&other.stream, &side.stream, &events, &side); // counted in the same place
    side.then = NULL;
    side.piece = 0;
    stream_want(&other.stream, STREAM_READ);
    side.stream = (struct stream){ 0 };
    stream_hand_over(&side.stream, &other.stream, &events, &side);
    stream_want(&side.stream, STREAM_READ);
    run(all_is_there);
    end();
}

/* A peer that asks for new keys without end and reads no answer does not fill our memory. */
static void key_updates_are_bounded(void **state)
{
    (void)state;
    begin(new_context(true, 0), new_context(false, 0), true, SIZE_MAX);
    peer.to_send = 1;
    run(all_is_there);
    peer.is_deaf = true;
    for (int i = 0; i < 20000; i++) {
        SSL_key_update(peer.ssl, SSL_KEY_UPDATE_REQUESTED);
        if (SSL_do_handshake(peer.ssl) != 1)
            break;
        while (BIO_ctrl_pending(peer.out) > 0 && pump_socket())
            ;
        if (i % 10 == 0)
            on_readable(&side);
        assert_true(side.last == STREAM_WAIT || side.last == STREAM_OK);
    }
    // It no longer reads: what is sent stays with the peer.
    assert_true(BIO_ctrl_pending(peer.out) > 0);
    end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(moves_bytes_however_they_are_cut),
        cmocka_unit_test(small_reads_are_told_again),
        cmocka_unit_test(a_pause_forgets_nothing),
        cmocka_unit_test(tells_an_end_from_a_loss),
        cmocka_unit_test(tells_a_reset),
        cmocka_unit_test(shuts_one_direction),
        cmocka_unit_test(a_close_still_sends_what_was_put),
        cmocka_unit_test(a_shutdown_still_sends_what_was_put),
        cmocka_unit_test(a_reset_says_no_goodbye),
        cmocka_unit_test(a_flush_is_evicted_with_its_loop),
        cmocka_unit_test(tells_whose_alert_it_was),
        cmocka_unit_test(a_close_after_the_certificate_is_told),
        cmocka_unit_test(junk_is_no_tls),
        cmocka_unit_test(a_callback_may_stop_it),
        cmocka_unit_test(may_be_closed_in_any_event),
        cmocka_unit_test(renegotiation_is_refused),
        cmocka_unit_test(a_long_flight_waits),
        cmocka_unit_test(bytes_behind_the_handshake_are_told),
        cmocka_unit_test(sessions_resume),
        cmocka_unit_test(a_stream_changes_hands_with_its_bytes),
        cmocka_unit_test(key_updates_are_bounded),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}

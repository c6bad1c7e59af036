/* Streams over socket pairs and loopback TCP: events, back-pressure, half-close, endings. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "io/listener.h"
#include "io/stream.h"

struct side {
    struct stream stream;
    size_t got, put;
    size_t to_send; // bytes still to be written
    unsigned reads, writes;
    enum stream_outcome last;
    int error;
    void (*then)(struct side *side);
};

static struct loop *loop;
static struct side left, right;
static struct loop_timer limit;

static void too_slow(void *owner)
{
    (void)owner;
    fail_msg("the loop still runs after 20 s");
}

static void run(void)
{
    loop_timer_init(&limit, loop, too_slow, NULL);
    loop_timer_set(&limit, 20000);
    ev_unref(loop->ev); // no reason to stay
    loop_run(loop);
    ev_ref(loop->ev);
    loop_timer_stop(&limit);
}

static void on_readable(void *owner)
{
    struct side *side = owner;
    size_t got = 0;

    side->reads++;
    side->last = stream_read(&side->stream, loop->scratch, LOOP_SCRATCH_BYTES, &got);
    side->error = errno;
    side->got += got;
    if (side->last == STREAM_END || side->last == STREAM_LOST)
        stream_want(&side->stream, 0);
    if (side->then)
        side->then(side);
}

static void send_some(struct side *side)
{
    static char zeros[32 * 1024];
    size_t put = 0;
    struct iovec parts[3] = { { zeros, 1000 }, { zeros, 0 }, { zeros, sizeof zeros } };

    while (side->to_send > 0) {
        int count = side->to_send >= 1000 + sizeof zeros ? 3 : 1;
        if (count == 1)
            parts[0].iov_len = side->to_send < sizeof zeros ? side->to_send : sizeof zeros;
        side->last = stream_write(&side->stream, parts, count, &put);
        side->error = errno;
        if (side->last != STREAM_OK)
            break;
        side->put += put;
        side->to_send -= put;
    }
    stream_want(&side->stream, side->to_send > 0 && side->last == STREAM_WAIT ? STREAM_WRITE : 0);
}

static void on_writable(void *owner)
{
    struct side *side = owner;

    side->writes++;
    if (side->to_send > 0)
        send_some(side);
    if (side->then)
        side->then(side);
}

static const struct stream_events events = { on_readable, on_writable };

static void make_pair(int fds[2])
{
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
}

static void make_tcp_pair(int fds[2])
{
    struct address at;
    int listening;

    assert_true(address_parse(&at, SPAN("127.0.0.1"), 0));
    assert_int_equal(listener_open(&listening, &at, false, NULL), ERROR_NONE);
    assert_int_equal(listener_address(listening, &at, NULL), ERROR_NONE);
    fds[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fds[0], &at.any, address_size(&at)), 0);
    assert_true(fcntl(listening, F_SETFL, 0) == 0);
    fds[1] = accept4(listening, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    assert_true(fds[1] >= 0);
    fcntl(fds[0], F_SETFL, O_NONBLOCK);
    close(listening);
}

static void begin(void (*make)(int fds[2]))
{
    int fds[2];

    make(fds);
    memset(&left, 0, sizeof left);
    memset(&right, 0, sizeof right);
    stream_init_tcp(&left.stream, loop, fds[0], &events, &left);
    stream_init_tcp(&right.stream, loop, fds[1], &events, &right);
}

static void end(void)
{
    stream_close(&left.stream);
    stream_close(&right.stream);
    assert_false(stream_is_open(&left.stream));
    stream_close(&left.stream); // harmless
    stream_reset(&left.stream);
    run(); // lingerers, if any
    assert_int_equal(loop->guest_count, 0);
}

static void stop_at_end(struct side *side)
{
    if (side->last == STREAM_END || side->last == STREAM_LOST)
        stream_close(&side->stream);
}

static void bytes_go_over_and_end_in_order(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        begin(i ? make_tcp_pair : make_pair);
        left.to_send = 5 * 1000 * 1000;
        right.then = stop_at_end;
        stream_want(&left.stream, STREAM_WRITE);
        stream_want(&right.stream, STREAM_READ);
        while (left.to_send > 0)
            ev_run(loop->ev, EVRUN_ONCE);
        stream_close(&left.stream);
        run();
        assert_int_equal(right.got, 5 * 1000 * 1000);
        assert_int_equal(right.last, STREAM_END);
        end();
    }
}

static void a_full_peer_stops_the_writer(void **state)
{
    (void)state;
    begin(make_pair);
    left.to_send = 100 * 1000 * 1000;
    send_some(&left);
    assert_int_equal(left.last, STREAM_WAIT);
    assert_true(left.put > 0 && left.put < 10 * 1000 * 1000);
    for (unsigned i = 0; i < 3; i++)
        ev_run(loop->ev, EVRUN_NOWAIT);
    assert_int_equal(left.writes, 0); // nobody reads, so nothing to tell
    stream_want(&right.stream, STREAM_READ);
    while (left.writes == 0)
        ev_run(loop->ev, EVRUN_ONCE);
    assert_true(right.got > 0);
    end();
}

static void what_is_not_wanted_is_not_told(void **state)
{
    (void)state;
    begin(make_pair);
    stream_want(&left.stream, STREAM_READ);
    left.to_send = 10;
    send_some(&right);
    right.to_send = 10;
    send_some(&right); // bytes wait at the left
    stream_want(&left.stream, 0);
    for (unsigned i = 0; i < 4; i++)
        ev_run(loop->ev, EVRUN_NOWAIT);
    assert_int_equal(left.reads, 0);
    stream_want(&left.stream, STREAM_READ);
    ev_run(loop->ev, EVRUN_NOWAIT);
    assert_int_equal(left.reads, 1);
    assert_int_equal(left.got, 10);

    /* Dropped while the watch is kept: events that come are not told either. */
    stream_want(&left.stream, 0);
    right.to_send = 10;
    send_some(&right);
    for (unsigned i = 0; i < 4; i++)
        ev_run(loop->ev, EVRUN_NOWAIT);
    assert_int_equal(left.reads, 1);
    stream_want(&left.stream, STREAM_READ);
    ev_run(loop->ev, EVRUN_NOWAIT);
    assert_int_equal(left.got, 20);
    end();
}

static void send_more(struct side *side)
{
    if (side->last == STREAM_END && side->to_send > 0) {
        send_some(side);
        stream_close(&side->stream);
    }
}

static void half_a_close_leaves_the_other_half(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        begin(i ? make_tcp_pair : make_pair);
        left.to_send = 7;
        send_some(&left);
        stream_shutdown(&left.stream);
        stream_want(&left.stream, STREAM_READ);
        left.then = stop_at_end;
        right.to_send = 9; // answered after the end of what was asked
        right.then = send_more;
        stream_want(&right.stream, STREAM_READ);
        run();
        assert_int_equal(right.got, 7);
        assert_int_equal(left.got, 9);
        assert_int_equal(left.last, STREAM_END);
        end();
    }
}

static void a_reset_is_seen_as_a_loss(void **state)
{
    (void)state;
    begin(make_tcp_pair);
    left.to_send = 100;
    send_some(&left);
    stream_reset(&left.stream);
    right.then = stop_at_end;
    stream_want(&right.stream, STREAM_READ);
    run();
    assert_int_equal(right.last, STREAM_LOST);
    assert_int_equal(right.error, ECONNRESET);
    end();
}

static void writing_to_a_closed_peer_is_a_loss_without_signal(void **state)
{
    (void)state;
    begin(make_pair);
    stream_close(&left.stream);
    right.to_send = 10;
    send_some(&right);
    assert_int_equal(right.last, STREAM_LOST);
    assert_int_equal(right.error, EPIPE);
    end();
}

/* An answer of 200 kB is given while the peer is still sending, then the stream is ended. */
static void an_early_answer_arrives(void (*finish)(struct stream *stream))
{
    char bytes[64 * 1024];
    ssize_t count;
    size_t got = 0;

    begin(make_tcp_pair);
    left.to_send = 100 * 1000; // what the right will not read
    send_some(&left);
    right.to_send = 200 * 1000;
    send_some(&right);
    assert_int_equal(right.to_send, 0);
    finish(&right.stream);
    for (unsigned i = 0; i < 3; i++)
        ev_run(loop->ev, EVRUN_NOWAIT);
    left.to_send = 100 * 1000; // still at it
    send_some(&left);
    assert_int_not_equal(left.last, STREAM_LOST);
    for (unsigned i = 0; i < 3; i++)
        ev_run(loop->ev, EVRUN_NOWAIT);
    while ((count = recv(left.stream.fd, bytes, sizeof bytes, 0)) > 0)
        got += (size_t)count;
    assert_int_equal(count, 0); // in order
    assert_int_equal(got, 200 * 1000);
    stream_close(&left.stream);
    run();
    end();
}

static void closing_loses_nothing_that_was_sent(void **state)
{
    (void)state;
    an_early_answer_arrives(stream_close);
}

static void lingering_loses_nothing_that_was_sent(void **state)
{
    (void)state;
    an_early_answer_arrives(stream_linger);
}

static void lingering_waits_for_bytes_to_come(void **state)
{
    (void)state;
    begin(make_tcp_pair);
    stream_linger(&right.stream);
    assert_int_equal(loop->guest_count, 1);
    stream_close(&left.stream);
    end();
}

static void lingering_ends_with_its_bytes(void **state)
{
    (void)state;
    begin(make_tcp_pair);
    left.to_send = STREAM_LINGER_BYTES * 4;
    stream_linger(&right.stream);
    while (left.last != STREAM_LOST && left.to_send > 0) {
        send_some(&left);
        ev_run(loop->ev, EVRUN_NOWAIT);
    }
    assert_int_equal(left.last, STREAM_LOST);
    assert_true(left.put >= STREAM_LINGER_BYTES);
    assert_int_equal(loop->guest_count, 0);
    end();
}

static void lingerers_have_a_limit(void **state)
{
    struct loop_guest guests[STREAM_LINGERERS] = { 0 };

    (void)state;
    for (size_t i = 0; i < STREAM_LINGERERS - 1; i++)
        loop_guest_enter(loop, &guests[i], NULL);
    begin(make_tcp_pair);
    stream_linger(&left.stream);
    assert_int_equal(loop->guest_count, STREAM_LINGERERS);
    stream_linger(&right.stream); // one too many: closed at once
    assert_int_equal(loop->guest_count, STREAM_LINGERERS);
    for (size_t i = 0; i < STREAM_LINGERERS - 1; i++)
        loop_guest_leave(loop, &guests[i]);
    end();
}

static void a_lingerer_goes_with_its_loop(void **state)
{
    struct loop *short_lived;
    int fds[2];

    (void)state;
    assert_int_equal(loop_new(&short_lived, NULL), ERROR_NONE);
    make_tcp_pair(fds);
    stream_init_tcp(&left.stream, short_lived, fds[0], &events, &left);
    stream_linger(&left.stream);
    loop_free(&short_lived);
    assert_int_equal(fcntl(fds[0], F_GETFD), -1);
    close(fds[1]);
}

static struct side heir;

static void hand_over_to_heir(struct side *side)
{
    if (stream_is_open(&side->stream))
        stream_hand_over(&heir.stream, &side->stream, &events, &heir);
}

static void a_stream_handed_over_tells_its_new_owner(void **state)
{
    char bytes[10] = { 0 };

    (void)state;
    begin(make_pair);
    memset(&heir, 0, sizeof heir);
    left.then = hand_over_to_heir;
    stream_want(&left.stream, STREAM_READ | STREAM_WRITE); // both at once: only one is told
    assert_int_equal(send(right.stream.fd, bytes, sizeof bytes, 0), sizeof bytes);
    ev_run(loop->ev, EVRUN_NOWAIT);
    assert_int_equal(left.reads, 1);
    assert_int_equal(left.writes, 0);
    assert_false(stream_is_open(&left.stream));
    assert_int_equal(send(right.stream.fd, bytes, sizeof bytes, 0), sizeof bytes);
    for (unsigned i = 0; i < 3; i++)
        ev_run(loop->ev, EVRUN_NOWAIT);
    assert_int_equal(heir.reads, 0);
    stream_want(&heir.stream, STREAM_READ);
    ev_run(loop->ev, EVRUN_NOWAIT);
    assert_int_equal(heir.got, 10);
    assert_int_equal(left.reads, 1);
    stream_close(&heir.stream);
    end();
}

static void close_it(struct side *side)
{
    stream_close(&side->stream);
}

static void closed_in_the_first_event_has_no_second(void **state)
{
    (void)state;
    begin(make_pair);
    left.then = close_it;
    stream_want(&left.stream, STREAM_READ | STREAM_WRITE);
    assert_int_equal(send(right.stream.fd, "x", 1, 0), 1);
    for (unsigned i = 0; i < 3; i++)
        ev_run(loop->ev, EVRUN_NOWAIT);
    assert_int_equal(left.reads, 1);
    assert_int_equal(left.writes, 0);
    end();
}

static void both_events_come_in_one_round(void **state)
{
    (void)state;
    begin(make_pair);
    stream_want(&left.stream, STREAM_READ | STREAM_WRITE);
    assert_int_equal(send(right.stream.fd, "x", 1, 0), 1);
    ev_run(loop->ev, EVRUN_NOWAIT);
    assert_int_equal(left.reads, 1);
    assert_int_equal(left.writes, 1);
    end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_go_over_and_end_in_order),
        cmocka_unit_test(a_full_peer_stops_the_writer),
        cmocka_unit_test(what_is_not_wanted_is_not_told),
        cmocka_unit_test(half_a_close_leaves_the_other_half),
        cmocka_unit_test(a_reset_is_seen_as_a_loss),
        cmocka_unit_test(writing_to_a_closed_peer_is_a_loss_without_signal),
        cmocka_unit_test(closing_loses_nothing_that_was_sent),
        cmocka_unit_test(lingering_loses_nothing_that_was_sent),
        cmocka_unit_test(lingering_waits_for_bytes_to_come),
        cmocka_unit_test(lingering_ends_with_its_bytes),
        cmocka_unit_test(lingerers_have_a_limit),
        cmocka_unit_test(a_lingerer_goes_with_its_loop),
        cmocka_unit_test(a_stream_handed_over_tells_its_new_owner),
        cmocka_unit_test(closed_in_the_first_event_has_no_second),
        cmocka_unit_test(both_events_come_in_one_round),
    };
    int failures;

    loop_new(&loop, NULL);
    failures = cmocka_run_group_tests_name("stream_tcp", tests, NULL, NULL);
    loop_free(&loop);
    return failures;
}

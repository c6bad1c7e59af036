/* Listening and accepting: a few per round, flags, and the limit of descriptors. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <sys/resource.h>
#include <unistd.h>

#include "io/listener.h"

enum { CLIENTS = 40 };

static struct loop *loop;
static struct acceptor acceptor;
static int listening, accepted[CLIENTS], clients[CLIENTS];
static struct address at, last_peer;
static size_t count, most_per_round, count_before_round, exhausted;
static bool stop_after_first;

static void on_accepted(void *owner, int fd, const struct address *peer)
{
    (void)owner;
    accepted[count++] = fd;
    last_peer = *peer;
    if (stop_after_first)
        acceptor_stop(&acceptor);
}

static void on_exhausted(void *owner)
{
    (void)owner;
    exhausted++;
}

static const struct acceptor_events events = { on_accepted, on_exhausted };

static bool open_at(const char *host)
{
    assert_true(address_parse(&at, span_text(host), 0));
    if (listener_open(&listening, &at, false, NULL) != ERROR_NONE)
        return false;
    assert_int_equal(listener_address(listening, &at, NULL), ERROR_NONE);
    assert_true(address_port(&at) > 0);
    count = exhausted = 0;
    stop_after_first = false;
    return true;
}

static void come(size_t how_many)
{
    for (size_t i = 0; i < how_many; i++) {
        clients[i] = socket(at.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_int_equal(connect(clients[i], &at.any, address_size(&at)), 0);
    }
}

static void one_round(void)
{
    count_before_round = count;
    ev_run(loop->ev, EVRUN_NOWAIT);
    if (count - count_before_round > most_per_round)
        most_per_round = count - count_before_round;
}

static void go_away(size_t how_many)
{
    acceptor_stop(&acceptor);
    acceptor_stop(&acceptor);
    for (size_t i = 0; i < how_many; i++)
        close(clients[i]);
    for (size_t i = 0; i < count; i++)
        close(accepted[i]);
    close(listening);
}

static void connections_come_with_their_flags(void **state)
{
    static const char *const hosts[] = { "127.0.0.1", "::1" };

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        int on = 0;
        socklen_t size = sizeof on;
        struct address mine = { 0 };
        socklen_t mine_size = sizeof mine;

        if (!open_at(hosts[i])) {
            print_message("no %s here\n", hosts[i]);
            continue;
        }
        assert_int_equal(fcntl(listening, F_GETFD), FD_CLOEXEC);
        assert_true(fcntl(listening, F_GETFL) & O_NONBLOCK);
        acceptor_start(&acceptor, loop, listening, &events, NULL, 0);
        come(1);
        while (count == 0)
            one_round();
        assert_int_equal(fcntl(accepted[0], F_GETFD), FD_CLOEXEC);
        assert_true(fcntl(accepted[0], F_GETFL) & O_NONBLOCK);
        assert_int_equal(getsockopt(accepted[0], IPPROTO_TCP, TCP_NODELAY, &on, &size), 0);
        assert_int_equal(on, 1);
        getsockname(clients[0], &mine.any, &mine_size);
        assert_true(address_equal(&mine, &last_peer));
        go_away(1);
    }
}

static void a_few_are_taken_per_round(void **state)
{
    (void)state;
    assert_true(open_at("127.0.0.1"));
    most_per_round = 0;
    come(CLIENTS);
    acceptor_start(&acceptor, loop, listening, &events, NULL, 3);
    for (unsigned i = 0; i < 200 && count < CLIENTS; i++)
        one_round();
    assert_int_equal(count, CLIENTS);
    assert_int_equal(most_per_round, 3);
    go_away(CLIENTS);
}

static void stopped_inside_its_event_takes_no_more(void **state)
{
    (void)state;
    assert_true(open_at("127.0.0.1"));
    stop_after_first = true;
    come(10);
    acceptor_start(&acceptor, loop, listening, &events, NULL, 0);
    for (unsigned i = 0; i < 20; i++)
        one_round();
    assert_int_equal(count, 1);
    acceptor_resume(&acceptor); // harmless
    one_round();
    assert_int_equal(count, 1);
    go_away(10);
}

static void emptied_leaves_nobody_in_line(void **state)
{
    (void)state;
    assert_true(open_at("127.0.0.1"));
    come(CLIENTS);
    acceptor_start(&acceptor, loop, listening, &events, NULL, 3);
    acceptor_empty(&acceptor);
    assert_int_equal(count, CLIENTS);
    acceptor_stop(&acceptor);
    acceptor_empty(&acceptor); // harmless
    go_away(CLIENTS);
}

static struct loop_timer stop_timer;

static void stop_loop(void *owner)
{
    (void)owner;
    loop_stop(loop);
}

static void without_descriptors_it_waits_and_goes_on(void **state)
{
    struct rlimit before, low;
    uint64_t began_ms;
    unsigned rounds;

    (void)state;
    assert_true(open_at("127.0.0.1"));
    come(2);
    acceptor_start(&acceptor, loop, listening, &events, NULL, 0);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    low = before;
    low.rlim_cur = (rlim_t)clients[1] + 1;
    setrlimit(RLIMIT_NOFILE, &low);

    loop_timer_init(&stop_timer, loop, stop_loop, NULL);
    loop_timer_set(&stop_timer, 250);
    rounds = ev_iteration(loop->ev);
    loop_run(loop);
    assert_int_equal(count, 0);
    assert_true(exhausted >= 1 && exhausted <= 3); // each 100 ms, no spinning
    assert_true(ev_iteration(loop->ev) - rounds < 20);

    setrlimit(RLIMIT_NOFILE, &before);
    began_ms = loop_now_ms(loop);
    acceptor_resume(&acceptor);
    while (count < 2)
        one_round();
    assert_true(loop_now_ms(loop) - began_ms < 90);
    go_away(2);
}

static void bad_addresses_say_so(void **state)
{
    struct error error = { 0 };
    struct address far;
    int fd = -7;

    (void)state;
    assert_true(address_parse(&far, SPAN("192.0.2.1"), 80));
    assert_int_equal(listener_open(&fd, &far, false, &error), ERROR_ADDRESS);
    assert_int_equal(fd, -7);
    assert_string_equal(error.text, "cannot bind 192.0.2.1:80: Cannot assign requested address");

    assert_true(open_at("127.0.0.1"));
    assert_int_equal(listener_open(&fd, &at, false, &error), ERROR_ADDRESS); // taken
    close(listening);
}

static void ports_are_shared_when_asked(void **state)
{
    int first, second;

    (void)state;
    assert_true(address_parse(&at, SPAN("127.0.0.1"), 0));
    assert_int_equal(listener_open(&first, &at, true, NULL), ERROR_NONE);
    assert_int_equal(listener_address(first, &at, NULL), ERROR_NONE);
    assert_int_equal(listener_open(&second, &at, true, NULL), ERROR_NONE);
    close(first);
    close(second);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(connections_come_with_their_flags),
        cmocka_unit_test(a_few_are_taken_per_round),
        cmocka_unit_test(stopped_inside_its_event_takes_no_more),
        cmocka_unit_test(emptied_leaves_nobody_in_line),
        cmocka_unit_test(without_descriptors_it_waits_and_goes_on),
        cmocka_unit_test(bad_addresses_say_so),
        cmocka_unit_test(ports_are_shared_when_asked),
    };
    int failures;

    loop_new(&loop, NULL);
    failures = cmocka_run_group_tests_name("listener", tests, NULL, NULL);
    loop_free(&loop);
    return failures;
}

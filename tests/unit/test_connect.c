/* Racing connections over loopback: order, losers, policy, limits, and what failures say. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <sys/resource.h>

#include "io/connect.h"
#include "io/listener.h"
#include "name_server.h"

static struct loop *loop;
static struct resolver *resolver;
static struct loop_timer limit;

static struct {
    struct connector connector;
    unsigned calls, shown;
    char order[4000];   // addresses shown to the policy
    const char *forbid; // addresses that contain this; "": all
    int fd;
    enum error_kind failed;
    char text[500], address[ADDRESS_TEXT_BYTES], alias[100];
    uint64_t took_ms, began_ms;
    void (*then)(void);
} room;

static bool may_connect(void *owner, const struct address *address,
                        const struct resolve_answer *answer, struct error *error)
{
    char text[ADDRESS_TEXT_BYTES];
    size_t used = strlen(room.order);

    assert_ptr_equal(owner, &room);
    room.shown++;
    address_text(address, text);
    snprintf(room.order + used, sizeof room.order - used, "%s%s", used ? " " : "", text);
    if (answer && answer->alias_count > 0)
        snprintf(room.alias, sizeof room.alias, "%.*s", SPAN_PRINT(answer->aliases[0]));
    if (!room.forbid || !strstr(text, room.forbid))
        return true;
    error_set(error, ERROR_FORBIDDEN, "%s is not allowed", text);
    return false;
}

static void on_connected(void *owner, int fd, const struct address *address,
                         const struct error *error)
{
    assert_ptr_equal(owner, &room);
    assert_false(connector_is_busy(&room.connector));
    assert_true((fd >= 0) == (address != NULL) && (fd < 0) == (error != NULL));
    room.calls++;
    room.fd = fd;
    room.took_ms = loop_now_ms(loop) - room.began_ms;
    if (address)
        address_text_with_port(address, room.address);
    room.failed = error ? error->kind : ERROR_NONE;
    snprintf(room.text, sizeof room.text, "%s", error ? error->text : "");
    if (room.then)
        room.then();
    else
        loop_stop(loop);
}

static void too_slow(void *owner)
{
    (void)owner;
    fail_msg("neither connected nor failed within 15 s");
}

static void start(const char *host, uint16_t port, uint64_t timeout_ms)
{
    struct connector keep = room.connector;
    const char *forbid = room.forbid;
    void (*then)(void) = room.then;

    memset(&room, 0, sizeof room);
    room.connector = keep;
    room.forbid = forbid;
    room.then = then;
    room.fd = -1;
    room.connector.may_connect = may_connect;
    room.connector.on_connected = on_connected;
    room.connector.owner = &room;
    room.began_ms = loop_now_ms(loop);
    connector_start(&room.connector, loop, resolver, span_text(host), port, timeout_ms);
    assert_int_equal(room.calls, 0); // never from inside
}

static void run(void)
{
    loop_timer_set(&limit, 15000);
    loop_run(loop);
    loop_timer_stop(&limit);
}

static void go(const char *host, uint16_t port, uint64_t timeout_ms)
{
    start(host, port, timeout_ms);
    run();
    assert_int_equal(room.calls, 1);
}

static size_t open_descriptors(void)
{
    DIR *directory = opendir("/proc/self/fd");
    size_t count = 0;

    assert_non_null(directory);
    while (readdir(directory))
        count++;
    closedir(directory);
    return count;
}

/* A listener at a port, of the kernel's choice when 0. -1 where there is no such family. */
static int listen_at(const char *host, uint16_t *port)
{
    struct address at;
    int fd;

    assert_true(address_parse(&at, span_text(host), *port));
    if (listener_open(&fd, &at, false, NULL) != ERROR_NONE)
        return -1;
    assert_int_equal(listener_address(fd, &at, NULL), ERROR_NONE);
    *port = address_port(&at);
    return fd;
}

static uint16_t closed_port(void)
{
    uint16_t port = 0;
    int fd = listen_at("127.0.0.1", &port);

    close(fd);
    return port;
}

/* A port where connecting hangs: the queue of those who wait to be accepted is full. */
struct black_hole {
    int listening, inside[4];
};

static void dig_black_hole(struct black_hole *hole, const char *host, uint16_t *port)
{
    struct address at;

    hole->listening = listen_at(host, port);
    assert_true(hole->listening >= 0);
    assert_int_equal(listen(hole->listening, 0), 0);
    assert_true(address_parse(&at, span_text(host), *port));
    for (size_t i = 0; i < 4; i++) {
        hole->inside[i] = socket(at.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        connect(hole->inside[i], &at.any, address_size(&at));
    }
}

static void fill_black_hole(struct black_hole *hole)
{
    close(hole->listening);
    for (size_t i = 0; i < 4; i++)
        close(hole->inside[i]);
}

static void set_hosts(const char *hosts)
{
    assert_int_equal(
        resolver_configure(resolver, SPAN("nameserver 127.0.0.1:1\n"), span_text(hosts), NULL),
        ERROR_NONE);
}

static int set_up(void **state)
{
    (void)state;
    memset(&room, 0, sizeof room);
    if (loop_new(&loop, NULL) != ERROR_NONE || resolver_new(&resolver, loop, NULL) != ERROR_NONE)
        return -1;
    loop_timer_init(&limit, loop, too_slow, NULL);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    connector_cancel(&room.connector);
    resolver_free(&resolver);
    loop_free(&loop);
    return 0;
}

static void literals_connect(void **state)
{
    static const char *const hosts[] = { "127.0.0.1", "::1", "localhost" };

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        uint16_t port = 0;
        int listening = listen_at(i == 1 ? "::1" : "127.0.0.1", &port), on = 0;
        socklen_t size = sizeof on;

        if (listening < 0) {
            print_message("no %s here\n", hosts[i]);
            continue;
        }
        go(hosts[i], port, 5000);
        assert_true(room.fd >= 0);
        assert_true(fcntl(room.fd, F_GETFL) & O_NONBLOCK);
        assert_int_equal(fcntl(room.fd, F_GETFD), FD_CLOEXEC);
        getsockopt(room.fd, IPPROTO_TCP, TCP_NODELAY, &on, &size);
        assert_int_equal(on, 1);
        close(room.fd);
        close(listening);
    }
}

static void a_closed_port_refuses(void **state)
{
    uint16_t port = closed_port();
    char want[200];

    (void)state;
    go("127.0.0.1", port, 5000);
    assert_int_equal(room.failed, ERROR_REFUSED);
    snprintf(want, sizeof want, "cannot connect to 127.0.0.1 at 127.0.0.1:%u: Connection refused",
             port);
    assert_string_equal(room.text, want);
}

static bool has_ipv6(void)
{
    uint16_t port = 0;
    int fd = listen_at("::1", &port);

    close(fd);
    return fd >= 0;
}

static void a_refusing_address_gives_way_at_once(void **state)
{
    uint16_t port = 0;
    int listening = listen_at("127.0.0.1", &port);

    (void)state;
    if (!has_ipv6())
        skip(); // no race between families here
    set_hosts("::1 two.example\n127.0.0.1 two.example\n");
    go("two.example", port, 5000);
    assert_true(room.fd >= 0);
    assert_string_equal(room.order, "::1 127.0.0.1");
    assert_true(room.took_ms < CONNECT_RACE_DELAY_MS);
    close(room.fd);
    close(listening);
}

static void a_silent_address_gives_way_after_the_delay(void **state)
{
    uint16_t port = 0;
    int listening = listen_at("127.0.0.1", &port);
    struct black_hole hole;
    size_t before;

    (void)state;
    if (!has_ipv6())
        skip(); // no race between families here
    dig_black_hole(&hole, "::1", &port);
    set_hosts("::1 two.example\n127.0.0.1 two.example\n");
    before = open_descriptors();
    go("two.example", port, 5000);
    assert_true(room.fd >= 0);
    assert_in_range(room.took_ms, CONNECT_RACE_DELAY_MS, CONNECT_RACE_DELAY_MS + 1000);
    assert_int_equal(open_descriptors(), before + 1); // the loser is closed
    close(room.fd);
    close(listening);
    fill_black_hole(&hole);
}

static void silence_everywhere_is_a_timeout(void **state)
{
    uint16_t port = 0;
    struct black_hole four, six;
    size_t before;

    (void)state;
    if (!has_ipv6())
        skip(); // no race between families here
    dig_black_hole(&four, "127.0.0.1", &port);
    dig_black_hole(&six, "::1", &port);
    before = open_descriptors();
    go("localhost", port, 400);
    assert_int_equal(room.failed, ERROR_TIMEOUT);
    assert_non_null(strstr(room.text, "no connection to localhost port "));
    assert_non_null(strstr(room.text, " within 0.4 s"));
    assert_in_range(room.took_ms, 400, 1500);
    assert_int_equal(room.shown, 2);
    assert_int_equal(open_descriptors(), before);
    fill_black_hole(&four);
    fill_black_hole(&six);
}

static void resolving_counts_into_the_time(void **state)
{
    static const struct zone_row zone[] = { { "silent.example", '*', "silent" } };
    struct name_server server;
    char conf[100];

    (void)state;
    name_server_start(&server, loop, zone, 1);
    snprintf(conf, sizeof conf, "nameserver 127.0.0.1:%u", server.port);
    assert_int_equal(resolver_configure(resolver, span_text(conf), SPAN_NONE, NULL), ERROR_NONE);
    go("silent.example", 80, 150);
    assert_int_equal(room.failed, ERROR_TIMEOUT);
    assert_string_equal(room.text, "no connection to silent.example port 80 within 0.15 s");
    name_server_stop(&server);
}

static void names_without_address_say_so(void **state)
{
    (void)state;
    go("x.invalid", 80, 5000);
    assert_int_equal(room.failed, ERROR_NO_HOST);
    assert_string_equal(room.text, "there is no host x.invalid");
    go("not a name", 80, 5000);
    assert_int_equal(room.failed, ERROR_NO_HOST);
    assert_string_equal(room.text, "that is no host name");
}

static void the_policy_sees_every_address_and_its_alias(void **state)
{
    static const struct zone_row zone[] = {
        { "www.example", '4', "c:tracker.example/60 4:127.0.0.7/60 4:127.0.0.1/60" },
    };
    struct name_server server;
    uint16_t port = 0;
    int listening = listen_at("127.0.0.1", &port);
    char conf[100];

    (void)state;
    name_server_start(&server, loop, zone, 1);
    snprintf(conf, sizeof conf, "nameserver 127.0.0.1:%u", server.port);
    assert_int_equal(resolver_configure(resolver, span_text(conf), SPAN_NONE, NULL), ERROR_NONE);
    room.forbid = "127.0.0.7";
    go("www.example", port, 5000);
    assert_true(room.fd >= 0);
    assert_string_equal(room.order, "127.0.0.7 127.0.0.1");
    assert_string_equal(room.alias, "tracker.example");
    close(room.fd);
    go("www.example", port, 5000); // from the cache, and shown again
    assert_string_equal(room.order, "127.0.0.7 127.0.0.1");
    close(room.fd);

    room.forbid = "127.";
    go("www.example", port, 5000);
    assert_int_equal(room.failed, ERROR_FORBIDDEN);
    assert_string_equal(room.text, "127.0.0.7 is not allowed"); // the first
    room.forbid = "";
    go("127.0.0.1", port, 5000);
    assert_int_equal(room.failed, ERROR_FORBIDDEN);
    room.forbid = "127.0.0.7"; // one forbidden, one refused: that tells more
    go("www.example", closed_port(), 5000);
    assert_int_equal(room.failed, ERROR_REFUSED);
    close(listening);
    name_server_stop(&server);
}

static const struct {
    const char *hosts, *want;
} orders[] = {
    { "127.0.0.1 a\n127.0.0.2 a\n::1 a\n127.0.0.3 a\n::2 a\n",
      "::1 127.0.0.1 ::2 127.0.0.2 127.0.0.3" },
    { "::1 a\n::2 a\n::3 a\n127.0.0.1 a\n", "::1 127.0.0.1 ::2 ::3" },
    { "127.0.0.1 a\n127.0.0.2 a\n", "127.0.0.1 127.0.0.2" },
    { "::1 a\n::2 a\n", "::1 ::2" },
};

static void families_take_turns(void **state)
{
    (void)state;
    room.forbid = "";
    for (size_t i = 0; i < sizeof orders / sizeof *orders; i++) {
        set_hosts(orders[i].hosts);
        go("a", 80, 5000);
        assert_string_equal(room.order, orders[i].want);
    }
}

static void no_more_than_sixteen_are_tried(void **state)
{
    char hosts[4000] = "";
    uint16_t port = closed_port();

    (void)state;
    for (unsigned n = 1; n <= 16; n++) {
        size_t used = strlen(hosts);
        snprintf(hosts + used, sizeof hosts - used, "127.0.1.%u many\n", n);
    }
    set_hosts(hosts);
    go("many", port, 10000);
    assert_int_equal(room.failed, ERROR_REFUSED);
    assert_int_equal(room.shown, 16);
    for (unsigned n = 1; n <= 16; n++) {
        size_t used = strlen(hosts);
        snprintf(hosts + used, sizeof hosts - used, "::ffff:127.0.2.%u many\n", n);
    }
    set_hosts(hosts);
    go("many", port, 10000);
    assert_int_equal(room.failed, ERROR_REFUSED);
    assert_int_equal(room.shown, CONNECT_RACERS);
}

static void the_most_telling_failure_is_told(void **state)
{
    uint16_t port = closed_port();

    (void)state;
    set_hosts("::ffff:127.0.0.1 a\n255.255.255.255 a\n240.0.0.1 a\n255.255.255.255 b\n");
    go("a", port, 1000);
    assert_int_equal(room.failed, ERROR_REFUSED);
    go("b", port, 1000);
    assert_int_equal(room.failed, ERROR_ADDRESS);
}

static void without_descriptors_it_is_the_system(void **state)
{
    struct rlimit before, low;

    (void)state;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    low = before;
    low.rlim_cur = 3;
    setrlimit(RLIMIT_NOFILE, &low);
    start("127.0.0.1", 80, 1000);
    setrlimit(RLIMIT_NOFILE, &before);
    run();
    assert_int_equal(room.failed, ERROR_SYSTEM);
    assert_non_null(strstr(room.text, "Too many open files"));
}

static void cancelled_it_leaves_nothing(void **state)
{
    uint16_t port = 0;
    struct black_hole hole;
    size_t before;

    (void)state;
    connector_cancel(&room.connector); // harmless
    dig_black_hole(&hole, "127.0.0.1", &port);
    before = open_descriptors();
    start("127.0.0.1", port, 100);
    assert_true(connector_is_busy(&room.connector));
    connector_cancel(&room.connector);
    assert_int_equal(open_descriptors(), before);
    start("x.invalid", 80, 100);
    connector_cancel(&room.connector);
    start("127.0.0.1", closed_port(), 100);
    connector_cancel(&room.connector);
    loop_run(loop); // nothing to wait for
    assert_int_equal(room.calls, 0);
    fill_black_hole(&hole);
}

static unsigned rounds;
static uint16_t again_port;

static void start_again(void)
{
    if (rounds-- > 0)
        start("127.0.0.1", again_port, 1000);
    else
        loop_stop(loop);
}

static void it_may_start_again_in_its_callback(void **state)
{
    (void)state;
    rounds = 5;
    again_port = closed_port();
    room.then = start_again;
    start("127.0.0.1", again_port, 1000);
    run();
    assert_int_equal(room.failed, ERROR_REFUSED);
    assert_int_equal(rounds, UINT32_MAX);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(literals_connect),
        TEST(a_closed_port_refuses),
        TEST(resolving_counts_into_the_time),
        TEST(names_without_address_say_so),
        TEST(the_policy_sees_every_address_and_its_alias),
        TEST(families_take_turns),
        TEST(no_more_than_sixteen_are_tried),
        TEST(the_most_telling_failure_is_told),
        TEST(without_descriptors_it_is_the_system),
        TEST(cancelled_it_leaves_nothing),
        TEST(it_may_start_again_in_its_callback),
        TEST(a_refusing_address_gives_way_at_once),
        TEST(a_silent_address_gives_way_after_the_delay),
        TEST(silence_everywhere_is_a_timeout),
    };

    return cmocka_run_group_tests_name("connect", tests, NULL, NULL);
}

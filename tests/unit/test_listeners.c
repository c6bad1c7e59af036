/* Sets of listening sockets: what a reload opens, keeps and closes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "base/log.h"
#include "daemon/listeners.h"
#include "io/listener.h"

/* A port that is free now. */
static uint16_t free_port(void)
{
    struct address any, got;
    int fd;

    assert_true(address_parse_with_port(&any, SPAN("127.0.0.1:0")));
    assert_int_equal(listener_open(&fd, &any, false, NULL), ERROR_NONE);
    assert_int_equal(listener_address(fd, &got, NULL), ERROR_NONE);
    close(fd);
    return address_port(&got);
}

struct wish { // a config as far as listeners look at it
    struct config config;
    struct span items[LISTENERS_MOST + 2];
    char texts[LISTENERS_MOST + 2][80];
};

static void want(struct wish *wish, const char *address, unsigned port)
{
    size_t i = wish->config.listen.count++;

    snprintf(wish->texts[i], sizeof wish->texts[i], "%s:%u", address, port);
    wish->items[i] = span_text(wish->texts[i]);
    wish->config.listen.items = wish->items;
}

static bool is_open(int fd)
{
    return fcntl(fd, F_GETFD) >= 0;
}

static void a_reload_keeps_opens_and_closes(void **state)
{
    struct listeners none = { .count = 0 }, first, second;
    struct wish before = { 0 }, after = { 0 };
    uint16_t port = free_port();
    int kept_fd, gone_fd;

    (void)state;
    want(&before, "127.0.0.1", port);
    want(&before, "127.0.0.2", port);
    want(&before, "127.0.0.1", port); // twice is once
    assert_int_equal(listeners_make(&first, &none, &before.config, 2, NULL), ERROR_NONE);
    assert_int_equal(first.count, 2);
    kept_fd = listener_fd(first.items[0], 1);
    gone_fd = listener_fd(first.items[1], 0);
    want(&after, "127.0.0.3", port);
    want(&after, "127.0.0.1", port);
    assert_int_equal(listeners_make(&second, &first, &after.config, 2, NULL), ERROR_NONE);
    listeners_done(&first);
    assert_int_equal(second.count, 2);
    assert_int_equal(listener_fd(listeners_find(&second, after.texts[1]), 0), kept_fd);
    assert_true(is_open(kept_fd));
    assert_false(is_open(gone_fd));
    assert_null(listeners_find(&second, before.texts[1]));
    listeners_done(&second);
    assert_false(is_open(kept_fd));
}

static void a_reload_that_fails_changes_nothing(void **state)
{
    static const struct {
        const char *name, *address;
        unsigned port;
        enum error_kind want;
    } cases[] = {
        { "no address", "nowhere", 1, ERROR_CONFIG },
        { "too long", "1111111111111111111111111111111111111111111111111111111111111", 1,
          ERROR_CONFIG },
        { "not ours", "192.0.2.1", 8119, ERROR_ADDRESS },
    };
    struct listeners none = { .count = 0 }, first, second;
    struct wish before = { 0 };
    int fd;

    (void)state;
    want(&before, "127.0.0.1", free_port());
    assert_int_equal(listeners_make(&first, &none, &before.config, 1, NULL), ERROR_NONE);
    fd = listener_fd(first.items[0], 0);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct wish after = { 0 };
        enum error_kind kind;

        want(&after, "127.0.0.2", free_port());
        want(&after, cases[i].address, cases[i].port);
        kind = listeners_make(&second, &first, &after.config, 1, NULL);
        if (kind != cases[i].want)
            fail_msg("%s: got %s", cases[i].name, error_kind_name(kind));
        assert_true(is_open(fd));
        assert_int_equal(first.count, 1);
    }
    listeners_done(&first);
}

static void there_are_so_many_and_no_more(void **state)
{
    struct listeners none = { .count = 0 }, set;
    struct wish wish = { 0 };
    unsigned port = free_port();

    (void)state;
    for (int i = 1; i <= LISTENERS_MOST; i++) {
        char address[sizeof "127.0.0.-2147483648"]; // for all the compiler knows of i

        snprintf(address, sizeof address, "127.0.0.%d", i);
        want(&wish, address, port);
    }
    assert_int_equal(listeners_make(&set, &none, &wish.config, 1, NULL), ERROR_NONE);
    assert_int_equal(set.count, LISTENERS_MOST);
    listeners_done(&set);
    want(&wish, "127.0.0.200", port);
    assert_int_equal(listeners_make(&set, &none, &wish.config, 1, NULL), ERROR_LIMIT);
    assert_int_equal(listeners_make(&set, &none, &wish.config, LISTENER_PLACES + 1, NULL),
                     ERROR_LIMIT);
}

static void with_reuse_port_each_place_has_its_own(void **state)
{
    struct listeners none = { .count = 0 }, first, second;
    struct wish wish = { .config = { .reuse_port = true } };
    int fds[3];

    (void)state;
    want(&wish, "127.0.0.1", free_port());
    assert_int_equal(listeners_make(&first, &none, &wish.config, 2, NULL), ERROR_NONE);
    for (size_t i = 0; i < 2; i++)
        fds[i] = listener_fd(first.items[0], i);
    assert_true(fds[0] >= 0 && fds[1] >= 0 && fds[0] != fds[1]);
    assert_int_equal(listener_fd(first.items[0], 2), -1);
    assert_int_equal(listener_fd(first.items[0], LISTENER_PLACES), -1);
    assert_int_equal(listeners_make(&second, &first, &wish.config, 3, NULL), ERROR_NONE);
    listeners_done(&first);
    fds[2] = listener_fd(second.items[0], 2);
    assert_true(fds[2] >= 0);
    assert_int_equal(listener_fd(second.items[0], 0), fds[0]);
    listeners_trim(&second, 1);
    assert_true(is_open(fds[0]));
    assert_false(is_open(fds[1]) || is_open(fds[2]));
    assert_int_equal(listener_fd(second.items[0], 1), -1);
    listeners_done(&second);
}

static void sockets_of_systemd_stay_and_are_alone(void **state)
{
    struct listeners passed = { .count = 0 }, first, second;
    struct message_listener about = { .is_shared = 1, .is_passed = 1 };
    struct wish wish = { 0 };
    struct address any;
    int fd;

    (void)state;
    assert_true(address_parse_with_port(&any, SPAN("[::1]:0")));
    assert_int_equal(listener_open(&fd, &any, false, NULL), ERROR_NONE);
    listener_name_of(fd, about.name);
    assert_memory_equal(about.name, "[::1]:", 6);
    assert_int_equal(listeners_adopt(&passed, &about, fd, NULL), ERROR_NONE);
    assert_int_equal(listeners_adopt(&passed, &about, fd, NULL), ERROR_SYNTAX);
    want(&wish, "127.0.0.1", free_port());
    assert_int_equal(listeners_make(&first, &passed, &wish.config, 2, NULL), ERROR_NONE);
    listeners_done(&passed);
    assert_int_equal(listeners_make(&second, &first, &wish.config, 2, NULL), ERROR_NONE);
    listeners_done(&first);
    assert_int_equal(second.count, 1);
    assert_int_equal(listener_fd(second.items[0], 1), fd);
    listeners_done(&second);
    assert_false(is_open(fd));
}

static void a_predecessors_sockets_come_place_by_place(void **state)
{
    struct listeners set = { .count = 0 };
    struct message_listener about = { .name = "127.0.0.1:8119" };
    int fds[2] = { dup(0), dup(0) };

    (void)state;
    for (uint32_t i = 0; i < 2; i++) {
        about.place = i;
        assert_int_equal(listeners_adopt(&set, &about, fds[i], NULL), ERROR_NONE);
        assert_int_equal(listeners_adopt(&set, &about, fds[i], NULL), ERROR_SYNTAX);
    }
    assert_int_equal(set.count, 1);
    assert_int_equal(listener_fd(set.items[0], 1), fds[1]);
    about.is_shared = 1; // and now it should be everybody's?
    assert_int_equal(listeners_adopt(&set, &about, fds[0], NULL), ERROR_SYNTAX);
    about.is_shared = 0;
    about.place = LISTENER_PLACES;
    assert_int_equal(listeners_adopt(&set, &about, fds[0], NULL), ERROR_LIMIT);
    listeners_done(&set);
    assert_false(is_open(fds[0]) || is_open(fds[1]));
}

static int be_quiet(void **state)
{
    (void)state;
    log_set_level(LOG_LEVEL_ERROR);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_reload_keeps_opens_and_closes),
        cmocka_unit_test(a_reload_that_fails_changes_nothing),
        cmocka_unit_test(there_are_so_many_and_no_more),
        cmocka_unit_test(with_reuse_port_each_place_has_its_own),
        cmocka_unit_test(sockets_of_systemd_stay_and_are_alone),
        cmocka_unit_test(a_predecessors_sockets_come_place_by_place),
    };
    return cmocka_run_group_tests(tests, be_quiet, NULL);
}

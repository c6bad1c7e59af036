/* What the kernel holds of a stream that nobody reads: bounded, and let grow again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

#include <sys/socket.h>
#include <unistd.h>

#include "io/backlog.h"

#ifndef SO_BUF_LOCK
#define SO_BUF_LOCK 72
#endif

static int option(int fd, int name)
{
    int value = -1;
    socklen_t size = sizeof value;

    assert_int_equal(getsockopt(fd, SOL_SOCKET, name, &value, &size), 0);
    return value;
}

/* A socket with a receive buffer of that size, that may still grow; -1 where the system gives none.
 */
static int grown(int bytes)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), half = bytes / 2, nothing = 0;

    assert_true(fd >= 0);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &half, sizeof half), 0);
    if (option(fd, SO_RCVBUF) < bytes ||
        setsockopt(fd, SOL_SOCKET, SO_BUF_LOCK, &nothing, sizeof nothing) < 0) {
        close(fd);
        return -1;
    }
    return fd;
}

static void it_is_set_and_locked(void **state)
{
    static const struct {
        const char *name;
        int bytes;
    } cases[] = {
        { "small", 256 * 1024 },
        { "as it is to be", BACKLOG_BYTES },
        { "large", 2 * BACKLOG_BYTES },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct backlog backlog = { 0 };
        int fd = grown(cases[i].bytes);
        if (fd < 0) {
            print_message("%s: net.core.rmem_max is too small here\n", cases[i].name);
            continue;
        }
        backlog_stop(&backlog, fd, 5000);
        if (option(fd, SO_RCVBUF) != BACKLOG_BYTES || option(fd, SO_BUF_LOCK) == 0)
            fail_msg("%s: %d bytes, lock %d", cases[i].name, option(fd, SO_RCVBUF),
                     option(fd, SO_BUF_LOCK));
        close(fd);
    }
}

static void it_grows_again_after_a_calm_while(void **state)
{
    struct backlog backlog = { 0 };
    int fd = grown(2 * BACKLOG_BYTES);

    (void)state;
    if (fd < 0) {
        print_message("net.core.rmem_max is too small here\n");
        return;
    }
    backlog_stop(&backlog, fd, 5000);
    assert_int_not_equal(option(fd, SO_BUF_LOCK), 0);
    backlog_go_on(&backlog, fd, 5000 + BACKLOG_CALM_MS - 1);
    assert_int_not_equal(option(fd, SO_BUF_LOCK), 0);
    backlog_stop(&backlog, fd, 5500); // the calm begins anew
    backlog_go_on(&backlog, fd, 5500 + BACKLOG_CALM_MS - 1);
    assert_int_not_equal(option(fd, SO_BUF_LOCK), 0);
    backlog_go_on(&backlog, fd, 5500 + BACKLOG_CALM_MS);
    assert_int_equal(option(fd, SO_BUF_LOCK), 0);
    assert_int_equal(option(fd, SO_RCVBUF), BACKLOG_BYTES);
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_is_set_and_locked),
        cmocka_unit_test(it_grows_again_after_a_calm_while),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

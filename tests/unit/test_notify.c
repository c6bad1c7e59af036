/* The service manager is played: what it is told, and what sockets it hands over. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemon/notify.h"

struct manager {
    char path[64];
    int fd;
};

static void manager_open(struct manager *manager, bool is_abstract)
{
    struct sockaddr_un at = { .sun_family = AF_UNIX };
    int size = snprintf(manager->path, sizeof manager->path, "%s/dejunk-test-notify-%d",
                        is_abstract ? "@" : "/tmp", (int)getpid());

    memcpy(at.sun_path, manager->path, (size_t)size);
    if (is_abstract)
        at.sun_path[0] = '\0';
    manager->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(manager->fd, (struct sockaddr *)&at,
                          (socklen_t)(offsetof(struct sockaddr_un, sun_path) + (size_t)size)),
                     0);
    setenv("NOTIFY_SOCKET", manager->path, 1);
}

static void manager_close(struct manager *manager)
{
    close(manager->fd);
    if (manager->path[0] == '/')
        unlink(manager->path);
    unsetenv("NOTIFY_SOCKET");
}

static void assert_told(const struct manager *manager, const char *want)
{
    char text[2048];
    ssize_t size = recv(manager->fd, text, sizeof text - 1, 0);

    assert_true(size >= 0);
    text[size] = '\0';
    assert_string_equal(text, want);
}

static void the_manager_is_told(void **state)
{
    (void)state;
    for (int is_abstract = 0; is_abstract <= 1; is_abstract++) {
        struct manager manager;
        struct notify notify;
        char text[256];
        unsigned long long usec = 0;
        ssize_t size;

        manager_open(&manager, is_abstract);
        assert_int_equal(notify_open(&notify, NULL), ERROR_NONE);
        notify_ready(&notify, "2 workers");
        assert_told(&manager, "READY=1\nSTATUS=2 workers");
        notify_reloading(&notify);
        size = recv(manager.fd, text, sizeof text - 1, 0);
        assert_true(size > 0);
        text[size] = '\0';
        assert_int_equal(sscanf(text, "RELOADING=1\nMONOTONIC_USEC=%llu", &usec), 1);
        assert_true(usec > 0);
        notify_stopping(&notify);
        assert_told(&manager, "STOPPING=1\nSTATUS=draining");
        notify_watchdog(&notify);
        assert_told(&manager, "WATCHDOG=1");
        notify_status(&notify, "x");
        assert_told(&manager, "STATUS=x");
        notify_main_pid(&notify, 77);
        assert_told(&manager, "MAINPID=77");
        notify_close(&notify);
        notify_ready(&notify, "nobody hears this");
        assert_int_equal(recv(manager.fd, text, sizeof text, 0), -1);
        manager_close(&manager);
    }
}

static void long_statuses_are_cut(void **state)
{
    struct manager manager;
    struct notify notify;
    char status[3000], text[4000];

    (void)state;
    memset(status, 'x', sizeof status - 1);
    status[sizeof status - 1] = '\0';
    manager_open(&manager, true);
    assert_int_equal(notify_open(&notify, NULL), ERROR_NONE);
    notify_status(&notify, status);
    assert_int_equal(recv(manager.fd, text, sizeof text, 0), 1023);
    notify_close(&notify);
    manager_close(&manager);
}

static void a_manager_that_is_gone_or_full_stops_nothing(void **state)
{
    struct manager manager;
    struct notify notify;

    (void)state;
    manager_open(&manager, false);
    assert_int_equal(notify_open(&notify, NULL), ERROR_NONE);
    for (int i = 0; i < 10000; i++)
        notify_watchdog(&notify); // nobody reads
    manager_close(&manager);
    notify_ready(&notify, "x");
    notify_close(&notify);
}

static void only_paths_are_sockets(void **state)
{
    static const struct {
        const char *begin;
        size_t size; // filled up with x
        enum error_kind want;
    } cases[] = {
        { "", 0, ERROR_NONE },     { "relative", 8, ERROR_ADDRESS }, { "/", 1, ERROR_ADDRESS },
        { "@", 1, ERROR_ADDRESS }, { "/", 107, ERROR_NONE },         { "/", 108, ERROR_ADDRESS },
        { "@", 107, ERROR_NONE },  { "@", 108, ERROR_ADDRESS },      { "/", 5000, ERROR_ADDRESS },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char value[5001];
        struct notify notify;
        enum error_kind kind;

        memset(value, 'x', sizeof value);
        memcpy(value, cases[i].begin, strlen(cases[i].begin));
        value[cases[i].size] = '\0';
        setenv("NOTIFY_SOCKET", value, 1);
        kind = notify_open(&notify, NULL);
        if (kind != cases[i].want)
            fail_msg("%s and %zu bytes: got %s", cases[i].begin, cases[i].size,
                     error_kind_name(kind));
        notify_close(&notify);
    }
    unsetenv("NOTIFY_SOCKET");
}

static void the_watchdog_is_ours_or_not(void **state)
{
    static const struct {
        const char *usec;
        int pid_offset; // to our own; -1: no WATCHDOG_PID at all
        uint64_t want_ms;
    } cases[] = {
        { "30000000", 0, 30000 }, { "30000000", 1, 0 }, { "30000000", -1, 30000 },
        { "nonsense", 0, 0 },     { "", 0, 0 },         { "-1", 0, 0 },
    };
    struct manager manager;

    (void)state;
    manager_open(&manager, true);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct notify notify;
        char pid[16];

        snprintf(pid, sizeof pid, "%d", (int)getpid() + cases[i].pid_offset);
        setenv("WATCHDOG_USEC", cases[i].usec, 1);
        if (cases[i].pid_offset < 0)
            unsetenv("WATCHDOG_PID");
        else
            setenv("WATCHDOG_PID", pid, 1);
        assert_int_equal(notify_open(&notify, NULL), ERROR_NONE);
        if (notify.watchdog_ms != cases[i].want_ms)
            fail_msg("row %zu: %llu ms", i, (unsigned long long)notify.watchdog_ms);
        notify_close(&notify);
    }
    unsetenv("WATCHDOG_USEC");
    unsetenv("WATCHDOG_PID");
    manager_close(&manager);
}

/* In a process of its own, where descriptors can be put in place. Returns the kind, or 100 plus
 * the count. */
static int take_in_child(int first, int second, const char *count, bool for_us)
{
    int status;
    pid_t pid = fork();

    if (pid == 0) {
        int fds[NOTIFY_SOCKETS];
        size_t got = 99;
        char self[16];
        enum error_kind kind;

        if (second >= 0)
            second = fcntl(second, F_DUPFD, 100);
        if (first >= 0)
            dup2(first, 3);
        if (second >= 0)
            dup2(second, 4);
        snprintf(self, sizeof self, "%d", (int)getpid() + (for_us ? 0 : 1));
        setenv("LISTEN_PID", self, 1);
        setenv("LISTEN_FDS", count, 1);
        kind = notify_take_sockets(fds, &got, NULL);
        if (getenv("LISTEN_PID") || getenv("LISTEN_FDS"))
            _exit(99);
        if (kind == ERROR_NONE && got > 0 &&
            (!(fcntl(3, F_GETFL) & O_NONBLOCK) || !(fcntl(3, F_GETFD) & FD_CLOEXEC)))
            _exit(98);
        _exit(kind == ERROR_NONE ? 100 + (int)got : (int)kind);
    }
    assert_true(pid > 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static int listening_socket(int family, int type)
{
    int fd = socket(family, type, 0);

    assert_true(fd >= 0);
    if (type == SOCK_STREAM)
        assert_int_equal(listen(fd, 1), 0);
    return fd;
}

static void passed_sockets_are_taken_and_checked(void **state)
{
    int v4 = listening_socket(AF_INET, SOCK_STREAM), udp = listening_socket(AF_INET, SOCK_DGRAM);
    int other = listening_socket(AF_INET, SOCK_STREAM), deaf = socket(AF_INET, SOCK_STREAM, 0);
    const struct {
        const char *name;
        int first, second;
        const char *count;
        bool for_us;
        int want;
    } cases[] = {
        { "one", v4, -1, "1", true, 101 },
        { "two", v4, other, "2", true, 102 },
        { "for somebody else", v4, -1, "1", false, 100 },
        { "none", v4, -1, "0", true, 100 },
        { "no number", v4, -1, "x", true, 100 },
        { "datagrams", udp, -1, "1", true, ERROR_CONFIG },
        { "the second is bad", v4, udp, "2", true, ERROR_CONFIG },
        { "not listening", deaf, -1, "1", true, ERROR_CONFIG },
        { "not that many", v4, -1, "60", true, ERROR_CONFIG },
        { "too many", v4, -1, "65", true, ERROR_CONFIG },
        { "very many", v4, -1, "18446744073709551615", true, ERROR_CONFIG },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int got = take_in_child(cases[i].first, cases[i].second, cases[i].count, cases[i].for_us);
        if (got != cases[i].want)
            fail_msg("%s: got %d", cases[i].name, got);
    }
    close(v4);
    close(udp);
    close(other);
    close(deaf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_manager_is_told),
        cmocka_unit_test(long_statuses_are_cut),
        cmocka_unit_test(a_manager_that_is_gone_or_full_stops_nothing),
        cmocka_unit_test(only_paths_are_sockets),
        cmocka_unit_test(the_watchdog_is_ours_or_not),
        cmocka_unit_test(passed_sockets_are_taken_and_checked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* The control socket: one line in, one answer out; followers; its place in the file system. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "admin/control.h"

enum { ROUNDS = 2000 };

static struct {
    struct loop *loop;
    struct control *control;
    char directory[64], path[100];
    struct control_caller *waiting;
    size_t requests, gone;
} test;

static void on_request(void *owner, struct control_caller *caller,
                       const struct control_request *request)
{
    assert_ptr_equal(owner, &test);
    test.requests++;
    switch (request->verb) {
    case CONTROL_STATUS:
        control_answer(caller, NULL, SPAN("fine\n"));
        break;
    case CONTROL_LOG:
        control_follow(caller);
        break;
    case CONTROL_RELOAD: // later
        test.waiting = caller;
        break;
    default:
        control_answer(caller, "no", SPAN("not shown"));
        break;
    }
}

static void on_gone(void *owner, struct control_caller *caller)
{
    assert_ptr_equal(owner, &test);
    if (caller == test.waiting)
        test.waiting = NULL;
    test.gone++;
}

static const struct control_events events = { on_request, on_gone };

static int open_socket(void **state)
{
    struct error error;

    (void)state;
    memset(&test, 0, sizeof test);
    snprintf(test.directory, sizeof test.directory, "/tmp/dejunk-control-XXXXXX");
    if (!mkdtemp(test.directory))
        return -1;
    snprintf(test.path, sizeof test.path, "%s/run/control.sock", test.directory);
    return loop_new(&test.loop, &error) != ERROR_NONE ||
           control_open(&test.control, test.loop, test.path, &events, &test, &error) != ERROR_NONE;
}

static int close_socket(void **state)
{
    char run[80];

    (void)state;
    control_free(&test.control);
    loop_free(&test.loop);
    snprintf(run, sizeof run, "%s/run", test.directory);
    return rmdir(run) < 0 || rmdir(test.directory) < 0;
}

static void turn(void)
{
    ev_run(test.loop->ev, EVRUN_NOWAIT);
}

static int connect_to(const char *path)
{
    struct sockaddr_un name = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);

    snprintf(name.sun_path, sizeof name.sun_path, "%s", path);
    assert_int_equal(connect(fd, (struct sockaddr *)&name, sizeof name), 0);
    return fd;
}

/* Turns the loop until that text has come, and nothing else; or with at_end until the end. */
static void expect(int fd, const char *want, bool at_end)
{
    char got[4096];
    size_t size = 0;

    for (int i = 0; i < ROUNDS; i++) {
        ssize_t more;

        turn();
        more = recv(fd, got + size, sizeof got - 1 - size, 0);
        if (more > 0)
            size += (size_t)more;
        if ((more == 0 && at_end) || (!at_end && size >= strlen(want)))
            break;
        assert_true(more > 0 || (more < 0 && errno == EAGAIN));
    }
    got[size] = '\0';
    assert_string_equal(got, want);
}

static void say(int fd, const char *text)
{
    assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

static void answers_and_ends(void **state)
{
    static const struct {
        const char *line, *want;
    } cases[] = {
        { "status\n", "ok\nfine\n" },
        { "pause 5\n", "error no\n" },
        { "nonsense\n", "error \"nonsense\" is not known here\n" },
        { "status\nstatus\n", "ok\nfine\n" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (int cut = 0; cut < 2; cut++) {
            int fd = connect_to(test.path);

            if (cut) { // byte by byte, up to the line's end
                for (const char *at = cases[i].line; *at; at++) {
                    send(fd, at, 1, MSG_NOSIGNAL);
                    turn();
                    turn();
                }
            } else {
                say(fd, cases[i].line);
            }
            expect(fd, cases[i].want, true);
            close(fd);
        }
    assert_int_equal(test.gone, 0);
}

static void answers_may_come_later(void **state)
{
    int fd = connect_to(test.path), other = connect_to(test.path);

    (void)state;
    say(fd, "reload\n");
    shutdown(fd, SHUT_WR); // it waits all the same
    for (int i = 0; i < 50; i++)
        turn();
    assert_non_null(test.waiting);
    say(other, "status\n");
    expect(other, "ok\nfine\n", true);
    control_answer(test.waiting, NULL, SPAN("done\n"));
    expect(fd, "ok\ndone\n", true);
    assert_int_equal(test.gone, 0);
    close(fd);
    close(other);
}

static void who_goes_away_is_told(void **state)
{
    int waiting = connect_to(test.path), follower = connect_to(test.path);

    (void)state;
    say(waiting, "reload\n");
    say(follower, "log\n");
    expect(follower, "ok\n", false);
    assert_int_equal(control_followers(test.control), 1);
    close(follower);
    for (int i = 0; i < ROUNDS && test.gone < 1; i++)
        turn();
    assert_int_equal(test.gone, 1);
    assert_int_equal(control_followers(test.control), 0);
    assert_non_null(test.waiting);
    control_free(&test.control); // the other one is told with the end of all
    assert_int_equal(test.gone, 2);
    assert_null(test.waiting);
    close(waiting);
}

static void followers_get_lines_and_lose_some(void **state)
{
    static char line[8192];
    int fd = connect_to(test.path), slow = connect_to(test.path);
    struct span text = span_of(line, sizeof line);
    uint64_t lost = 0;

    (void)state;
    say(fd, "log\n");
    expect(fd, "ok\n", false);
    control_tell(test.control, SPAN("one\n"));
    control_tell(test.control, SPAN("two\n"));
    expect(fd, "one\ntwo\n", false);
    close(fd);

    say(slow, "log\n");
    expect(slow, "ok\n", false);
    memset(line, 'x', sizeof line);
    line[sizeof line - 1] = '\n';
    for (int i = 0; i < 500; i++) // more than socket and buffer hold
        control_tell(test.control, text);
    for (int i = 0; i < ROUNDS && lost == 0; i++) {
        static char got[65536];
        ssize_t size = recv(slow, got, sizeof got - 1, 0);

        if (size > 0) {
            char *at;
            got[size] = '\0';
            at = strstr(got, "(");
            if (at)
                lost = strtoull(at + 1, NULL, 10);
        }
        turn();
        control_tell(test.control, SPAN("again\n"));
    }
    assert_true(lost > 100 && lost < 3000);
    close(slow);
}

static void lines_have_a_limit(void **state)
{
    static char line[CONTROL_LINE_BYTES + 2];

    (void)state;
    for (int more = 0; more < 2; more++) {
        int fd = connect_to(test.path);
        size_t size = CONTROL_LINE_BYTES + (size_t)more;
        char want[200];

        memset(line, 'x', sizeof line);
        line[size] = '\n';
        assert_int_equal(send(fd, line, size + 1, MSG_NOSIGNAL), size + 1);
        snprintf(want, sizeof want, "error \"%.60s...\" is not known here\n", line);
        expect(fd, more ? "error the line is too long\n" : want, true);
        close(fd);
    }
}

static void no_more_callers_than_the_limit(void **state)
{
    int fds[CONTROL_CALLERS + 1];
    char byte;

    (void)state;
    for (int i = 0; i <= CONTROL_CALLERS; i++)
        fds[i] = connect_to(test.path);
    for (int i = 0; i < 100; i++)
        turn();
    assert_int_equal(recv(fds[CONTROL_CALLERS], &byte, 1, 0), 0);
    assert_int_equal(recv(fds[CONTROL_CALLERS - 1], &byte, 1, 0), -1);
    say(fds[0], "status\n");
    expect(fds[0], "ok\nfine\n", true);
    close(fds[CONTROL_CALLERS]);
    fds[CONTROL_CALLERS] = connect_to(test.path);
    say(fds[CONTROL_CALLERS], "status\n");
    expect(fds[CONTROL_CALLERS], "ok\nfine\n", true);
    for (int i = 0; i <= CONTROL_CALLERS; i++)
        close(fds[i]);
}

static void a_successor_takes_the_name_over(void **state)
{
    struct control *next = NULL;
    struct stat about;
    struct error error;
    int fd;

    (void)state;
    assert_int_equal(stat(test.path, &about), 0);
    assert_int_equal(about.st_mode & 0777, 0660);
    assert_int_equal(control_open(&next, test.loop, test.path, &events, &test, &error), ERROR_NONE);
    control_free(&test.control);
    assert_int_equal(stat(test.path, &about), 0); // no longer the first one's to take away
    fd = connect_to(test.path);
    say(fd, "status\n");
    expect(fd, "ok\nfine\n", true);
    close(fd);
    control_free(&next);
    assert_int_equal(stat(test.path, &about), -1);
}

static void paths_have_a_limit(void **state)
{
    char path[PATH_MAX];
    struct control *control = NULL;
    struct error error;

    (void)state;
    snprintf(path, sizeof path, "%s/%0*d", test.directory, 120, 1);
    assert_int_equal(control_open(&control, test.loop, path, &events, &test, &error),
                     ERROR_ADDRESS);
    assert_null(control);
    assert_int_equal(control_open(&control, test.loop, "/nonexistent/a/b", &events, &test, &error),
                     ERROR_ADDRESS);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_socket, close_socket)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(answers_and_ends),
        TEST(answers_may_come_later),
        TEST(who_goes_away_is_told),
        TEST(followers_get_lines_and_lose_some),
        TEST(lines_have_a_limit),
        TEST(no_more_callers_than_the_limit),
        TEST(a_successor_takes_the_name_over),
        TEST(paths_have_a_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

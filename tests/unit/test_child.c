/* A process that is kept alive: started, replaced when it ends, killed when it misbehaves. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "daemon/child.h"

static void the_wait_grows_with_crashes(void **state)
{
    static const struct {
        const char *name;
        uint64_t ended_ms[12];
        uint64_t want_ms[12];
        size_t count;
    } cases[] = {
        { "one and one later", { 0, 60000 }, { 0, 0 }, 2 },
        { "two at once", { 0, 1 }, { 0, 0 }, 2 },
        { "the third within ten seconds", { 0, 1, 10000 }, { 0, 0, 250 }, 3 },
        { "the third just after", { 0, 1, 10001 }, { 0, 0, 0 }, 3 },
        { "every nine seconds", { 0, 9000, 18000, 27000 }, { 0, 0, 0, 0 }, 4 },
        { "a crash at once each time",
          { 0, 0, 0, 250, 750, 1750, 3750, 7750, 15750, 23750 },
          { 0, 0, 250, 500, 1000, 2000, 4000, 8000, 8000, 8000 },
          10 },
        { "good again, then bad again",
          { 0, 0, 0, 250, 60000, 60000, 60000 },
          { 0, 0, 250, 500, 0, 0, 250 },
          7 },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct child_history history = { .count = 0 };

        for (size_t k = 0; k < cases[i].count; k++) {
            uint64_t got = child_wait_ms(&history, 1000000 + cases[i].ended_ms[k]);
            if (got != cases[i].want_ms[k])
                fail_msg("%s: end %zu: %llu ms", cases[i].name, k, (unsigned long long)got);
        }
    }
}

struct parent {
    struct loop *loop;
    struct child *child;
    struct loop_timer too_late;
    int (*behave)(int channel);
    unsigned started, ready, ended, messages;
    int last_status;
    bool replaces, frees;
    unsigned stop_at_started, stop_at_ended;
};

static int run(void *owner, int channel)
{
    return ((struct parent *)owner)->behave(channel);
}

static void on_started(void *owner, int pid)
{
    struct parent *parent = owner;

    assert_int_equal(pid, child_pid(parent->child));
    if (++parent->started == parent->stop_at_started)
        loop_stop(parent->loop);
}

static void on_ready(void *owner)
{
    struct parent *parent = owner;

    parent->ready++;
    assert_int_equal(child_phase(parent->child), CHILD_SERVING);
}

static void on_message(void *owner, struct message *message)
{
    struct parent *parent = owner;

    parent->messages++;
    if (message->fd >= 0)
        close(message->fd);
}

static bool on_ended(void *owner, int status)
{
    struct parent *parent = owner;

    parent->last_status = status;
    if (++parent->ended == parent->stop_at_ended)
        loop_stop(parent->loop);
    if (parent->frees) {
        child_free(&parent->child);
        return false;
    }
    return parent->replaces;
}

static const struct child_events events = { run, on_started, on_ready, on_message, on_ended };

static void on_too_late(void *owner)
{
    (void)owner;
    fail_msg("nothing happens");
}

static void begin(struct parent *parent, int (*behave)(int channel))
{
    *parent = (struct parent){ .behave = behave };
    log_set_level(LOG_LEVEL_ERROR);
    assert_int_equal(loop_new(&parent->loop, NULL), ERROR_NONE);
    loop_timer_init(&parent->too_late, parent->loop, on_too_late, parent);
    loop_timer_set(&parent->too_late, 20000);
    parent->child = child_new(parent->loop, "test", &events, parent);
}

static void end(struct parent *parent)
{
    child_free(&parent->child);
    loop_timer_stop(&parent->too_late);
    loop_free(&parent->loop);
}

static void say(int channel, enum message_type type)
{
    struct message message = message_of(type);

    message_send(channel, &message, NULL);
}

static int ready_then_exit_3(int channel)
{
    say(channel, MESSAGE_READY);
    say(channel, MESSAGE_DRAINED);
    return 3;
}

static void what_a_child_says_and_how_it_ends_is_told(void **state)
{
    struct parent parent;

    (void)state;
    begin(&parent, ready_then_exit_3);
    parent.stop_at_ended = 1;
    child_start(parent.child);
    child_start(parent.child); // once is enough
    loop_run(parent.loop);
    assert_int_equal(parent.started, 1);
    assert_int_equal(parent.ended, 1);
    assert_true(WIFEXITED(parent.last_status));
    assert_int_equal(WEXITSTATUS(parent.last_status), 3);
    assert_int_equal(child_phase(parent.child), CHILD_IDLE);
    assert_int_equal(child_pid(parent.child), 0);
    end(&parent);
}

static int serve(int channel)
{
    say(channel, MESSAGE_READY);
    for (;;) {
        struct message message;

        poll(&(struct pollfd){ .fd = channel, .events = POLLIN }, 1, -1);
        if (message_receive(channel, &message, NULL) == MESSAGE_END)
            return 0;
        say(channel, MESSAGE_PONG);
    }
}

static void a_killed_child_is_replaced_at_once(void **state)
{
    struct parent parent;

    (void)state;
    begin(&parent, serve);
    parent.replaces = true;
    for (unsigned i = 1; i <= 3; i++) {
        child_start(parent.child);
        if (i == 3)
            break;
        parent.stop_at_started = i + 1;
        kill(child_pid(parent.child), SIGKILL);
        loop_run(parent.loop);
        assert_int_equal(parent.ended, i);
        assert_true(WIFSIGNALED(parent.last_status));
    }
    end(&parent);
}

static void a_child_can_be_freed_in_its_own_event(void **state)
{
    struct parent parent;

    (void)state;
    begin(&parent, ready_then_exit_3);
    parent.frees = true;
    parent.stop_at_ended = 1;
    child_start(parent.child);
    loop_run(parent.loop);
    assert_null(parent.child);
    end(&parent);
}

static int speak_nonsense(int channel)
{
    send(channel, "nonsense", 8, 0);
    while (pause() < 0)
        continue;
    return 0;
}

static void nonsense_ends_a_child(void **state)
{
    struct parent parent;

    (void)state;
    begin(&parent, speak_nonsense);
    parent.stop_at_ended = 1;
    child_start(parent.child);
    loop_run(parent.loop);
    assert_int_equal(WTERMSIG(parent.last_status), SIGKILL);
    end(&parent);
}

static int never_listen(int channel)
{
    (void)channel;
    while (pause() < 0)
        continue;
    return 0;
}

static void a_child_that_takes_no_messages_is_ended(void **state)
{
    struct message message = message_of(MESSAGE_NO_ACCESS_LOG);
    struct parent parent;
    unsigned sent = 0;

    (void)state;
    begin(&parent, never_listen);
    parent.stop_at_ended = 1;
    child_start(parent.child);
    while (child_send(parent.child, &message))
        assert_true(++sent < 100000);
    assert_true(sent > 200);
    loop_run(parent.loop);
    assert_int_equal(WTERMSIG(parent.last_status), SIGKILL);
    assert_false(child_send(parent.child, &message));
    end(&parent);
}

static int exits_well(int channel)
{
    sigset_t blocked;
    struct sigaction action;
    static const int ignored[] = { SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGUSR2, SIGPIPE };

    (void)channel;
    sigprocmask(SIG_SETMASK, NULL, &blocked);
    for (int number = 1; number < 32; number++)
        if (sigismember(&blocked, number))
            return 90;
    for (size_t i = 0; i < sizeof ignored / sizeof *ignored; i++)
        if (sigaction(ignored[i], NULL, &action) < 0 || action.sa_handler != SIG_IGN)
            return 91;
    if (sigaction(SIGABRT, NULL, &action) < 0 || action.sa_handler != SIG_DFL)
        return 92;
    return 0;
}

static void a_child_begins_with_clean_signals(void **state)
{
    struct parent parent;

    (void)state;
    begin(&parent, exits_well);
    parent.stop_at_ended = 1;
    signal(SIGABRT, SIG_IGN);
    child_start(parent.child);
    signal(SIGABRT, SIG_DFL);
    loop_run(parent.loop);
    assert_int_equal(WEXITSTATUS(parent.last_status), 0);
    end(&parent);
}

static bool is_open(int fd)
{
    return fcntl(fd, F_GETFD) >= 0 || errno != EBADF;
}

static int keeps_some(int channel)
{
    const int kept[] = { 70, channel, 50, 2, 50 };

    for (int fd = 50; fd <= 80; fd += 10)
        dup2(channel, fd);
    child_keep_only(kept, 5);
    if (!is_open(0) || !is_open(1) || !is_open(2) || !is_open(50) || !is_open(70) ||
        !is_open(channel))
        return 1;
    for (int fd = 3; fd < 1024; fd++)
        if (fd != 50 && fd != 70 && fd != channel && is_open(fd))
            return 2;
    return 0;
}

static void only_what_is_kept_stays_open(void **state)
{
    struct parent parent;

    (void)state;
    begin(&parent, keeps_some);
    parent.stop_at_ended = 1;
    child_start(parent.child);
    loop_run(parent.loop);
    assert_int_equal(WEXITSTATUS(parent.last_status), 0);
    end(&parent);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_wait_grows_with_crashes),
        cmocka_unit_test(what_a_child_says_and_how_it_ends_is_told),
        cmocka_unit_test(a_killed_child_is_replaced_at_once),
        cmocka_unit_test(a_child_can_be_freed_in_its_own_event),
        cmocka_unit_test(nonsense_ends_a_child),
        cmocka_unit_test(a_child_that_takes_no_messages_is_ended),
        cmocka_unit_test(a_child_begins_with_clean_signals),
        cmocka_unit_test(only_what_is_kept_stays_open),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

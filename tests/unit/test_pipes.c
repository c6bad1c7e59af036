/* Pipes: borrowed, given back, used to relay; none to be had is normal. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "io/pipes.h"

static struct loop *loop;
static const struct stream_events no_events;

static void pipes_are_kept_up_to_a_limit(void **state)
{
    static struct pipe_pair pairs[PIPES_KEPT + 1];
    struct pipe_pool pool;

    (void)state;
    pipes_init(&pool);
    for (size_t i = 0; i <= PIPES_KEPT; i++) {
        assert_true(pipes_borrow(&pool, &pairs[i]));
        assert_true(pairs[i].size_bytes >= PIPES_MIN_BYTES);
        assert_int_equal(pairs[i].held_bytes, 0);
    }
    for (size_t i = 0; i <= PIPES_KEPT; i++) {
        pipes_give_back(&pool, &pairs[i]);
        assert_int_equal(pairs[i].read_fd, -1);
    }
    assert_int_equal(pool.count, PIPES_KEPT);
    assert_true(pipes_borrow(&pool, &pairs[0]));
    assert_int_equal(pool.count, PIPES_KEPT - 1);
    pipes_give_back(&pool, &pairs[0]);
    pipes_done(&pool);
    assert_int_equal(pool.count, 0);
}

static void a_pipe_with_bytes_is_not_kept(void **state)
{
    struct pipe_pool pool;
    struct pipe_pair pair;
    int fd;

    (void)state;
    pipes_init(&pool);
    assert_true(pipes_borrow(&pool, &pair));
    fd = pair.read_fd;
    pair.held_bytes = (size_t)write(pair.write_fd, "x", 1);
    pipes_give_back(&pool, &pair);
    assert_int_equal(pool.count, 0);
    assert_int_equal(fcntl(fd, F_GETFD), -1);
    pipes_done(&pool);
}

static void none_to_be_had_is_no_accident(void **state)
{
    struct rlimit before, low;
    struct pipe_pool pool;
    struct pipe_pair pair;
    bool got;

    (void)state;
    pipes_init(&pool);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    low = before;
    low.rlim_cur = 3;
    setrlimit(RLIMIT_NOFILE, &low);
    got = pipes_borrow(&pool, &pair);
    setrlimit(RLIMIT_NOFILE, &before);
    assert_false(got);
    for (unsigned i = 0; i < PIPES_REST; i++)
        assert_false(pipes_borrow(&pool, &pair)); // does not even try
    assert_true(pipes_borrow(&pool, &pair));
    pipes_give_back(&pool, &pair);
    pipes_done(&pool);
}

static void open_stream(struct stream *stream, int *far)
{
    int fds[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
    stream_init_tcp(stream, loop, fds[0], &no_events, NULL);
    *far = fds[1];
}

static void bytes_go_through(void **state)
{
    struct pipe_pool pool;
    struct pipe_pair pair;
    struct stream from, to;
    int source, sink;
    char bytes[100];
    size_t moved = 0;

    (void)state;
    pipes_init(&pool);
    assert_true(pipes_borrow(&pool, &pair));
    open_stream(&from, &source);
    open_stream(&to, &sink);

    assert_int_equal(stream_splice_in(&from, &pair, 1000, &moved), STREAM_WAIT);
    assert_int_equal(write(source, "hello world", 11), 11);
    assert_int_equal(stream_splice_in(&from, &pair, 5, &moved), STREAM_OK);
    assert_int_equal(moved, 5);
    assert_int_equal(stream_splice_in(&from, &pair, 1000, &moved), STREAM_OK);
    assert_int_equal(moved, 6);
    assert_int_equal(pair.held_bytes, 11);
    assert_int_equal(stream_splice_out(&to, &pair, &moved), STREAM_OK);
    while (pair.held_bytes > 0)
        assert_int_equal(stream_splice_out(&to, &pair, &moved), STREAM_OK);
    assert_int_equal(read(sink, bytes, sizeof bytes), 11);
    assert_memory_equal(bytes, "hello world", 11);

    close(source);
    assert_int_equal(stream_splice_in(&from, &pair, 1000, &moved), STREAM_END);
    stream_close(&from);
    stream_close(&to);
    close(sink);
    pipes_give_back(&pool, &pair);
    assert_int_equal(pool.count, 1);
    pipes_done(&pool);
}

static void a_full_sink_waits_and_a_closed_one_is_lost(void **state)
{
    static char bytes[256 * 1024];
    struct pipe_pool pool;
    struct pipe_pair pair;
    struct stream from, to;
    int source, sink;
    size_t moved = 0;
    enum stream_outcome in = STREAM_OK, out = STREAM_OK;

    (void)state;
    pipes_init(&pool);
    assert_true(pipes_borrow(&pool, &pair));
    open_stream(&from, &source);
    open_stream(&to, &sink);
    while (out == STREAM_OK) {
        assert_true(write(source, bytes, sizeof bytes) > 0 || errno == EAGAIN);
        in = stream_splice_in(&from, &pair, sizeof bytes, &moved);
        assert_true(in == STREAM_OK || in == STREAM_WAIT);
        out = stream_splice_out(&to, &pair, &moved);
    }
    assert_int_equal(out, STREAM_WAIT);
    assert_true(pair.held_bytes > 0);
    close(sink);
    assert_int_equal(stream_splice_out(&to, &pair, &moved), STREAM_LOST); // and no SIGPIPE
    assert_int_equal(errno, EPIPE);
    stream_close(&from);
    stream_close(&to);
    close(source);
    pipes_give_back(&pool, &pair);
    assert_int_equal(pool.count, 0);
    pipes_done(&pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pipes_are_kept_up_to_a_limit),
        cmocka_unit_test(a_pipe_with_bytes_is_not_kept),
        cmocka_unit_test(none_to_be_had_is_no_accident),
        cmocka_unit_test(bytes_go_through),
        cmocka_unit_test(a_full_sink_waits_and_a_closed_one_is_lost),
    };
    int failures;

    loop_new(&loop, NULL);
    failures = cmocka_run_group_tests_name("pipes", tests, NULL, NULL);
    loop_free(&loop);
    return failures;
}

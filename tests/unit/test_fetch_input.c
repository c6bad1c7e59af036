/* URLs from arguments, files and a pipe that takes its time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include <unistd.h>

#include "cli/fetch_input.h"

static struct loop *loop;
static unsigned calls;

static void on_more(void *owner)
{
    assert_ptr_equal(owner, &calls);
    calls++;
}

static const char *write_file(const char *text, size_t size)
{
    static char path[] = "/tmp/dejunk-test-fetch-input-XXXXXX";
    int fd;

    memcpy(path + sizeof path - 7, "XXXXXX", 6);
    fd = mkstemp(path);
    assert_true(fd >= 0 && write(fd, text, size) == (ssize_t)size);
    close(fd);
    return path;
}

static const struct {
    const char *text, *want;
} files[] = {
    { "", "" },
    { "http://a/\nhttp://b/\n", "http://a/ http://b/ " },
    { "http://a/", "http://a/ " },
    { "\n\r\n  \t\n# no\n #no\n  http://a/ \r\n", "http://a/ " },
    { "a\n\n\nb", "a b " },
};

static void reads_lines(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        const char *path = write_file(files[i].text, strlen(files[i].text));
        struct fetch_input input;
        char got[200] = "";
        struct error error;
        struct span url;

        fetch_input_init(&input, loop, NULL, 0, &path, 1, on_more, &calls);
        while (fetch_input_next(&input, &url, &error) == FETCH_INPUT_URL)
            snprintf(got + strlen(got), sizeof got - strlen(got), "%.*s ", SPAN_PRINT(url));
        if (strcmp(got, files[i].want) != 0)
            fail_msg("row %zu: %s", i, got);
        assert_int_equal(fetch_input_next(&input, &url, &error), FETCH_INPUT_END);
        fetch_input_done(&input);
        unlink(path);
    }
}

static void lines_have_a_limit(void **state)
{
    static char text[3 * FETCH_INPUT_LINE_BYTES];

    (void)state;
    for (size_t size = FETCH_INPUT_LINE_BYTES - 1; size <= 2 * FETCH_INPUT_LINE_BYTES + 5;
         size += size < FETCH_INPUT_LINE_BYTES + 1 ? 1 : 1000) {
        struct fetch_input input;
        const char *path;
        struct error error;
        struct span url;

        memset(text, 'x', size);
        memcpy(text + size, "\nnext\n", 6);
        path = write_file(text, size + 6);
        fetch_input_init(&input, loop, NULL, 0, &path, 1, on_more, &calls);
        assert_int_equal(fetch_input_next(&input, &url, &error), FETCH_INPUT_URL);
        assert_int_equal(url.size, size < FETCH_INPUT_LINE_BYTES ? size : FETCH_INPUT_LINE_BYTES);
        assert_int_equal(fetch_input_next(&input, &url, &error), FETCH_INPUT_URL);
        assert_true(span_equal(url, SPAN("next")));
        assert_int_equal(fetch_input_next(&input, &url, &error), FETCH_INPUT_END);
        fetch_input_done(&input);
        unlink(path);
    }
}

static void arguments_come_first(void **state)
{
    char one[] = "one", two[] = "two";
    char *arguments[] = { one, two };
    const char *paths[] = { "/nowhere/at/all", write_file("three\n", 6) };
    struct fetch_input input;
    struct error error;
    struct span url;

    (void)state;
    fetch_input_init(&input, loop, arguments, 2, paths, 2, on_more, &calls);
    assert_true(fetch_input_share(&input) == 0);
    assert_int_equal(fetch_input_next(&input, &url, &error), FETCH_INPUT_URL);
    assert_true(span_equal(url, SPAN("one")));
    assert_true(fetch_input_share(&input) == 0.25);
    assert_int_equal(fetch_input_next(&input, &url, &error), FETCH_INPUT_URL);
    assert_int_equal(fetch_input_next(&input, &url, &error), FETCH_INPUT_FAILED);
    assert_int_equal(fetch_input_next(&input, &url, &error), FETCH_INPUT_URL);
    assert_true(span_equal(url, SPAN("three")));
    assert_int_equal(fetch_input_next(&input, &url, &error), FETCH_INPUT_END);
    assert_true(fetch_input_share(&input) == 1);
    fetch_input_done(&input);
    unlink(paths[1]);
}

static void a_slow_pipe_stops_nobody(void **state)
{
    char dash[] = "-", *arguments[] = { dash };
    int ends[2], kept = dup(STDIN_FILENO);
    struct fetch_input input;
    struct error error;
    struct span url;

    (void)state;
    assert_int_equal(pipe(ends), 0);
    assert_true(dup2(ends[0], STDIN_FILENO) == STDIN_FILENO);
    close(ends[0]);
    fetch_input_init(&input, loop, arguments, 1, NULL, 0, on_more, &calls);
    assert_int_equal(fetch_input_next(&input, &url, &error), FETCH_INPUT_WAIT);
    assert_int_equal(fetch_input_next(&input, &url, &error), FETCH_INPUT_WAIT);
    assert_true(fetch_input_share(&input) < 0);
    assert_int_equal(write(ends[1], "http://a/\nhttp", 14), 14);
    ev_run(loop->ev, EVRUN_ONCE);
    assert_int_equal(calls, 1);
    assert_int_equal(fetch_input_next(&input, &url, &error), FETCH_INPUT_URL);
    assert_true(span_equal(url, SPAN("http://a/")));
    assert_int_equal(fetch_input_next(&input, &url, &error), FETCH_INPUT_WAIT);
    assert_int_equal(write(ends[1], "://b/", 5), 5);
    close(ends[1]);
    ev_run(loop->ev, EVRUN_ONCE);
    assert_int_equal(fetch_input_next(&input, &url, &error), FETCH_INPUT_URL);
    assert_true(span_equal(url, SPAN("http://b/")));
    assert_int_equal(fetch_input_next(&input, &url, &error), FETCH_INPUT_END);
    fetch_input_done(&input);
    dup2(kept, STDIN_FILENO);
    close(kept);
}

static int set_up(void **state)
{
    struct error error;

    (void)state;
    calls = 0;
    return loop_new(&loop, &error) == ERROR_NONE ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    loop_free(&loop);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(reads_lines, set_up, tear_down),
        cmocka_unit_test_setup_teardown(lines_have_a_limit, set_up, tear_down),
        cmocka_unit_test_setup_teardown(arguments_come_first, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_slow_pipe_stops_nobody, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

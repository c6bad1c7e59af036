/* Counters outlive those who count, and a second process adds to the same. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemon/shared.h"

static void pages_are_given_once_and_keep_their_counters(void **state)
{
    struct shared *shared;
    int first, second;

    (void)state;
    assert_int_equal(shared_new(&shared, NULL), ERROR_NONE);
    first = shared_take_page(shared);
    second = shared_take_page(shared);
    assert_true(first >= 0 && second >= 0 && first != second);
    metrics_add(shared_metrics(shared, first), METRIC_REQUESTS_PASSED, 3);
    metrics_add(shared_metrics(shared, first), METRIC_BROWSER_OPEN, 2);
    metrics_add(shared_metrics(shared, second), METRIC_REQUESTS_PASSED, 4);
    shared_give_page(shared, first);
    assert_int_equal(shared_sum(shared, METRIC_REQUESTS_PASSED), 7);
    assert_int_equal(shared_sum(shared, METRIC_BROWSER_OPEN), 0);
    assert_int_equal(shared_take_page(shared), first);
    assert_int_equal(metrics_get(shared_metrics(shared, first), METRIC_REQUESTS_PASSED), 3);
    shared_free(&shared);
}

static void there_are_so_many_pages_and_no_more(void **state)
{
    struct shared *shared;

    (void)state;
    assert_int_equal(shared_new(&shared, NULL), ERROR_NONE);
    for (int i = 0; i < SHARED_PAGES; i++)
        assert_int_equal(shared_take_page(shared), i);
    assert_int_equal(shared_take_page(shared), -1);
    shared_free(&shared);
}

static void pages_of_a_dead_process_are_free(void **state)
{
    struct shared *shared;
    pid_t pid;

    (void)state;
    assert_int_equal(shared_new(&shared, NULL), ERROR_NONE);
    pid = fork();
    if (pid == 0) {
        int page = shared_take_page(shared);
        metrics_add(shared_metrics(shared, page), METRIC_BROWSER_OPEN, 5);
        _exit(page);
    }
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    assert_int_equal(shared_sum(shared, METRIC_BROWSER_OPEN), 5);
    assert_int_equal(shared_take_page(shared), 0);
    assert_int_equal(shared_sum(shared, METRIC_BROWSER_OPEN), 0);
    shared_free(&shared);
}

static void a_worker_keeps_its_own_page_only(void **state)
{
    struct shared *shared;
    int page, status;
    pid_t pid;

    (void)state;
    assert_int_equal(shared_new(&shared, NULL), ERROR_NONE);
    shared_take_page(shared);
    page = shared_take_page(shared);
    pid = fork();
    if (pid == 0) {
        struct metrics *own = shared_metrics(shared, page);
        unsigned char resident;

        shared_keep_only(shared, page);
        metrics_add(own, METRIC_REQUESTS_PASSED, 9);
        _exit(mincore((char *)own - 4096, 4096, &resident) == 0 ||
              mincore((char *)own + (sizeof *own + 4095) / 4096 * 4096, 4096, &resident) == 0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    assert_int_equal(shared_sum(shared, METRIC_REQUESTS_PASSED), 9);
    shared_free(&shared);
}

static void a_successor_goes_on_counting(void **state)
{
    struct shared *old, *new;

    (void)state;
    assert_int_equal(shared_new(&old, NULL), ERROR_NONE);
    metrics_add(shared_metrics(old, shared_take_page(old)), METRIC_REQUESTS_PASSED, 1);
    assert_int_equal(shared_open(&new, shared_fd(old), NULL), ERROR_NONE);
    metrics_add(shared_metrics(new, shared_take_page(new)), METRIC_REQUESTS_PASSED, 2);
    assert_int_equal(shared_sum(old, METRIC_REQUESTS_PASSED), 3);
    shared_free(&old);
    assert_int_equal(shared_sum(new, METRIC_REQUESTS_PASSED), 3);
    shared_free(&new);
}

static void other_memory_is_not_taken_for_counters(void **state)
{
    static const struct {
        const char *name;
        off_t more; // than the right size
        int seals;
        enum error_kind want;
    } cases[] = {
        { "not sealed", 0, 0, ERROR_CORRUPT },
        { "smaller", -4096, F_SEAL_SHRINK, ERROR_UNSUPPORTED },
        { "bigger", 4096, F_SEAL_SHRINK, ERROR_UNSUPPORTED },
        { "another layout", 0, F_SEAL_SHRINK, ERROR_UNSUPPORTED },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int fd = memfd_create("test", MFD_ALLOW_SEALING);
        struct shared *shared = NULL;
        enum error_kind kind;

        assert_int_equal(ftruncate(fd, (off_t)shared_size_bytes() + cases[i].more), 0);
        assert_int_equal(fcntl(fd, F_ADD_SEALS, cases[i].seals), 0);
        kind = shared_open(&shared, fd, NULL);
        if (kind != cases[i].want)
            fail_msg("%s: got %s", cases[i].name, error_kind_name(kind));
        close(fd);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pages_are_given_once_and_keep_their_counters),
        cmocka_unit_test(there_are_so_many_pages_and_no_more),
        cmocka_unit_test(pages_of_a_dead_process_are_free),
        cmocka_unit_test(a_worker_keeps_its_own_page_only),
        cmocka_unit_test(a_successor_goes_on_counting),
        cmocka_unit_test(other_memory_is_not_taken_for_counters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Small files that are whole or not there. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "admin/keep.h"

static char directory[] = "/tmp/dejunk-keep-XXXXXX";
static char path[PATH_MAX];

static int make_place(void **state)
{
    (void)state;
    if (!mkdtemp(directory))
        return -1;
    snprintf(path, sizeof path, "%s/file", directory);
    return 0;
}

static size_t count_files(void)
{
    DIR *open = opendir(directory);
    size_t count = 0;

    assert_non_null(open);
    for (const struct dirent *entry = readdir(open); entry; entry = readdir(open))
        count += entry->d_name[0] != '.';
    closedir(open);
    return count;
}

static int clear_place(void **state)
{
    char aside[PATH_MAX + 16];

    (void)state;
    snprintf(aside, sizeof aside, "%s" KEEP_ASIDE, path);
    unlink(aside);
    unlink(path);
    return rmdir(directory);
}

static void what_is_written_is_read(void **state)
{
    static const char *const texts[] = { "first\n", "", "another, longer text\n", "x" };

    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct buffer got = { .limit_bytes = 100 };
        struct error error;
        struct stat about;

        assert_int_equal(keep_write(path, span_text(texts[i]), &error), ERROR_NONE);
        assert_int_equal(keep_read(path, &got, &error), ERROR_NONE);
        assert_true(span_equal(buffer_span(&got), span_text(texts[i])));
        assert_int_equal(stat(path, &about), 0);
        assert_int_equal(about.st_mode & 0777, 0600);
        assert_int_equal(count_files(), 1); // nothing stays beside it
        buffer_release(&got);
    }
}

static void reading_has_a_limit(void **state)
{
    static char many[40000];
    struct buffer got = { .limit_bytes = sizeof many };
    struct error error;

    (void)state;
    assert_int_equal(keep_write(path, span_of(many, sizeof many), &error), ERROR_NONE);
    assert_int_equal(keep_read(path, &got, &error), ERROR_NONE);
    assert_int_equal(got.size, sizeof many);
    buffer_release(&got);
    got.limit_bytes = sizeof many - 1;
    assert_int_equal(keep_read(path, &got, &error), ERROR_LIMIT);
    buffer_release(&got);
}

static void what_is_not_there_is_empty(void **state)
{
    struct buffer got = { .limit_bytes = 100 };
    char elsewhere[PATH_MAX];
    struct error error;

    (void)state;
    snprintf(elsewhere, sizeof elsewhere, "%.200s/nothing", directory);
    assert_int_equal(keep_read(elsewhere, &got, &error), ERROR_NONE);
    assert_int_equal(got.size, 0);
    assert_int_equal(keep_read(directory, &got, &error), ERROR_SYSTEM); // no file
    snprintf(elsewhere, sizeof elsewhere, "%.200s/no/where", directory);
    assert_int_equal(keep_write(elsewhere, SPAN("x"), &error), ERROR_SYSTEM);
}

static void damaged_files_go_aside(void **state)
{
    struct buffer got = { .limit_bytes = 100 };
    char aside[PATH_MAX + 16];
    const struct error why = { .text = "it was made so" };
    struct error error;

    (void)state;
    snprintf(aside, sizeof aside, "%s" KEEP_ASIDE, path);
    for (int i = 0; i < 2; i++) { // the second in place of the first
        assert_int_equal(keep_write(path, SPAN("bad"), &error), ERROR_NONE);
        keep_put_aside(path, &why, "and all that was in it is lost");
        assert_int_equal(access(path, F_OK), -1);
    }
    assert_int_equal(keep_read(aside, &got, &error), ERROR_NONE);
    assert_true(span_equal(buffer_span(&got), SPAN("bad")));
    buffer_release(&got);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_read),
        cmocka_unit_test(reading_has_a_limit),
        cmocka_unit_test(what_is_not_there_is_empty),
        cmocka_unit_test(damaged_files_go_aside),
    };
    return cmocka_run_group_tests(tests, make_place, clear_place);
}

/* Small files that are whole or not there. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/keep.h"

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

        assert_int_equal(keep_write(path, span_text(texts[i]), 0600, NULL, &error), ERROR_NONE);
        assert_int_equal(keep_read(path, &got, &error), ERROR_NONE);
        assert_true(span_equal(buffer_span(&got), span_text(texts[i])));
        assert_int_equal(stat(path, &about), 0);
        assert_int_equal(about.st_mode & 0777, 0600);
        assert_int_equal(count_files(), 1); // nothing stays beside it
        buffer_release(&got);
    }
}

static void writes_with_mode_and_owner(void **state)
{
    static const struct {
        const char *name;
        mode_t mode;
        bool is_given_away;
    } rows[] = {
        { "for the owner", 0600, false },
        { "for all to read", 0644, false },
        { "given away", 0600, true },
        { "given away, for all to read", 0644, true },
    };
    const struct keep_owner nobody = { 65534, 65533 };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        mode_t mask = umask(0777);
        bool may = !rows[i].is_given_away || geteuid() == 0;
        struct stat about;
        enum error_kind kind =
            keep_write(path, SPAN("x"), rows[i].mode, rows[i].is_given_away ? &nobody : NULL, NULL);

        umask(mask);
        if (kind != (may ? ERROR_NONE : ERROR_SYSTEM))
            fail_msg("%s: %s", rows[i].name, error_kind_name(kind));
        if (kind || stat(path, &about) != 0)
            continue;
        if ((about.st_mode & 0777) != rows[i].mode ||
            about.st_uid != (rows[i].is_given_away ? nobody.user : geteuid()) ||
            (rows[i].is_given_away && about.st_gid != nobody.group))
            fail_msg("%s: %o of %u:%u", rows[i].name, about.st_mode, about.st_uid, about.st_gid);
    }
    assert_int_equal(count_files(), 1);
}

/* Whatever fails: the old text stays, and nothing stays beside it. */
static void what_cannot_be_written_leaves_the_old(void **state)
{
    static char many[4097];
    const struct rlimit small = { 4096, RLIM_INFINITY };
    struct rlimit before;
    struct buffer got = { .limit_bytes = 100 };
    char inside[PATH_MAX + 8];
    struct error error;

    (void)state;
    assert_int_equal(keep_write(path, SPAN("old"), 0600, NULL, &error), ERROR_NONE);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0); // as on a disk that is full
    assert_int_equal(keep_write(path, span_of(many, sizeof many), 0600, NULL, &error),
                     ERROR_SYSTEM);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    signal(SIGXFSZ, SIG_DFL);
    assert_non_null(strstr(error.text, path));
    assert_non_null(strstr(error.text, strerror(EFBIG)));
    assert_int_equal(keep_read(path, &got, &error), ERROR_NONE);
    assert_true(span_equal(buffer_span(&got), SPAN("old")));
    buffer_release(&got);
    assert_int_equal(count_files(), 1);

    unlink(path); // a directory in its place
    snprintf(inside, sizeof inside, "%s/inside", path);
    assert_int_equal(keep_directory(inside, 0700, &error), ERROR_NONE);
    assert_int_equal(keep_write(path, SPAN("new"), 0600, NULL, &error), ERROR_SYSTEM);
    assert_non_null(strstr(error.text, strerror(EISDIR)));
    assert_int_equal(count_files(), 1);
    assert_int_equal(rmdir(inside), 0);
    assert_int_equal(rmdir(path), 0);
}

static void paths_have_a_limit(void **state)
{
    enum { LONGEST = PATH_MAX - 1 - sizeof ".XXXXXX" + 1 };
    char name[PATH_MAX + 1];
    struct error error;

    (void)state;
    for (size_t size = LONGEST; size <= LONGEST + 1; size++) {
        memset(name, '/', size);
        memcpy(name, path, strlen(path));
        memmove(name + size - strlen("file"), "file", strlen("file"));
        memset(name + strlen(directory), '/', size - strlen(directory) - strlen("file"));
        name[size] = '\0';
        assert_int_equal(keep_write(name, SPAN("x"), 0600, NULL, &error),
                         size == LONGEST ? ERROR_NONE : ERROR_LIMIT);
    }
    memset(name, '/', PATH_MAX);
    memcpy(name, directory, strlen(directory));
    name[PATH_MAX] = '\0';
    assert_int_equal(keep_directory(name, 0700, &error), ERROR_LIMIT);
    name[PATH_MAX - 1] = '\0';
    assert_int_equal(keep_directory(name, 0700, &error), ERROR_NONE);
}

static void names_may_be_relative(void **state)
{
    struct stat about;

    (void)state;
    assert_int_equal(chdir(directory), 0);
    assert_int_equal(keep_write("file", SPAN("here"), 0600, NULL, NULL), ERROR_NONE);
    assert_int_equal(stat(path, &about), 0);
    assert_int_equal(about.st_size, 4);
    assert_int_equal(keep_directory("file/in", 0700, NULL), ERROR_SYSTEM);
    assert_int_equal(keep_directory("a/b", 0750, NULL), ERROR_NONE);
    assert_int_equal(keep_directory("a/b", 0750, NULL), ERROR_NONE);
    assert_int_equal(stat("a/b", &about), 0);
    assert_int_equal(about.st_mode & 0777, 0750);
    assert_int_equal(rmdir("a/b"), 0);
    assert_int_equal(rmdir("a"), 0);
    assert_int_equal(chdir("/"), 0);
}

static void reading_has_a_limit(void **state)
{
    static char many[40000];
    struct buffer got = { .limit_bytes = sizeof many };
    struct error error;

    (void)state;
    assert_int_equal(keep_write(path, span_of(many, sizeof many), 0600, NULL, &error), ERROR_NONE);
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
    assert_int_equal(keep_write(elsewhere, SPAN("x"), 0600, NULL, &error), ERROR_SYSTEM);
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
        assert_int_equal(keep_write(path, SPAN("bad"), 0600, NULL, &error), ERROR_NONE);
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
        cmocka_unit_test(writes_with_mode_and_owner),
        cmocka_unit_test(what_cannot_be_written_leaves_the_old),
        cmocka_unit_test(paths_have_a_limit),
        cmocka_unit_test(names_may_be_relative),
        cmocka_unit_test(reading_has_a_limit),
        cmocka_unit_test(what_is_not_there_is_empty),
        cmocka_unit_test(damaged_files_go_aside),
    };
    return cmocka_run_group_tests(tests, make_place, clear_place);
}

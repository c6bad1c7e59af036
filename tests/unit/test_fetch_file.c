/* Files that are whole or not there, whatever was there before and whoever else writes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/fetch_file.h"

static char top[] = "/tmp/dejunk-test-fetch-file-XXXXXX";
static int directory = -1;

static int set_up(void **state)
{
    struct error error;
    char path[sizeof top + 16];

    (void)state;
    memcpy(top + sizeof top - 7, "XXXXXX", 6);
    assert_non_null(mkdtemp(top));
    snprintf(path, sizeof path, "%s/a/b", top);
    assert_int_equal(fetch_directory_open(&directory, path, &error), ERROR_NONE);
    return 0;
}

static int tear_down(void **state)
{
    char path[sizeof top + 16];
    DIR *entries = fdopendir(directory);
    struct dirent *entry;

    (void)state;
    while ((entry = readdir(entries)))
        unlinkat(directory, entry->d_name, 0);
    closedir(entries);
    snprintf(path, sizeof path, "%s/a/b", top);
    rmdir(path);
    path[strlen(path) - 2] = '\0';
    rmdir(path);
    return rmdir(top);
}

static void put(const char *name, const char *text)
{
    int fd = openat(directory, name, O_WRONLY | O_CREAT | O_TRUNC, 0644);

    assert_true(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
    close(fd);
}

static const char *get(const char *name)
{
    static char text[1000];
    int fd = openat(directory, name, O_RDONLY);
    ssize_t size;

    if (fd < 0)
        return NULL;
    size = read(fd, text, sizeof text - 1);
    assert_true(size >= 0);
    text[size] = '\0';
    close(fd);
    return text;
}

/* All names in the directory, sorted. */
static const char *names(void)
{
    static char text[1000];
    char path[sizeof top + 16];
    struct dirent **found;
    int count;

    snprintf(path, sizeof path, "%s/a/b", top);
    count = scandir(path, &found, NULL, alphasort);
    text[0] = '\0';
    for (int i = 0; i < count; i++) {
        if (strcmp(found[i]->d_name, ".") != 0 && strcmp(found[i]->d_name, "..") != 0)
            snprintf(text + strlen(text), sizeof text - strlen(text), "%s ", found[i]->d_name);
        free(found[i]);
    }
    free(found);
    return text;
}

static void begin(struct fetch_file *file, const char *name, const char *url,
                  enum fetch_file_mode mode)
{
    struct error error;

    if (fetch_file_begin(file, directory, name, span_text(url), mode, &error))
        fail_msg("%s", error.text);
}

static void write_text(struct fetch_file *file, const char *text)
{
    struct error error;
    assert_int_equal(fetch_file_write(file, span_text(text), &error), ERROR_NONE);
}

static void keep(struct fetch_file *file, const char *name, const char *url)
{
    struct error error;

    if (fetch_file_keep(file, name, span_text(url), &error))
        fail_msg("%s", error.text);
}

static void note(struct fetch_file *file, const char *url, const char *etag, const char *sha256,
                 uint64_t bytes)
{
    struct fetch_facts facts = { .bytes = bytes };
    struct error error;

    snprintf(facts.etag, sizeof facts.etag, "%s", etag);
    snprintf(facts.sha256, sizeof facts.sha256, "%s", sha256);
    assert_int_equal(fetch_file_note(file, span_text(url), &facts, &error), ERROR_NONE);
}

static void is_there_when_it_is_whole(void **state)
{
    struct fetch_file file;

    (void)state;
    begin(&file, "x", "http://h/x", FETCH_FILE_NEW);
    write_text(&file, "one ");
    assert_string_equal(names(), ".x.part ");
    write_text(&file, "two");
    keep(&file, "x", "http://h/x");
    assert_string_equal(names(), "x ");
    assert_string_equal(get("x"), "one two");
    begin(&file, "y", "http://h/y", FETCH_FILE_NEW);
    write_text(&file, "broken");
    fetch_file_drop(&file, false);
    fetch_file_drop(&file, false);
    assert_string_equal(names(), "x ");
}

static void nothing_is_replaced(void **state)
{
    struct fetch_file file, other;

    (void)state;
    put("x", "mine");
    begin(&file, "x", "http://h/x", FETCH_FILE_NEW);
    assert_string_equal(file.name, "x-2");
    begin(&other, "x", "http://h/x", FETCH_FILE_NEW); // at the same time
    assert_string_equal(other.name, "x-3");
    write_text(&file, "2");
    write_text(&other, "3");
    put("x-2", "somebody was quicker");
    keep(&file, "x", "http://h/x");
    keep(&other, "x", "http://h/x");
    assert_string_equal(get("x"), "mine");
    assert_string_equal(get("x-2"), "somebody was quicker");
    assert_string_equal(get("x-3"), "2");
    assert_string_equal(get("x-4"), "3");
    assert_string_equal(names(), "x x-2 x-3 x-4 ");
}

static void names_run_out(void **state)
{
    struct fetch_file files[FETCH_NAME_TRIES + 1];
    struct error error;

    (void)state;
    for (size_t i = 0; i < FETCH_NAME_TRIES; i++)
        begin(&files[i], "x", "http://h/x", FETCH_FILE_NEW);
    assert_int_equal(fetch_file_begin(&files[FETCH_NAME_TRIES], directory, "x", SPAN("http://h/x"),
                                      FETCH_FILE_NEW, &error),
                     ERROR_SYSTEM);
    for (size_t i = 0; i < FETCH_NAME_TRIES; i++)
        fetch_file_drop(&files[i], false);
    assert_string_equal(names(), "");
}

static void links_are_not_followed(void **state)
{
    struct fetch_file file;
    char outside[sizeof top + 16], path[sizeof top + 16];

    (void)state;
    snprintf(outside, sizeof outside, "%s/outside", top);
    snprintf(path, sizeof path, "%s/a/b/.x.part", top);
    assert_int_equal(symlink(outside, path), 0);
    snprintf(path, sizeof path, "%s/a/b/y", top);
    assert_int_equal(symlink(outside, path), 0);
    begin(&file, "x", "http://h/x", FETCH_FILE_NEW);
    assert_string_equal(file.name, "x-2");
    write_text(&file, "x");
    keep(&file, "x", "http://h/x");
    begin(&file, "y", "http://h/y", FETCH_FILE_CONTINUE);
    write_text(&file, "y");
    keep(&file, "y", "http://h/y");
    assert_string_equal(file.name, "y-2");
    assert_int_equal(access(outside, F_OK), -1);
}

static void a_part_is_gone_on_with(void **state)
{
    struct fetch_file file;
    struct error error;

    (void)state;
    begin(&file, "x", "http://h/x", FETCH_FILE_CONTINUE);
    assert_int_equal(file.state, FETCH_FILE_NOTHING);
    note(&file, "http://h/x", "\"1\"", "", 0);
    write_text(&file, "one ");
    fetch_file_drop(&file, true);
    assert_string_equal(names(), ".x.meta .x.part ");

    begin(&file, "x", "http://h/other", FETCH_FILE_CONTINUE); // not its part
    assert_int_equal(file.state, FETCH_FILE_NOTHING);
    close(file.fd);
    begin(&file, "x", "http://h/x", FETCH_FILE_CONTINUE);
    assert_int_equal(file.state, FETCH_FILE_PART);
    assert_int_equal(file.size, 4);
    assert_string_equal(file.facts.etag, "\"1\"");
    assert_int_equal(fetch_file_resume(&file, 4, &error), ERROR_NONE);
    write_text(&file, "two");
    keep(&file, "x", "http://h/x");
    note(&file, "http://h/x", "\"1\"", "abc", 7);
    assert_string_equal(get("x"), "one two");
    assert_string_equal(names(), ".x.meta x ");

    begin(&file, "x", "http://h/x", FETCH_FILE_CONTINUE);
    assert_int_equal(file.state, FETCH_FILE_WHOLE);
    assert_string_equal(file.facts.sha256, "abc");
    fetch_file_drop(&file, false);
    assert_string_equal(names(), ".x.meta x ");
}

static void what_has_changed_is_replaced(void **state)
{
    struct fetch_file file;

    (void)state;
    begin(&file, "x", "http://h/x", FETCH_FILE_IF_CHANGED);
    write_text(&file, "old");
    keep(&file, "x", "http://h/x");
    note(&file, "http://h/x", "\"1\"", "abc", 3);

    begin(&file, "x", "http://h/other", FETCH_FILE_IF_CHANGED);
    assert_string_equal(file.name, "x-2");
    fetch_file_drop(&file, false);
    begin(&file, "x", "http://h/x", FETCH_FILE_IF_CHANGED);
    assert_int_equal(file.state, FETCH_FILE_WHOLE);
    assert_string_equal(file.facts.etag, "\"1\"");
    write_text(&file, "new");
    assert_string_equal(get("x"), "old");
    keep(&file, "x", "http://h/x");
    assert_string_equal(get("x"), "new");

    put("x", "edited by hand");
    begin(&file, "x", "http://h/x", FETCH_FILE_IF_CHANGED);
    assert_int_equal(file.state, FETCH_FILE_NOTHING);
    assert_string_equal(file.name, "x-2"); // what was noted is not of this, which stays as it is
    fetch_file_drop(&file, false);
    assert_string_equal(get("x"), "edited by hand");
}

static void what_nobody_told_of_is_compared(void **state)
{
    static const struct {
        const char *there, *comes, *names;
    } rows[] = {
        { "body", "body", ".x.meta x " },         { "", "", ".x.meta x " },
        { "body", "bodies", ".x-2.meta x x-2 " }, { "bodies", "body", ".x-2.meta x x-2 " },
        { "body", "bogy", ".x-2.meta x x-2 " },   { "", "body", ".x-2.meta x x-2 " },
    };
    static const enum fetch_file_mode modes[] = { FETCH_FILE_CONTINUE, FETCH_FILE_IF_CHANGED };

    (void)state;
    for (size_t i = 0; i < 2 * sizeof rows / sizeof *rows; i++) {
        struct span there = span_text(rows[i / 2].there);
        struct fetch_file file;
        char text[10];

        put("x", rows[i / 2].there);
        begin(&file, "x", "http://h/x", modes[i % 2]);
        assert_int_equal(file.state, FETCH_FILE_UNKNOWN);
        assert_int_equal(file.size, there.size);
        assert_int_equal(fetch_file_read(&file, 0, text, sizeof text), there.size);
        assert_int_equal(fetch_file_read(&file, there.size, text, sizeof text), 0);
        assert_true(fetch_file_has(&file, 0, there));
        assert_true(there.size == 0 || fetch_file_has(&file, 1, span_from(there, 1)));
        assert_false(fetch_file_has(&file, 1, SPAN("xxx")));
        assert_false(fetch_file_has(&file, 0, SPAN("body and more")));
        write_text(&file, rows[i / 2].comes);
        keep(&file, "x", "http://h/x");
        note(&file, "http://h/x", "", "abc", strlen(rows[i / 2].comes));
        assert_string_equal(get("x"), rows[i / 2].there);
        if (strcmp(names(), rows[i / 2].names) != 0)
            fail_msg("row %zu: %s", i, names());
        unlinkat(directory, ".x.meta", 0);
        unlinkat(directory, ".x-2.meta", 0);
        unlinkat(directory, "x-2", 0);
    }
}

/* Of many URLs with one name, whichever comes first. */
static void each_finds_its_own(void **state)
{
    static const char *const urls[] = { "http://h/1/x", "http://h/2/x", "http://h/3/x" };
    static const char *const want[] = { "x", "x-2", "x-3" };
    struct fetch_file file;

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        begin(&file, "x", urls[i], FETCH_FILE_CONTINUE);
        write_text(&file, i == 2 ? "a part" : "whole");
        note(&file, urls[i], "\"1\"", i == 2 ? "" : "abc", 5);
        if (i == 2)
            fetch_file_drop(&file, true);
        else
            keep(&file, "x", urls[i]);
        assert_string_equal(file.name, want[i]);
    }
    for (size_t i = 3; i-- > 0;) {
        begin(&file, "x", urls[i], FETCH_FILE_CONTINUE);
        assert_string_equal(file.name, want[i]);
        assert_int_equal(file.state, i == 2 ? FETCH_FILE_PART : FETCH_FILE_WHOLE);
        fetch_file_drop(&file, true);
    }
    // Where one has the name of another from before, it is found by what is in it.
    put("y", "one");
    put("y-2", "two");
    begin(&file, "y", "http://h/y", FETCH_FILE_CONTINUE);
    assert_int_equal(file.state, FETCH_FILE_UNKNOWN);
    write_text(&file, "two");
    keep(&file, "y", "http://h/y");
    assert_string_equal(file.name, "y-2");
    assert_null(get("y-3"));
}

static void damaged_notes_count_for_nothing(void **state)
{
    static const char *const texts[] = {
        "",
        "\n",
        "url http://h/x",
        "url http://h/x\netag \"1\"\nbytes 4\n",
        "url http://h/y\nend\n",
        "end\n",
        "bytes 99999999999999999999999\nurl\nend",
    };

    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct fetch_file file;

        put(".x.meta", texts[i]);
        put(".x.part", "part");
        begin(&file, "x", "http://h/x", FETCH_FILE_CONTINUE);
        if (file.state != FETCH_FILE_NOTHING)
            fail_msg("row %zu", i);
        fetch_file_drop(&file, false);
    }
}

static void notes_have_limits(void **state)
{
    static char text[FETCH_META_BYTES + 100];

    (void)state;
    for (size_t over = 0; over < 2; over++) { // a validator
        struct fetch_file file;
        size_t size = FETCH_VALIDATOR_BYTES - 1 + over, used;

        used = (size_t)snprintf(text, sizeof text, "url http://h/x\netag ");
        memset(text + used, 'e', size);
        snprintf(text + used + size, sizeof text - used - size, "\nend\n");
        put(".x.meta", text);
        put(".x.part", "part");
        begin(&file, "x", "http://h/x", FETCH_FILE_CONTINUE);
        assert_int_equal(file.state, FETCH_FILE_PART);
        assert_int_equal(strlen(file.facts.etag), over ? 0 : size);
        fetch_file_drop(&file, true);
    }
    for (size_t over = 0; over < 2; over++) { // all of it: what is longer has no end
        static const char head[] = "url http://h/x\nother ", tail[] = "\nend";
        struct fetch_file file;

        memset(text, 'o', sizeof text);
        memcpy(text, head, sizeof head - 1);
        memcpy(text + FETCH_META_BYTES + over - (sizeof tail - 1), tail, sizeof tail);
        put(".x.meta", text);
        put(".x.part", "part");
        begin(&file, "x", "http://h/x", FETCH_FILE_CONTINUE);
        assert_int_equal(file.state, over ? FETCH_FILE_NOTHING : FETCH_FILE_PART);
        fetch_file_drop(&file, true);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(is_there_when_it_is_whole, set_up, tear_down),
        cmocka_unit_test_setup_teardown(nothing_is_replaced, set_up, tear_down),
        cmocka_unit_test_setup_teardown(names_run_out, set_up, tear_down),
        cmocka_unit_test_setup_teardown(links_are_not_followed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_part_is_gone_on_with, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_has_changed_is_replaced, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_nobody_told_of_is_compared, set_up, tear_down),
        cmocka_unit_test_setup_teardown(each_finds_its_own, set_up, tear_down),
        cmocka_unit_test_setup_teardown(damaged_notes_count_for_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(notes_have_limits, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

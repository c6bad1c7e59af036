/* Stubs: names and aliases, files read once, what stands in where there are none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>

#include "proxy/stubs.h"

static char directory[] = "/tmp/test_stubs.XXXXXX";

static void put_file(const char *name, size_t size)
{
    char path[200];
    FILE *file;

    snprintf(path, sizeof path, "%s/%s", directory, name);
    file = fopen(path, "w");
    assert_non_null(file);
    for (size_t i = 0; i < size; i++)
        fputc('x', file);
    fclose(file);
}

static void remove_file(const char *name)
{
    char path[200];

    snprintf(path, sizeof path, "%s/%s", directory, name);
    unlink(path);
}

static const struct {
    const char *name;
    bool is_found;
    const char *content_type;
    size_t size; // of what is built in
} built_in[] = {
    { "noop.js", true, "text/javascript; charset=utf-8", 20 },
    { "noopjs", true, "text/javascript; charset=utf-8", 20 },
    { "noop.js:100", true, "text/javascript; charset=utf-8", 20 },
    { "noop.js:-5", true, "text/javascript; charset=utf-8", 20 },
    { "ubo-noop.js", true, "text/javascript; charset=utf-8", 20 },
    { "abp-resource:blank-js", true, "text/javascript; charset=utf-8", 20 },
    { "1x1.gif", true, "image/gif", 43 },
    { "1x1-transparent.gif", true, "image/gif", 43 },
    { "empty", true, "text/plain; charset=utf-8", 0 },
    { "noopcss", true, "text/css; charset=utf-8", 0 },
    { "noopframe", true, "text/html; charset=utf-8", 15 },
    { "noopjson", true, "application/json; charset=utf-8", 2 },
    { "nooptext", true, "text/plain; charset=utf-8", 1 },
    { "2x2.png", false, NULL, 0 }, // no file, nothing built in
    { "google-ima3", false, NULL, 0 },
    { "no-such-stub", false, NULL, 0 },
    { "", false, NULL, 0 },
    { ":100", false, NULL, 0 },
    { "noop", false, NULL, 0 },
    { "noop.js noopjs", false, NULL, 0 },
};

static void without_files(void **state)
{
    struct stubs *stubs = stubs_read("/nonexistent");

    (void)state;
    for (size_t i = 0; i < sizeof built_in / sizeof *built_in; i++) {
        struct stub stub;
        bool is_found = stubs_find(stubs, span_text(built_in[i].name), &stub);

        if (is_found != built_in[i].is_found)
            fail_msg("\"%s\": found %d", built_in[i].name, is_found);
        if (is_found && (stub.bytes.size != built_in[i].size ||
                         !span_equal(stub.content_type, span_text(built_in[i].content_type))))
            fail_msg("\"%s\": %zu bytes of %.*s", built_in[i].name, stub.bytes.size,
                     SPAN_PRINT(stub.content_type));
    }
    stubs_free(&stubs);
    assert_null(stubs);
    stubs_free(&stubs);
}

static void files_win_up_to_their_limit(void **state)
{
    static const struct {
        const char *file, *name;
        size_t size;
        bool is_found;
        size_t got;
    } rows[] = {
        { "noop.js", "noopjs", 5, true, 5 },
        { "2x2.png", "2x2-transparent.png", 70, true, 70 },
        { "2x2.png", "2x2.png", 0, true, 0 },
        { "2x2.png", "2x2.png", STUB_BYTES - 1, true, STUB_BYTES - 1 },
        { "2x2.png", "2x2.png", STUB_BYTES, true, STUB_BYTES },
        { "2x2.png", "2x2.png", STUB_BYTES + 1, false, 0 },
        { "2x2.png", "2x2.png", STUB_BYTES + 4097, false, 0 },
        { "noop.js", "noopjs", STUB_BYTES + 1, true, 20 }, // what is built in
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct stubs *stubs;
        struct stub stub;
        bool is_found;

        put_file(rows[i].file, rows[i].size);
        stubs = stubs_read(directory);
        is_found = stubs_find(stubs, span_text(rows[i].name), &stub);
        if (is_found != rows[i].is_found || (is_found && stub.bytes.size != rows[i].got))
            fail_msg("row %zu: found %d, %zu bytes", i, is_found, is_found ? stub.bytes.size : 0);
        stubs_free(&stubs);
        remove_file(rows[i].file);
    }
}

static void a_link_is_no_stub(void **state)
{
    char path[200];
    struct stubs *stubs;
    struct stub stub;

    (void)state;
    snprintf(path, sizeof path, "%s/2x2.png", directory);
    assert_int_equal(symlink("/etc/passwd", path), 0);
    stubs = stubs_read(directory);
    assert_false(stubs_find(stubs, SPAN("2x2.png"), &stub));
    stubs_free(&stubs);
    remove_file("2x2.png");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_files),
        cmocka_unit_test(files_win_up_to_their_limit),
        cmocka_unit_test(a_link_is_no_stub),
    };
    int failed;

    if (!mkdtemp(directory))
        return 1;
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    rmdir(directory);
    return failed;
}

/* Databases: opened, mapped, refused; what a rule's number stands for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>
#include <xxhash.h>
#include <cmocka.h>

#include "filter/image.h"
#include "rules.h"

static const char some_rules[] =
    "||ads.example^\n||b.example^$third-party\n/banner/*/x^\n@@/ok$script\n"
    "/b[a]nner\\.js/$domain=a.example|~b.a.example\n*$removeparam=a\n";

static char *copy_of(struct span image)
{
    char *copy = aligned_alloc(64, (image.size + 127) & ~(size_t)63);

    assert_non_null(copy);
    memcpy(copy, image.at, image.size);
    return copy;
}

static void mend_checksum(char *copy, size_t size)
{
    struct image_header *header = (struct image_header *)(void *)copy;

    header->checksum = XXH3_64bits(&header->seed, size - offsetof(struct image_header, seed));
}

static enum error_kind open_bytes(const char *bytes, size_t size, struct error *error)
{
    struct database *database = NULL;
    enum error_kind kind = database_open(&database, span_of(bytes, size), error);

    assert_true((database != NULL) == (kind == ERROR_NONE));
    database_unref(&database);
    return kind;
}

static void headers_are_checked(void **state)
{
    static const struct {
        const char *name;
        size_t at;
        char value;
        bool is_mended; // the checksum fits
    } rows[] = {
        { "magic", offsetof(struct image_header, magic), 'D', true },
        { "version", offsetof(struct image_header, version), 99, true },
        { "byte order", offsetof(struct image_header, order), 9, true },
        { "size", offsetof(struct image_header, size), 1, true },
        { "checksum", offsetof(struct image_header, checksum), 1, false },
        { "a byte of a section", sizeof(struct image_header) + 100, 0x55, false },
        { "number of buckets", offsetof(struct image_header, bucket_count) + 3, 0x7f, true },
        { "bits of suffixes", offsetof(struct image_header, suffix_bits), 60, true },
        { "a section's place", offsetof(struct image_header, sections[SECTION_RULES].at) + 3, 0x7f,
          true },
        { "a section's size", offsetof(struct image_header, sections[SECTION_LINES].size) + 3, 0x7f,
          true },
        { "a table's bits", offsetof(struct image_header, books[0].filter_bits), 31, true },
        { "a table's slots", offsetof(struct image_header, books[0].table_slots) + 3, 0x7f, true },
    };
    struct rules rules;
    struct error error;

    (void)state;
    rules_open(&rules, some_rules);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char *copy = copy_of(rules.image);

        copy[rows[i].at] ^= rows[i].value;
        if (rows[i].is_mended)
            mend_checksum(copy, rules.image.size);
        if (open_bytes(copy, rules.image.size, &error) != ERROR_CORRUPT)
            fail_msg("%s: taken", rows[i].name);
        assert_true(error.text[0] != 0);
        free(copy);
    }
    rules_close(&rules);
}

static void cut_images_are_refused(void **state)
{
    struct rules rules;
    struct error error;

    (void)state;
    rules_open(&rules, some_rules);
    for (size_t size = 0; size < rules.image.size; size += size < 2000 ? 1 : 997) {
        char *copy = copy_of(span_of(rules.image.at, size));
        struct image_header *header = (struct image_header *)(void *)copy;

        if (open_bytes(copy, size, &error) == ERROR_NONE)
            fail_msg("%zu bytes: taken", size);
        if (size > sizeof *header) { // and says that it is so short
            header->size = size;
            mend_checksum(copy, size);
            if (open_bytes(copy, size, &error) == ERROR_NONE && size < rules.image.size - 64)
                fail_msg("%zu bytes, mended: taken", size);
        }
        free(copy);
    }
    rules_close(&rules);
}

/* Any byte may be anything: refused, or it answers in bounds (a sanitizer watches). */
static void damaged_images_do_no_harm(void **state)
{
    struct request request = { .url = SPAN("http://ads.example/banner/a/x?a=1"),
                               .source = SPAN("http://b.a.example/"),
                               .type = TYPE_SCRIPT,
                               .method = SPAN("GET") };
    uint64_t random = 88172645463325252u;
    struct rules rules;
    unsigned taken = 0;

    (void)state;
    rules_open(&rules, some_rules);
    for (int round = 0; round < 3000; round++) {
        char *copy = copy_of(rules.image);
        struct database *database;

        for (int change = 0; change < 1 + round % 3; change++) {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            copy[random % rules.image.size] = (char)(random >> 40);
        }
        mend_checksum(copy, rules.image.size);
        if (database_open(&database, span_of(copy, rules.image.size), NULL) == ERROR_NONE) {
            struct matcher *matcher = matcher_new(database);
            struct directive directives[4];
            struct verdict verdict;
            struct rule_view view;

            taken++;
            matcher_ask(matcher, &request, &verdict);
            database_rule(database, verdict.rule, &view);
            matcher_directives(matcher, &request, DIRECTIVES_ALL, directives, 4);
            matcher_free(&matcher);
            database_unref(&database);
        }
        free(copy);
    }
    assert_true(taken > 0 && taken < 3000);
    rules_close(&rules);
}

static void maps_files(void **state)
{
    char path[] = "/tmp/test_database.XXXXXX";
    int fd = mkstemp(path);
    struct database *database;
    struct rules rules;
    struct error error;

    (void)state;
    assert_true(fd >= 0);
    unlink(path);
    assert_int_equal(database_map(&database, fd, &error), ERROR_CORRUPT); // empty
    rules_open(&rules, some_rules);
    assert_int_equal(write(fd, rules.image.at, rules.image.size), rules.image.size);
    assert_int_equal(database_map(&database, fd, &error), ERROR_NONE);
    assert_int_equal(database_size(database), rules.image.size);
    assert_int_equal(database_rules(database), 6);
    assert_int_equal(database_lists(database), 1);
    assert_true(database_generation(database) == database_generation(rules.database));
    database_unref(&database);
    assert_null(database);
    assert_int_equal(ftruncate(fd, (off_t)IMAGE_LIMIT + 1), 0);
    assert_int_equal(database_map(&database, fd, &error), ERROR_LIMIT);
    close(fd);
    assert_int_equal(database_map(&database, fd, &error), ERROR_SYSTEM);
    rules_close(&rules);
}

static void references_are_counted(void **state)
{
    struct database *first, *second;
    struct rules rules;

    (void)state;
    rules_open(&rules, some_rules);
    first = database_ref(rules.database);
    second = database_ref(first);
    database_unref(&first);
    assert_null(first);
    assert_int_equal(database_rules(second), 6);
    database_unref(&second);
    rules_close(&rules);
}

static void numbers_of_rules(void **state)
{
    static const struct {
        const char *rule, *url, *text;
    } rows[] = {
        { "||ads.example^", "http://ads.example/", "||ads.example^" },
        { "  /Banner/X  ", "http://a.example/banner/x", "/Banner/X" },
        { "0.0.0.0 ads.example", "http://ads.example/", "||ads.example^" },
        { "ADS.example", "http://ads.example/", "||ads.example^" },
        { "/caf\xc3\xa9$~image", "http://a.example/caf\xc3\xa9", "/caf\xc3\xa9$~image" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct request request = { .url = span_text(rows[i].url), .type = TYPE_SCRIPT };
        struct verdict verdict;
        struct rule_view view;
        struct rules rules;
        char text[200];

        snprintf(text, sizeof text, "! one\n\n%s\n", rows[i].rule);
        rules_open_lists(&rules, (const char *const[]){ "nothing.example/", text, NULL }, true);
        matcher_ask(rules.matcher, &request, &verdict);
        assert_true(database_rule(rules.database, verdict.rule, &view));
        if (!span_equal(view.text, span_text(rows[i].text)) || view.line != 3 ||
            !span_equal(view.list, SPAN("2")))
            fail_msg("%s: %.*s, %.*s:%u", rows[i].rule, SPAN_PRINT(view.text),
                     SPAN_PRINT(view.list), view.line);
        assert_false(view.is_cut);
        rules_close(&rules);
    }
}

static void numbers_of_none(void **state)
{
    struct rule_view view;
    struct rules rules;

    (void)state;
    rules_open(&rules, some_rules);
    assert_false(database_rule(rules.database, 0, &view));
    assert_false(database_rule(NULL, 1, &view));
    for (uint32_t number = 1; number < 100000; number++) // never out of bounds
        database_rule(rules.database, number, &view);
    for (uint32_t number = 0; number < 100000; number++)
        database_rule(rules.database, UINT32_MAX - number, &view);
    database_rule(rules.database, IMAGE_NUMBER_HOST, &view);
    rules_close(&rules);
}

static void long_rules_are_cut(void **state)
{
    (void)state;
    for (size_t size = RULE_TEXT_LIMIT - 1; size <= RULE_TEXT_LIMIT + 1; size++) {
        struct request request = { .url = SPAN("http://a.example/"), .type = TYPE_SCRIPT };
        char *text = malloc(size + 1);
        struct verdict verdict;
        struct rule_view view;
        struct rules rules;
        size_t at = 0;

        assert_non_null(text);
        at += (size_t)snprintf(text, size + 1, "/a.example/$domain=~");
        memset(text + at, 'x', size - at);
        for (size_t i = at + 50; i < size - 1; i += 50)
            memcpy(text + i, "|~", 2);
        text[size] = 0;
        memcpy(text, "|http://", 8);
        memcpy(text + 8, "a.e$doma", 8);
        memcpy(text + 16, "in=~", 4);
        rules_open(&rules, text);
        matcher_ask(rules.matcher, &request, &verdict);
        assert_true(database_rule(rules.database, verdict.rule, &view));
        assert_int_equal(view.is_cut, size > RULE_TEXT_LIMIT);
        assert_int_equal(view.text.size, size > RULE_TEXT_LIMIT ? RULE_TEXT_LIMIT : size);
        rules_close(&rules);
        free(text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(headers_are_checked),       cmocka_unit_test(cut_images_are_refused),
        cmocka_unit_test(damaged_images_do_no_harm), cmocka_unit_test(maps_files),
        cmocka_unit_test(references_are_counted),    cmocka_unit_test(numbers_of_rules),
        cmocka_unit_test(numbers_of_none),           cmocka_unit_test(long_rules_are_cut),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Entity tags of edited bodies: what a browser sends with them, and what the origin is asked. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "proxy/validators.h"

enum { NOW = 0xabc };
#define OURS(tag, kind) "W/\"" tag "-dj0000000000000abc" kind "\""
#define OLD(tag, kind) "W/\"" tag "-dj0000000000000abd" kind "\""
#define DATE "Sat, 21 Nov 2026 06:00:00 GMT"

static struct arena arena;

static void put(struct message *message, const char *name, const char *value)
{
    if (value)
        assert_true(message_add(message, span_text(name), span_text(value)));
}

static void want(const char *row, const struct message *message, enum field_id id,
                 const char *value)
{
    struct span got = message_value(message, id);

    if (!value ? got.at != NULL : !span_equal(got, span_text(value)))
        fail_msg("%s: %.*s is \"%.*s\"", row, SPAN_PRINT(field_id_name(id)), SPAN_PRINT(got));
}

static const struct {
    const char *name;
    enum validators_outlook outlook;
    const char *none_match, *since;           // sent
    const char *want_none_match, *want_since; // asked
    bool want_current;
    const char *want_tag;
} requests[] = {
    { "nothing is asked", OUTLOOK_EDITED, NULL, NULL, NULL, NULL, false, NULL },
    { "edited as now", OUTLOOK_EDITED, OURS("a", "s"), NULL, "\"a\"", NULL, true, OURS("a", "s") },
    { "a weak one", OUTLOOK_EDITED, OURS("a", "w"), NULL, "W/\"a\"", NULL, true, OURS("a", "w") },
    { "only a date", OUTLOOK_EDITED, OURS("", "n"), DATE, NULL, DATE, true, OURS("", "n") },
    { "an empty tag", OUTLOOK_EDITED, OURS("", "s"), DATE, "\"\"", DATE, true, OURS("", "s") },
    { "with its date", OUTLOOK_EDITED, OURS("a", "s"), DATE, "\"a\"", DATE, true, OURS("a", "s") },
    { "where it is not known", OUTLOOK_UNKNOWN, OURS("a", "s"), NULL, "\"a\"", NULL, true,
      OURS("a", "s") },
    { "where nothing is edited now", OUTLOOK_UNEDITED, OURS("a", "s"), DATE, NULL, NULL, false,
      NULL },
    { "by other rules", OUTLOOK_EDITED, OLD("a", "s"), DATE, NULL, NULL, false, NULL },
    { "by other rules, not known", OUTLOOK_UNKNOWN, OLD("a", "s"), DATE, NULL, NULL, false, NULL },
    { "before there were rules", OUTLOOK_EDITED, "\"a\"", DATE, NULL, NULL, false, NULL },
    { "a date before there were rules", OUTLOOK_EDITED, NULL, DATE, NULL, NULL, false, NULL },
    { "what may be no page", OUTLOOK_UNKNOWN, "\"a\"", DATE, "\"a\"", DATE, false, NULL },
    { "what is not edited", OUTLOOK_UNEDITED, "\"a\", W/\"b\"", DATE, "\"a\", W/\"b\"", DATE, false,
      NULL },
    { "several", OUTLOOK_EDITED, OURS("a", "s") "," OURS("b,c", "w"), NULL, "\"a\", W/\"b,c\"",
      NULL, true, NULL },
    { "one is old", OUTLOOK_EDITED, OURS("a", "s") ", " OLD("b", "s"), DATE, NULL, NULL, false,
      NULL },
    { "one is not ours", OUTLOOK_UNKNOWN, OURS("a", "s") ", \"b\"", DATE, NULL, NULL, false, NULL },
    { "any", OUTLOOK_UNKNOWN, "*", NULL, "*", NULL, false, NULL },
    { "our mark in the origin's", OUTLOOK_UNKNOWN, OURS("a-dj0000000000000abcs", "s"), NULL,
      "\"a-dj0000000000000abcs\"", NULL, true, OURS("a-dj0000000000000abcs", "s") },
    { "almost ours: strong", OUTLOOK_UNKNOWN, "\"a-dj0000000000000abcs\"", NULL,
      "\"a-dj0000000000000abcs\"", NULL, false, NULL },
    { "almost ours: digits", OUTLOOK_UNKNOWN, "W/\"-dj0000000000000aBcs\"", NULL,
      "W/\"-dj0000000000000aBcs\"", NULL, false, NULL },
    { "almost ours: kind", OUTLOOK_UNKNOWN, OURS("a", "n"), NULL, OURS("a", "n"), NULL, false,
      NULL },
    { "almost ours: short", OUTLOOK_UNKNOWN, "W/\"dj0000000000000abcs\"", NULL,
      "W/\"dj0000000000000abcs\"", NULL, false, NULL },
};

static void asks_what_the_origin_knows(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof requests / sizeof *requests; i++) {
        struct message message;
        struct validators got;

        message_init(&message, &arena, true);
        put(&message, "If-None-Match", requests[i].none_match);
        put(&message, "If-Modified-Since", requests[i].since);
        got = validators_restore(&message, NOW, requests[i].outlook);
        want(requests[i].name, &message, FIELD_IF_NONE_MATCH, requests[i].want_none_match);
        want(requests[i].name, &message, FIELD_IF_MODIFIED_SINCE, requests[i].want_since);
        if (got.are_current != requests[i].want_current ||
            (requests[i].want_tag ? !span_equal(got.tag, span_text(requests[i].want_tag))
                                  : got.tag.at != NULL))
            fail_msg("%s: %d, \"%.*s\"", requests[i].name, got.are_current, SPAN_PRINT(got.tag));
        arena_reset(&arena);
    }
}

static const struct {
    const char *name;
    enum validators_outlook outlook;
    const char *range, *match; // If-Range, If-Match
    const char *want_range, *want_match;
    bool want_part; // Range stays
} parts[] = {
    { "a part of what we edited", OUTLOOK_UNKNOWN, OURS("a", "s"), NULL, NULL, NULL, false },
    { "... by other rules", OUTLOOK_UNEDITED, OLD("a", "s"), NULL, NULL, NULL, false },
    { "a part of what we did not", OUTLOOK_EDITED, "\"a\"", NULL, "\"a\"", NULL, true },
    { "by date, of a page", OUTLOOK_EDITED, DATE, NULL, NULL, NULL, false },
    { "by date, of what may be none", OUTLOOK_UNKNOWN, DATE, NULL, DATE, NULL, true },
    { "without a condition", OUTLOOK_EDITED, NULL, NULL, NULL, NULL, true },
    { "put in place of what we edited", OUTLOOK_UNEDITED, NULL, OLD("a", "s") ", \"b\"", NULL,
      "\"a\", \"b\"", true },
    { "put in place of another", OUTLOOK_UNEDITED, NULL, "\"a\" ,\"b\"", NULL, "\"a\" ,\"b\"",
      true },
};

static void asks_for_no_part_of_an_edited_body(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        struct message message;

        message_init(&message, &arena, true);
        put(&message, "Range", "bytes=5-");
        put(&message, "If-Range", parts[i].range);
        put(&message, "If-Match", parts[i].match);
        validators_restore(&message, NOW, parts[i].outlook);
        want(parts[i].name, &message, FIELD_RANGE, parts[i].want_part ? "bytes=5-" : NULL);
        want(parts[i].name, &message, FIELD_IF_RANGE, parts[i].want_range);
        want(parts[i].name, &message, FIELD_IF_MATCH, parts[i].want_match);
        arena_reset(&arena);
    }
}

static const struct {
    const char *name;
    unsigned status;
    const char *tag, *date, *asked;
    const char *want;
} responses[] = {
    { "a strong one", 200, "\"a\"", DATE, NULL, OURS("a", "s") },
    { "a weak one", 200, "W/\"a\"", NULL, NULL, OURS("a", "w") },
    { "a date", 200, NULL, DATE, NULL, OURS("", "n") },
    { "nothing", 200, NULL, NULL, NULL, NULL },
    { "no tag at all", 200, "a", NULL, NULL, NULL },
    { "no tag, but a date", 200, "\"a", DATE, NULL, OURS("", "n") },
    { "one that goes on", 200, "\"a\"b\"", NULL, NULL, NULL },
    { "not modified", 304, "\"a\"", NULL, OURS("a", "s"), OURS("a", "s") },
    { "not modified, it says no more", 304, NULL, NULL, OURS("a", "s"), OURS("a", "s") },
    { "not modified since", 304, NULL, DATE, OURS("", "n"), OURS("", "n") },
};

static void marks_what_is_edited(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof responses / sizeof *responses; i++) {
        struct validators asked = { .tag = span_text(responses[i].asked) };
        struct message message;

        message_init(&message, &arena, false);
        message.status = responses[i].status;
        put(&message, "ETag", responses[i].tag);
        put(&message, "Last-Modified", responses[i].date);
        validators_mark(&message, NOW, &asked);
        want(responses[i].name, &message, FIELD_ETAG, responses[i].want);
        want(responses[i].name, &message, FIELD_LAST_MODIFIED, responses[i].date);
        arena_reset(&arena);
    }
}

static void bounds_tags(void **state)
{
    char tag[VALIDATORS_TAG_BYTES + 2], want_tag[VALIDATORS_TAG_BYTES + 100];
    struct validators asked = { .are_current = false };
    struct message message;

    (void)state;
    memset(tag, 'x', sizeof tag);
    tag[0] = tag[VALIDATORS_TAG_BYTES - 1] = '"';
    tag[VALIDATORS_TAG_BYTES] = '\0';
    message_init(&message, &arena, false);
    put(&message, "ETag", tag);
    validators_mark(&message, NOW, &asked);
    snprintf(want_tag, sizeof want_tag, "W/%.*s-dj0000000000000abcs\"", VALIDATORS_TAG_BYTES - 1,
             tag);
    want("as long as may be", &message, FIELD_ETAG, want_tag);
    tag[VALIDATORS_TAG_BYTES - 1] = 'x';
    tag[VALIDATORS_TAG_BYTES] = '"';
    tag[VALIDATORS_TAG_BYTES + 1] = '\0';
    message_init(&message, &arena, false);
    put(&message, "ETag", tag);
    validators_mark(&message, NOW, &asked);
    want("too long", &message, FIELD_ETAG, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(asks_what_the_origin_knows),
        cmocka_unit_test(asks_for_no_part_of_an_edited_body),
        cmocka_unit_test(marks_what_is_edited),
        cmocka_unit_test(bounds_tags),
    };
    int failed;

    arena_init(&arena, 1024 * 1024);
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    arena_done(&arena);
    return failed;
}

/* Texts of rules in a database: packed, shared with their neighbours, found again with their place.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "filter/lines.h"
#include "rules.h"

enum { LINES = 200 };

struct written {
    struct pieces_index pieces;
    struct vector lines, runs;
    struct line_writer writer;
    struct image_header header;
    struct image_view view;
};

static struct written *begin(void)
{
    struct written *written = calloc(1, sizeof *written);

    assert_non_null(written);
    pieces_index_init(&written->pieces);
    line_writer_init(&written->writer, &written->pieces, &written->lines, &written->runs);
    return written;
}

static void finish(struct written *written)
{
    line_writer_finish(&written->writer);
    if (!written->header.page_lines_at)
        written->header.page_lines_at = (uint32_t)written->lines.count;
    written->view.header = &written->header;
    written->view.lines = written->lines.at;
    written->view.lines_size = (uint32_t)written->lines.count;
    written->view.line_runs = written->runs.at;
    written->view.line_run_count = (uint32_t)written->runs.count;
    written->view.list_count = 3;
}

static void end(struct written *written)
{
    vector_done(&written->lines);
    vector_done(&written->runs);
    free(written);
}

static void are_read_again(void **state)
{
    static const struct {
        const char *text;
        uint32_t place;
    } rows[] = {
        { "/banner/one", 1 },
        { "/banner/one/two", 2 },   // shares all of it
        { "/banner/one/two", 3 },   // is the same
        { "/banner/one/two", 259 }, // the longest skip
        { "/banner/one/two", 516 }, // one longer: a run of its own
        { "", 517 },
        { "/caf\xc3\xa9/one", 518 }, // bytes that no piece has
        { "/caf\xc3\xa8/one", 519 }, // and half of one is the same
        { "/caf\xc3", 520 },
        { "||ads.example^$third-party", 1u << IMAGE_LINE_BITS | 1 },
        { "||ads.example^$third-party", 5 }, // no list goes back, but no matter
    };
    enum { ROWS = sizeof rows / sizeof *rows };
    struct written *written = begin();
    uint32_t numbers[ROWS];
    char room[100];
    struct line line;

    (void)state;
    for (size_t i = 0; i < ROWS; i++)
        numbers[i] = line_write(&written->writer, span_text(rows[i].text), rows[i].place);
    finish(written);
    for (size_t i = 0; i < ROWS; i++) {
        if (!line_read(&written->view, numbers[i], room, sizeof room, &line) ||
            !span_equal(line.text, span_text(rows[i].text)) || line.place != rows[i].place)
            fail_msg("row %zu: %.*s at %u", i, SPAN_PRINT(line.text), line.place);
        assert_int_equal(line_next(&written->view, numbers[i]), i + 1 < ROWS ? numbers[i + 1] : 0);
        assert_true(line_read(&written->view, numbers[i], room, 3, &line) && line.text.size <= 3);
    }
    end(written);
}

/* Those of pages have pieces of their own. */
static void of_pages(void **state)
{
    static const char *const texts[] = { "||ads.example^$third-party", "##.ad-banner",
                                         "##.ad-box" };
    enum { TEXTS = sizeof texts / sizeof *texts };
    struct written *written = begin();
    uint32_t numbers[TEXTS];
    char room[100];
    struct line line;

    (void)state;
    for (uint32_t i = 0; i < TEXTS; i++) {
        if (i == 1)
            written->header.page_lines_at = line_writer_turn(&written->writer);
        numbers[i] = line_write(&written->writer, span_text(texts[i]), i);
    }
    finish(written);
    assert_int_equal(written->header.page_lines_at, numbers[1]);
    for (uint32_t i = 0; i < TEXTS; i++) {
        assert_true(line_read(&written->view, numbers[i], room, sizeof room, &line));
        assert_true(span_equal(line.text, span_text(texts[i])) && line.place == i);
    }
    end(written);
}

/* What stands in LINES already is not written again, wherever it stood. */
static void nothing_twice(void **state)
{
    static const char *const starts[] = { "||one.example^", "/two", "@@||three.example/\x80" };
    static const char lasting[] = "$domain=a-long.example|another.example|\xc3\xa9.example|x.test";
    enum { STARTS = sizeof starts / sizeof *starts };
    struct written *written = begin();
    uint32_t numbers[STARTS];
    char text[200], room[200];
    struct line line;

    (void)state;
    for (size_t i = 0; i < STARTS; i++) {
        int size = snprintf(text, sizeof text, "%s%s", starts[i], lasting);
        numbers[i] = line_write(&written->writer, span_of(text, (size_t)size), (uint32_t)(i * 500));
    }
    finish(written);
    assert_true(numbers[2] - numbers[1] < sizeof lasting / 2);
    for (size_t i = 0; i < STARTS; i++) {
        snprintf(text, sizeof text, "%s%s", starts[i], lasting);
        for (size_t limit = 1; limit < sizeof room; limit++) {
            assert_true(line_read(&written->view, numbers[i], room, limit, &line));
            assert_true(
                span_equal(line.text, span_of(text, limit < strlen(text) ? limit : strlen(text))));
        }
    }
    end(written);
}

/* Long ones, too: as much as the next may share, and one code more; the longest short count and
 * the next; as much as is kept, and more. */
static void of_any_length(void **state)
{
    static const size_t sizes[] = { LINES_COUNT - 1,     LINES_COUNT,         LINES_FRONT,
                                    LINES_FRONT + 1,     RULE_TEXT_LIMIT,     RULE_TEXT_LIMIT + 1,
                                    RULE_TEXT_LIMIT + 2, 2 * RULE_TEXT_LIMIT, 1 };
    enum { SIZES = sizeof sizes / sizeof *sizes };
    static const char bytes[] = { '~', '\x80' }; // one code, and two
    char *text = malloc(2 * RULE_TEXT_LIMIT), *room = malloc(RULE_TEXT_LIMIT + 1);

    (void)state;
    assert_true(text && room);
    for (size_t k = 0; k < sizeof bytes; k++) {
        struct written *written = begin();
        uint32_t numbers[SIZES];
        struct line line;

        memset(text, bytes[k], 2 * RULE_TEXT_LIMIT);
        for (size_t i = 0; i < SIZES; i++)
            numbers[i] = line_write(&written->writer, span_of(text, sizes[i]), (uint32_t)i);
        finish(written);
        for (size_t i = 0; i < SIZES; i++) {
            size_t want = sizes[i] < RULE_TEXT_LIMIT + 1 ? sizes[i] : RULE_TEXT_LIMIT + 1;

            assert_true(line_read(&written->view, numbers[i], room, RULE_TEXT_LIMIT + 1, &line));
            if (!span_equal(line.text, span_of(text, want)))
                fail_msg("%zu bytes: %zu", sizes[i], line.text.size);
        }
        end(written);
    }
    free(text);
    free(room);
}

/* Whatever stands there: no byte beyond it is read (a sanitizer watches). */
static void damage_does_no_harm(void **state)
{
    struct written *written = begin();
    uint64_t random = 88172645463325252u;
    char text[60], room[80];
    struct line line;

    (void)state;
    for (uint32_t i = 0; i < LINES; i++) {
        int size = snprintf(text, sizeof text, "||ads%u.example^$third-party", i);
        line_write(&written->writer, span_of(text, (size_t)size), i + i / 20 * 10);
    }
    finish(written);
    for (unsigned round = 0; round < 2000; round++) {
        char *copy = malloc(written->lines.count);

        assert_non_null(copy);
        memcpy(copy, written->lines.at, written->lines.count);
        for (unsigned change = 0; change < 20; change++) {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            copy[random % written->lines.count] = (char)(random >> 40);
        }
        written->view.lines = (const uint8_t *)copy;
        for (uint32_t number = 0; number < written->lines.count + 2; number += 1 + round % 7) {
            line_read(&written->view, number, room, sizeof room, &line);
            assert_true(line_next(&written->view, number) < written->lines.count);
        }
        free(copy);
    }
    end(written);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(are_read_again),      cmocka_unit_test(of_pages),
        cmocka_unit_test(nothing_twice),       cmocka_unit_test(of_any_length),
        cmocka_unit_test(damage_does_no_harm),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

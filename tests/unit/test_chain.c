/* Chains: what goes in decoded comes out edited and coded, however it is cut; limits; failures. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "proxy/chain.h"

enum { KB = 1024, MB = 1024 * 1024 };

static struct coding_memory memory = { 0, 64 * MB };
static const struct chain_limits no_limits = { 1 << 30, 600000, 64 * MB };

static unsigned long long seed = 1;

static size_t below(size_t limit)
{
    seed = seed * 6364136223846793005ull + 1442695040888963407ull;
    return (size_t)(seed >> 33) % limit;
}

/* ---- an editor: leaves out 'x', holds what follows a '<' up to its '>' ---- */

struct trimmer {
    const struct body_edit_events *events;
    void *owner;
    char held[64 * KB];
    size_t held_size;
    bool is_open, is_stopped, gives_up; // gives_up: at the first '!'
    int turns;                          // that it takes at the end, each putting a dot
    struct body_edit_counts counts;
    int *freed;
};

static void put(struct trimmer *t, struct span bytes)
{
    if (bytes.size)
        t->events->on_output(t->owner, bytes);
}

static void trimmer_feed(void *editor, struct span bytes)
{
    struct trimmer *t = editor;

    assert_true(bytes.size <= BODY_EDIT_STEP_BYTES);
    for (size_t i = 0; i < bytes.size; i++) {
        char c = bytes.at[i];
        if (t->gives_up && c == '!' && !t->is_stopped) {
            t->is_stopped = true;
            t->events->on_gave_up(t->owner, "of a mark", 7);
        }
        if (t->is_stopped) {
            put(t, span_from(bytes, i));
            return;
        }
        if (c == 'x') {
            t->counts.removed_bytes++;
            t->counts.removed_elements++;
            continue;
        }
        t->is_open = (t->is_open || c == '<') && c != '>';
        t->held[t->held_size++] = c;
        if (!t->is_open || t->held_size == sizeof t->held) {
            put(t, span_of(t->held, t->held_size));
            t->held_size = 0;
        }
    }
}

static bool trimmer_finish(void *editor)
{
    struct trimmer *t = editor;

    if (t->turns > 0) {
        t->turns--;
        put(t, SPAN("."));
        return false;
    }
    put(t, span_of(t->held, t->held_size));
    t->held_size = 0;
    return true;
}

static void trimmer_stop(void *editor, rule_number *costly)
{
    ((struct trimmer *)editor)->turns = 0;
    (void)trimmer_finish(editor);
    ((struct trimmer *)editor)->is_stopped = true;
    *costly = 9;
}

static size_t trimmer_held(const void *editor)
{
    return ((const struct trimmer *)editor)->held_size;
}

static void trimmer_counts(const void *editor, struct body_edit_counts *out)
{
    *out = ((const struct trimmer *)editor)->counts;
}

static void trimmer_free(void *editor)
{
    struct trimmer *t = editor;

    ++*t->freed;
    free(t);
}

static const struct body_editor trimmer_ops = { trimmer_feed, trimmer_finish, trimmer_stop,
                                                trimmer_held, trimmer_counts, trimmer_free };

/* ---- a chain, and what became of it ---- */

static struct report {
    const char *why;
    rule_number rule;
    uint64_t at_bytes;
    int count;
} report;

static void on_gave_up(void *owner, const char *why, rule_number rule, uint64_t at_bytes)
{
    assert_ptr_equal(owner, &report);
    report = (struct report){ why, rule, at_bytes, report.count + 1 };
}

static const struct chain_events events = { on_gave_up };
static int freed;

static struct trimmer *add(struct chain *chain, bool gives_up)
{
    struct trimmer *t = calloc(1, sizeof *t);
    struct body_edit edit = { &trimmer_ops, t };

    assert_non_null(t);
    t->events = &chain_edit_events;
    t->owner = chain_edit_owner(chain);
    t->gives_up = gives_up;
    t->freed = &freed;
    chain_add(chain, &edit);
    assert_null(edit.ops);
    return t;
}

static struct buffer code(enum coding coding, struct span text)
{
    struct buffer out = { .limit_bytes = text.size + 100 * KB };
    struct encoder *encoder = encoder_new(coding, &memory);
    size_t made;

    assert_true(buffer_reserve(&out, out.limit_bytes));
    encoder_run(encoder, &text, ENCODER_FINISH, out.at, out.limit_bytes, &made);
    out.size = made;
    encoder_free(&encoder);
    return out;
}

static struct buffer undo(enum coding coding, struct span coded)
{
    struct codings codings = { { coding }, 1 };
    struct decoder *decoder = decoder_new(&codings, &memory);
    struct buffer out = { .limit_bytes = 64 * MB };
    size_t made;

    do {
        assert_true(buffer_reserve(&out, 64 * KB));
        assert_int_equal(
            decoder_run(decoder, &coded, true, out.at + out.size, 64 * KB, &made, NULL), 0);
        out.size += made;
    } while (made == 64 * KB);
    decoder_free(&decoder);
    return out;
}

enum cut { WHOLE, BYTES, RANDOM, CUTS };

/* Gives all of `coded` and takes all that comes out. */
static enum chain_state play(struct chain *chain, struct span coded, enum cut cut,
                             struct buffer *out)
{
    enum chain_state state = CHAIN_HUNGRY;
    struct error error;
    size_t turns = 0;

    *out = (struct buffer){ .limit_bytes = 256 * MB };
    while (state != CHAIN_FINISHED && state != CHAIN_FAILED) {
        if (state == CHAIN_HUNGRY) {
            size_t most = cut == WHOLE ? 64 * KB : cut == BYTES ? 1 : 1 + below(5000);
            size_t size = coded.size < most ? coded.size : most;
            assert_true(size == 0 || chain_give(chain, span_slice(coded, 0, size)));
            coded = span_from(coded, size);
            if (coded.size == 0)
                chain_end(chain);
        }
        state = chain_run(chain, &error);
        while (chain_output(chain).size && (state != CHAIN_BUSY || below(3) > 0 || cut == WHOLE)) {
            struct span bytes = chain_output(chain);
            if (cut == RANDOM)
                bytes.size = 1 + below(bytes.size);
            assert_true(buffer_append(out, bytes));
            chain_taken(chain, bytes.size);
        }
        assert_true(++turns < 10000000);
    }
    return state;
}

static const struct {
    const char *name, *text, *want;
    size_t times;
    size_t editors;
} rows[] = {
    { "nothing", "", "", 0, 1 },
    { "no editor", "<a>x", "<a>x", 1000, 0 },
    { "left out", "<a>x", "<a>", 1000, 1 },
    { "by two", "<xa>b", "<a>b", 1000, 2 },
    { "held to the end", "<a", "<a", 1, 1 },
    { "a large one", "<p>some words and more</p>x\n", "<p>some words and more</p>\n", 100000, 2 },
};

static struct buffer repeat(const char *text, size_t times)
{
    struct buffer out = { .limit_bytes = 64 * MB };

    for (size_t i = 0; i < times; i++)
        assert_true(buffer_append(&out, span_text(text)));
    return out;
}

static void undoes_edits_and_codes(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        for (int from = -1; from < CODINGS; from++)
            for (enum cut cut = WHOLE; cut < CUTS; cut++) {
                int to = (int)below(CODINGS + 1) - 1;
                struct buffer text = repeat(rows[i].text, rows[i].times), coded, got, plain;
                struct buffer wanted = repeat(rows[i].want, rows[i].times);
                struct codings codings = { { 0 }, 0 };
                struct chain *chain;

                if (cut == BYTES && text.size > 10000)
                    cut = RANDOM;
                if (from >= 0) {
                    codings = (struct codings){ { (enum coding)from }, 1 };
                    coded = code((enum coding)from, buffer_span(&text));
                } else {
                    coded = repeat(rows[i].text, rows[i].times);
                }
                chain = chain_new(&codings, &memory, &no_limits, &events, &report);
                for (size_t j = 0; j < rows[i].editors; j++)
                    add(chain, false);
                if (to >= 0)
                    assert_true(chain_encode(chain, (enum coding)to));
                if (play(chain, coded.size ? buffer_span(&coded) : SPAN(""), cut, &got) !=
                    CHAIN_FINISHED)
                    fail_msg("%s, %d to %d: it failed", rows[i].name, from, to);
                if (to >= 0) {
                    plain = undo((enum coding)to, buffer_span(&got));
                    buffer_release(&got);
                    got = plain;
                }
                if (!span_equal(buffer_span(&got), buffer_span(&wanted)))
                    fail_msg("%s, %d to %d, cut %d: %zu bytes, wanted %zu", rows[i].name, from, to,
                             cut, got.size, wanted.size);
                assert_int_equal(chain_counts(chain).decoded_bytes, text.size);
                assert_int_equal(chain_counts(chain).put_bytes, wanted.size);
                assert_int_equal(chain_counts(chain).edits.removed_bytes, text.size - wanted.size);
                chain_free(&chain);
                assert_int_equal(memory.used_bytes, 0);
                buffer_release(&got);
                buffer_release(&text);
                buffer_release(&coded);
                buffer_release(&wanted);
            }
    assert_int_equal(report.count, 0);
}

static void shows_the_start_and_gives_it_back(void **state)
{
    struct codings codings = { { CODING_GZIP }, 1 };
    struct buffer text = repeat("<p>words</p>x\n", 1000), got,
                  wanted = repeat("<p>words</p>\n", 1000);
    struct buffer coded = code(CODING_GZIP, buffer_span(&text));
    struct chain *chain = chain_new(&codings, &memory, &no_limits, &events, &report);
    struct span start;
    bool is_whole;

    (void)state;
    add(chain, false);
    assert_int_equal(chain_peek(chain, &start, &is_whole, NULL), 0);
    assert_int_equal(start.size, 0);
    assert_true(chain_give(chain, span_slice(buffer_span(&coded), 0, 60)));
    assert_int_equal(chain_peek(chain, &start, &is_whole, NULL), 0);
    assert_true(start.size <= CHAIN_PEEK_BYTES && !is_whole);
    assert_true(chain_give(chain, span_slice(span_from(buffer_span(&coded), 60), 0, 20)));
    assert_int_equal(chain_peek(chain, &start, &is_whole, NULL), 0);
    assert_true(start.size > 0 && span_starts(buffer_span(&text), start));
    assert_true(span_equal(chain_raw(chain), span_slice(buffer_span(&coded), 0, 80)));
    assert_int_equal(play(chain, span_from(buffer_span(&coded), 80), RANDOM, &got), CHAIN_FINISHED);
    assert_true(span_equal(buffer_span(&got), buffer_span(&wanted)));
    chain_free(&chain);

    chain = chain_new(&codings, &memory, &no_limits, &events, &report);
    assert_true(chain_give(chain, SPAN("no gzip")));
    assert_int_equal(chain_peek(chain, &start, &is_whole, NULL), ERROR_CORRUPT);
    assert_true(span_equal(chain_raw(chain), SPAN("no gzip")));
    chain_free(&chain);
    buffer_release(&got);
    buffer_release(&text);
    buffer_release(&wanted);
    buffer_release(&coded);
}

static void stops_editors_at_their_limits(void **state)
{
    static const struct {
        const char *name, *text;
        struct chain_limits limits;
        const char *want, *why;
        rule_number rule;
        bool gives_up;
    } limits[] = {
        { "size", "axb", { 2, 600000, MB }, "ab", "it is longer than edit_size", 9, false },
        { "size, at it", "axb", { 3, 600000, MB }, "ab", NULL, 0, false },
        { "held",
          "x<abcde",
          { 100, 600000, 5 },
          "<abcde",
          "it held more than edit_held",
          9,
          false },
        { "held, at it", "x<abcd", { 100, 600000, 5 }, "<abcd", NULL, 0, false },
        { "by itself", "ax!x", { 100, 600000, 5 }, "a!x", "of a mark", 7, true },
    };

    (void)state;
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
        struct codings codings = { { 0 }, 0 };
        struct chain *chain = chain_new(&codings, &memory, &limits[i].limits, &events, &report);
        struct buffer got;

        report = (struct report){ .count = 0 };
        add(chain, limits[i].gives_up);
        assert_int_equal(play(chain, span_text(limits[i].text), WHOLE, &got), CHAIN_FINISHED);
        if (!span_equal(buffer_span(&got), span_text(limits[i].want)))
            fail_msg("%s: %.*s", limits[i].name, SPAN_PRINT(buffer_span(&got)));
        if (limits[i].why ? !report.why || strcmp(report.why, limits[i].why) != 0 : report.count)
            fail_msg("%s: %s", limits[i].name, report.why ? report.why : "no report");
        assert_int_equal(report.rule, limits[i].rule);
        assert_int_equal(report.count, limits[i].why ? 1 : 0);
        chain_free(&chain);
        buffer_release(&got);
    }
    report = (struct report){ .count = 0 };
}

/* Each in as many as it wants, the first of them first. */
static void editors_take_turns_at_the_end(void **state)
{
    struct codings codings = { { 0 }, 0 };
    struct buffer got;

    (void)state;
    for (enum cut cut = WHOLE; cut < CUTS; cut++) {
        struct chain *chain = chain_new(&codings, &memory, &no_limits, &events, &report);

        add(chain, false)->turns = 3;
        add(chain, false)->turns = 2;
        assert_int_equal(play(chain, SPAN("a<b"), cut, &got), CHAIN_FINISHED);
        assert_true(span_equal(buffer_span(&got), SPAN("a.....<b")));
        chain_free(&chain);
        buffer_release(&got);
    }
    assert_int_equal(report.count, 0);
}

static void what_all_hold_is_a_limit(void **state)
{
    struct coding_memory small = { 90, 100 };
    struct codings codings = { { 0 }, 0 };
    struct buffer got;

    (void)state;
    for (int is_over = 0; is_over < 2; is_over++) {
        struct chain *chain = chain_new(&codings, &small, &no_limits, &events, &report);

        report = (struct report){ .count = 0 };
        add(chain, false);
        assert_true(chain_give(chain, is_over ? SPAN("x<abcdefghij") : SPAN("x<abcdefghi")));
        assert_int_equal(chain_run(chain, NULL), CHAIN_HUNGRY);
        assert_int_equal(report.count, is_over);
        assert_int_equal(small.used_bytes, is_over ? 90 : 100);
        if (is_over)
            assert_string_equal(report.why, "edit_memory is in use");
        assert_int_equal(play(chain, SPAN("x"), WHOLE, &got), CHAIN_FINISHED);
        chain_free(&chain);
        assert_int_equal(small.used_bytes, 90);
        buffer_release(&got);
    }
    report = (struct report){ .count = 0 };
}

static void time_is_a_limit(void **state)
{
    struct chain_limits limits = { 1 << 30, 1, MB };
    struct buffer text = repeat("some words and an x\n", 500000), got;
    struct codings codings = { { 0 }, 0 };
    struct chain *chain = chain_new(&codings, &memory, &limits, &events, &report);

    (void)state;
    add(chain, false);
    assert_int_equal(play(chain, buffer_span(&text), WHOLE, &got), CHAIN_FINISHED);
    assert_string_equal(report.why, "it took longer than edit_time");
    assert_true(got.size < text.size && got.size > text.size - 500000);
    assert_true(chain_counts(chain).edits.removed_bytes == text.size - got.size);
    chain_free(&chain);
    buffer_release(&text);
    buffer_release(&got);
    report = (struct report){ .count = 0 };
}

static void a_slice_is_bounded(void **state)
{
    struct codings codings = { { CODING_GZIP }, 1 };
    struct buffer text = repeat("0123456789abcdef", MB),
                  coded = code(CODING_GZIP, buffer_span(&text));
    struct chain *chain = chain_new(&codings, &memory, &no_limits, &events, &report);
    struct error error;
    size_t turns = 0;

    (void)state; // 16 MB come out of 64 kB: never much at once, whoever takes it
    assert_true(coded.size < 100 * KB && chain_give(chain, buffer_span(&coded)));
    chain_end(chain);
    for (enum chain_state now = CHAIN_BUSY; now != CHAIN_FINISHED; turns++) {
        now = chain_run(chain, &error);
        assert_true(now == CHAIN_BUSY || now == CHAIN_FINISHED);
        assert_true(chain_output(chain).size < CHAIN_OUTPUT_BYTES + BODY_EDIT_STEP_BYTES);
        if (turns % 2)
            chain_taken(chain, chain_output(chain).size);
    }
    assert_true(turns > 200);
    chain_free(&chain);
    buffer_release(&text);
    buffer_release(&coded);
}

static void input_has_a_ceiling(void **state)
{
    struct codings codings = { { 0 }, 0 };
    struct chain *chain = chain_new(&codings, &memory, &no_limits, &events, &report);
    struct buffer text = repeat("0123456789abcdef", CHAIN_INPUT_BYTES / 16);

    (void)state;
    assert_true(chain_give(chain, buffer_span(&text)));
    assert_false(chain_give(chain, SPAN("1")));
    chain_free(&chain);
    buffer_release(&text);
}

static void fails_on_damage(void **state)
{
    struct codings codings = { { CODING_GZIP }, 1 };
    struct buffer text = repeat("<p>words</p>\n", 30000), got;
    struct buffer coded = code(CODING_GZIP, buffer_span(&text));

    (void)state;
    for (enum cut cut = WHOLE; cut < CUTS; cut++) {
        struct chain *chain = chain_new(&codings, &memory, &no_limits, &events, &report);

        add(chain, false);
        assert_int_equal(play(chain, span_slice(buffer_span(&coded), 0, coded.size - 9), cut, &got),
                         CHAIN_FAILED);
        assert_true(span_starts(buffer_span(&text), buffer_span(&got)));
        chain_free(&chain);
        buffer_release(&got);
    }
    assert_int_equal(memory.used_bytes, 0);
    buffer_release(&text);
    buffer_release(&coded);
}

static void frees_its_editors(void **state)
{
    struct codings codings = { { 0 }, 0 };
    struct chain *chain = chain_new(&codings, &memory, &no_limits, &events, &report);

    (void)state;
    freed = 0;
    add(chain, false);
    add(chain, false);
    chain_free(&chain);
    assert_int_equal(freed, 2);
    chain_free(&chain);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(undoes_edits_and_codes),
        cmocka_unit_test(shows_the_start_and_gives_it_back),
        cmocka_unit_test(stops_editors_at_their_limits),
        cmocka_unit_test(editors_take_turns_at_the_end),
        cmocka_unit_test(what_all_hold_is_a_limit),
        cmocka_unit_test(time_is_a_limit),
        cmocka_unit_test(a_slice_is_bounded),
        cmocka_unit_test(input_has_a_ceiling),
        cmocka_unit_test(fails_on_damage),
        cmocka_unit_test(frees_its_editors),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

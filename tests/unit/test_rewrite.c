/* The rewriter, by rows: what is removed, hollowed or put in, and that all else is copied however
 * the page was cut; and its limits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "../streams.h"
#include "html/rewrite.h"
#include "output.h"

enum how { REMOVES, HOLLOWS, INSPECTS, EDITS, ADDS };

static struct rewrite *rewrite;
static size_t output_bytes;
static enum how how;
static struct span added;                       // by ADDS,
static unsigned times_added, times_it_was_good; // so many times
static bool has_head;
static int gave_up; // the reason, or -1
static unsigned matches_asked;

static void on_output(void *owner, struct span bytes)
{
    output_bytes += bytes.size;
    if (output.limit_bytes)
        output_add(owner, bytes);
}

static enum rewrite_action on_element(void *owner, const struct rewrite_element *element)
{
    (void)owner;
    if (element->match_count == 0)
        return REWRITE_KEEP;
    matches_asked++;
    switch (how) {
    case REMOVES:
        return REWRITE_REMOVE;
    case HOLLOWS:
        return element->is_in_hollow ? REWRITE_KEEP : REWRITE_HOLLOW;
    case INSPECTS:
        return REWRITE_INSPECT;
    case EDITS:
        (void)rewrite_add_attributes(rewrite, SPAN(" new=\"1\""));
        if (element->tag->attribute_count > 1) {
            (void)rewrite_remove_attribute(rewrite, 0);
            (void)rewrite_set_attribute(rewrite, 1, SPAN("changed"));
        }
        return REWRITE_KEEP;
    case ADDS:
        for (unsigned i = times_it_was_good = 0; i < times_added; i++)
            times_it_was_good += rewrite_add_attributes(rewrite, added);
        return REWRITE_KEEP;
    }
    return REWRITE_KEEP;
}

static enum rewrite_action on_text(void *owner, struct span *text, bool is_whole)
{
    (void)owner;
    (void)is_whole;
    return span_find(*text, SPAN("bad")) < text->size ? REWRITE_REMOVE : REWRITE_KEEP;
}

static struct span on_head(void *owner)
{
    (void)owner;
    return has_head ? SPAN("<style>x</style>") : SPAN_NONE;
}

static void on_gave_up(void *owner, enum rewrite_reason reason)
{
    (void)owner;
    assert_int_equal(gave_up, -1);
    gave_up = (int)reason;
}

static const struct rewrite_events events = {
    .on_output = on_output,
    .on_element = on_element,
    .on_head = on_head,
    .on_text = on_text,
    .on_gave_up = on_gave_up,
};

static struct selector_set *set_of(const char *selector)
{
    struct selector_set *set = selector_set_new();

    if (selector && selector_set_add(set, span_text(selector), 1, NULL) != SELECTOR_STREAMED)
        fail_msg("%s is not streamed", selector);
    selector_set_finish(set);
    return set;
}

static void run_through(struct span page, const char *selector, unsigned cut, unsigned stop_at)
{
    struct selector_set *set = set_of(selector);
    const struct selector_set *sets[] = { set };
    struct rewrite_options options = {
        .sets = sets, .set_count = 1, .hollow = SPAN(" hidden"), .inspect_bytes = 64
    };
    struct stream stream = stream_of(page, cut);
    struct span piece;
    unsigned number = 0;

    output_begin();
    output_bytes = 0;
    gave_up = -1;
    matches_asked = 0;
    rewrite = rewrite_new(&options, &events, NULL);
    while (stream_next(&stream, &piece)) {
        rewrite_feed(rewrite, piece);
        if (++number == stop_at)
            rewrite_stop(rewrite);
    }
    rewrite_finish(rewrite);
    rewrite_free(&rewrite);
    selector_set_free(&set);
}

static const struct {
    enum how how;
    const char *selector, *page, *want;
} cases[] = {
    { REMOVES, ".x", "a<b class=x>c<i>d</i></b>e", "ae" },
    { REMOVES, ".x", "a<br class=x>b", "ab" },
    { REMOVES, "li.x", "<ul><li>a<li class=x>b<li>c</ul>", "<ul><li>a</li><li>c</ul>" },
    { REMOVES, "p.x", "<p class=x>a<p>b", "<body><p>b" },
    { REMOVES, "p.x", "<div><p class=x>a</div>b", "<div></div>b" },
    { REMOVES, "td.x", "<table><tr><td class=x>a<td>b</table>", "<table><tr><td>b</table>" },
    { REMOVES, "tr.x", "<table><tr class=x><td>a<tr><td>b</table>",
      "<table><tbody><tr><td>b</table>" },
    { REMOVES, "script", "a<script>'</b>'</script>b", "ab" },
    { REMOVES, ".x", "<svg><g class=x><path/></g></svg>", "<svg></svg>" },
    { REMOVES, "html, body", "<html><body>a</body></html>", "<html><body>a</body></html>" },
    { REMOVES, ".x", "a&am<b class=x></b>p;b", "a&am<!---->p;b" }, // it must not become one
    { REMOVES, ".x", "<<b class=x></b>p>", "<<!---->p>" },
    // </em> takes the p out of the removed span.
    { REMOVES, ".x", "<em><span class=x>a<p>b</em>c</p>d</span>e", "<em></em><p>c</p>d</span>e" },
    { REMOVES, ".x", "<em><span class=x>a<p class=x>b</em>c</p>d</span>e", "<em></em>d</span>e" },
    { REMOVES, ".x", "<em><span class=x><div><div><div><div><div><div><div><div><q class=x>a</em>b",
      "<em></em><div><div><div><div><div><div><div><div>" },        // eight steps, and no more
    { REMOVES, "div.x", "<p>a<div class=x>b</div>c", "<p>a</p>c" }, // it closed the p
    { REMOVES, ".x", "<!doctype html><!--c--><p class=x>a</p><!--d-->",
      "<!doctype html><!--c--><body><!--d-->" },
    { REMOVES, "option.x", "<select><option class=x>a<option>b</select>",
      "<select><option>b</select>" },
    { REMOVES, "q:empty", "a<q><!--c--></q>b", "ab" },
    { REMOVES, "q:empty", "a<q><!--c-->d</q>b", "a<q><!--c-->d</q>b" },
    { REMOVES, "q:empty", "a<q></i></q>b", "ab" }, // what the browser ignores is nothing in it
    { REMOVES, "q:empty", "a<q></i>c</q>b", "a<q></i>c</q>b" },
    { REMOVES, "q:empty", "a<q><td></q>b", "ab" },
    { REMOVES, "q:empty", "a<q><!--c--><td>d</q>b", "a<q><!--c--><td>d</q>b" },
    { REMOVES, "q:not(:empty)", "a<q></i><td>c</q>b", "ab" },
    { REMOVES, "q:empty", "a<q><body c></q>b", "a<q><body c></q>b" }, // it is about the body
    { REMOVES, "q:empty", "a<q></body></q>b", "a<q></body></q>b" },
    { REMOVES, "q:empty", "<a><h><div><b><q><a>c", "<a><h><div><b><a>c" },
    { REMOVES, "q:empty", "<a><h><div><q></a>c</q>d", "<a><h><div></a>c</q>d" },
    { REMOVES, "div:empty", "<b><div></b></div>c", "<b><div></b></div>c" }, // a copy is in it
    { HOLLOWS, ".x", "a<div class=x>b<p>c</p></div>d", "a<div hidden class=x></div>d" },
    { HOLLOWS, ".x", "<div class=x>a<script>s</script>b<style>t</style></div>",
      "<div hidden class=x><script>s</script><style>t</style></div>" },
    { HOLLOWS, "p.x", "<p class=x>a<p>b", "<p hidden class=x><p>b" },
    { HOLLOWS, "img", "<img src=x>", "<img hidden src=x>" },
    { INSPECTS, "script", "<script>good</script><script>bad</script>", "<script>good</script>" },
    { INSPECTS, "script",
      "<script>0123456789012345678901234567890123456789012345678901234567890123"
      "bad</script>",
      "<script>0123456789012345678901234567890123456789012345678901234567890123bad</script>" },
    { INSPECTS, "script",
      "<script>0123456789012345678901234567890123456789012345678901234567890bad</script>", "" },
    { INSPECTS, "style", "a<style>bad", "a" },
    { EDITS, ".x", "a<b c='d' class=x>e</b>", "a<b new=\"1\"  class=\"changed\">e</b>" },
    { EDITS, ".x", "<br class=x>", "<br new=\"1\" class=x>" },
};

static void pages_come_out_as_wanted(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (unsigned cut = 0; cut < STREAM_CUTS; cut++) {
            how = cases[i].how;
            run_through(span_text(cases[i].page), cases[i].selector, cut, 0);
            output_is(span_text(cases[i].want), cases[i].page, cut);
        }
}

/* Who reports removals is asked about what is in a removed element only where it may come out. */
static void what_goes_along_is_not_asked_about(void **state)
{
    static const struct {
        const char *page;
        unsigned asked;
    } some[] = {
        { "<div class=x><div class=x></div></div>", 1 },
        { "<span class=x><div class=x></div></span>", 1 },
        { "<a><div class=x><div class=x></div></div></a>", 1 },
        { "<b><span class=x><img class=x></span></b>", 1 },
        { "<b><span class=x><script class=x></script></span></b>", 1 },
        { "<b><span class=x><div class=x></b></div></span>", 2 },
        { "<div class=x><b class=x></div>c", 2 }, // of its copies it is known
    };

    (void)state;
    how = REMOVES;
    for (size_t i = 0; i < sizeof some / sizeof *some; i++)
        for (unsigned cut = 0; cut < STREAM_CUTS; cut++) {
            run_through(span_text(some[i].page), ".x", cut, 0);
            if (matches_asked != some[i].asked)
                fail_msg("%s, cut %u: asked %u times", some[i].page, cut, matches_asked);
        }
}

static void the_head_begins_with_our_text(void **state)
{
    static const struct {
        const char *page, *want;
    } heads[] = {
        { "<head><title>", "<head><style>x</style><title>" },
        { "<!doctype html><title>", "<!doctype html><style>x</style><title>" },
        { "<html lang=en><head id=h><meta>", "<html lang=en><head id=h><style>x</style><meta>" },
        { "a", "<style>x</style>a" },
        { "<!--c--><p>", "<!--c--><style>x</style><p>" },
        { "<body>", "<style>x</style><body>" },
        { "<frameset>", "<style>x</style><frameset>" },
    };
    (void)state;
    has_head = true;
    for (size_t i = 0; i < sizeof heads / sizeof *heads; i++)
        for (unsigned cut = 0; cut < STREAM_CUTS; cut++) {
            run_through(span_text(heads[i].page), NULL, cut, 0);
            output_is(span_text(heads[i].want), heads[i].page, cut);
        }
    has_head = false;
}

static void without_a_match_all_is_copied(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (unsigned cut = 0; cut < STREAM_CUTS; cut++) {
            run_through(span_text(cases[i].page), "nobody", cut, 0);
            output_is(span_text(cases[i].page), cases[i].page, cut);
        }
}

static void escape_sequences_end_it(void **state)
{
    (void)state;
    how = REMOVES;
    for (unsigned cut = 0; cut < STREAM_CUTS; cut++) {
        run_through(SPAN("<i>a</i>\x1b$B<i>\x1b(B"), "i", cut, 0);
        assert_true(span_equal(buffer_span(&output), SPAN("<body>\x1b$B<i>\x1b(B")));
        assert_int_equal(gave_up, REWRITE_ESCAPE);
    }
}

/* Stopped after any byte, what came before is as it would have been, the rest is copied. */
static void can_be_stopped(void **state)
{
    struct span page = SPAN("<b class=x>a</b>bc<i title='x'>d</i><script>s</script>");

    (void)state;
    how = INSPECTS;
    for (unsigned at = 1; at <= page.size; at++) {
        run_through(page, "script", 1, at);
        assert_true(span_equal(buffer_span(&output), page));
        assert_int_equal(gave_up, -1);
    }
    how = REMOVES;
    run_through(page, "b", 1, 18);
    assert_true(
        span_equal(buffer_span(&output), SPAN("<body>bc<i title='x'>d</i><script>s</script>")));
}

/* ---- limits ---- */

/* A million times `piece`; returns the most memory that was held. */
static size_t flood(const char *start, const char *piece, size_t count, const char *selector)
{
    struct selector_set *set = set_of(selector);
    const struct selector_set *sets[] = { set };
    struct rewrite_options options = { .sets = sets, .set_count = 1 };
    size_t most = 0, fed = 0;

    output.limit_bytes = output_bytes = 0;
    gave_up = -1;
    matches_asked = 0;
    rewrite = rewrite_new(&options, &events, NULL);
    rewrite_feed(rewrite, span_text(start));
    fed += strlen(start);
    for (size_t i = 0; i < count; i++) {
        rewrite_feed(rewrite, span_text(piece));
        fed += strlen(piece);
        if (rewrite_held(rewrite) > most)
            most = rewrite_held(rewrite);
    }
    rewrite_finish(rewrite);
    assert_int_equal(output_bytes + rewrite_removed_bytes(rewrite), fed);
    rewrite_free(&rewrite);
    selector_set_free(&set);
    return most;
}

/* `count` times a piece. */
static void repeat(struct buffer *to, const char *piece, size_t count)
{
    for (size_t i = 0; i < count; i++)
        assert_true(buffer_append(to, span_text(piece)));
}

/* With a change too many, or too long, the tag stays as it is. */
static void changes_to_a_tag_have_limits(void **state)
{
    static char bytes[REWRITE_EDIT_BYTES + 1];
    static const struct {
        unsigned times;
        size_t size;
        bool is_good;
    } rows[] = {
        { REWRITE_EDITS, 2, true },
        { REWRITE_EDITS + 1, 2, false },
        { 1, REWRITE_EDIT_BYTES, true },
        { 1, REWRITE_EDIT_BYTES + 1, false },
    };

    (void)state;
    how = ADDS;
    memset(bytes, 'a', sizeof bytes);
    bytes[0] = ' ';
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        times_added = rows[i].times;
        added = span_of(bytes, rows[i].size);
        run_through(SPAN("<b class=x><i>"), ".x", 0, 0);
        assert_int_equal(times_it_was_good, rows[i].times - !rows[i].is_good);
        assert_int_equal(output.size, 14 + (rows[i].is_good ? rows[i].times * rows[i].size : 0));
        assert_int_equal(span_starts(buffer_span(&output), SPAN("<b class=x><i>")),
                         !rows[i].is_good);
    }
}

/* Of a tag in what is removed that has to come back behind it. */
static void kept_tags_have_limits(void **state)
{
    (void)state;
    how = REMOVES;
    for (int more = 0; more < 2; more++) { // bytes of one
        struct buffer page = { .limit_bytes = 1 << 20 }, want = { .limit_bytes = 1 << 20 };

        repeat(&want, "<body><b id=", 1);
        repeat(&want, "a", REWRITE_KEPT_TAG_BYTES + (size_t)more - strlen("<b id=>"));
        repeat(&want, ">", 1);
        repeat(&page, "<body><p class=x>", 1);
        assert_true(buffer_append(&page, span_from(buffer_span(&want), strlen("<body>"))));
        repeat(&page, "</p>a", 1);
        repeat(&want, "a", 1);
        run_through(buffer_span(&page), ".x", 0, 0);
        output_is(more ? SPAN("<body>a") : buffer_span(&want), "one tag", 0);
        buffer_release(&page);
        buffer_release(&want);
    }
    for (unsigned count = 64; count <= 65; count++) { // written out at once
        struct buffer page = { .limit_bytes = 1 << 20 }, want = { .limit_bytes = 1 << 20 };

        repeat(&page, "<body><p class=x>", 1);
        repeat(&want, "<body>", 1);
        for (unsigned i = 0; i < count; i++) {
            assert_true(buffer_printf(&page, "<b id=%u>", i));
            assert_true(i == 64 || buffer_printf(&want, "<b id=%u>", i));
        }
        repeat(&page, "</p>a", 1);
        repeat(&want, "a", 1);
        run_through(buffer_span(&page), ".x", 0, 0);
        output_is(buffer_span(&want), "many tags", 0);
        buffer_release(&page);
        buffer_release(&want);
    }
}

/* All tags that may have to come back, together. */
static void kept_tags_have_a_limit_in_all(void **state)
{
    enum { FIT = REWRITE_KEPT_TAGS_BYTES / REWRITE_KEPT_TAG_BYTES };
    struct selector_set *set = set_of(".x");
    const struct selector_set *sets[] = { set };
    struct rewrite_options options = { .sets = sets, .set_count = 1 };
    struct buffer tag = { .limit_bytes = 1 << 20 };
    size_t held, before = 0;

    (void)state;
    how = REMOVES;
    output_begin();
    gave_up = -1;
    matches_asked = 0;
    rewrite = rewrite_new(&options, &events, NULL);
    rewrite_feed(rewrite, SPAN("<div class=x>"));
    for (unsigned i = 0; i <= FIT; i++) {
        tag.size = 0;
        assert_true(buffer_printf(&tag, "<i id=%08u", i));
        repeat(&tag, "a", REWRITE_KEPT_TAG_BYTES - tag.size - 1);
        repeat(&tag, ">", 1);
        before = rewrite_held(rewrite);
        rewrite_feed(rewrite, buffer_span(&tag));
        held = rewrite_held(rewrite) - before;
        if ((held > REWRITE_KEPT_TAG_BYTES) != (i < FIT))
            fail_msg("tag %u: %zu bytes more are held", i, held);
    }
    rewrite_finish(rewrite);
    rewrite_free(&rewrite);
    selector_set_free(&set);
    buffer_release(&tag);
}

/* An element waits to be known as empty with so many attributes, and comments behind its tag. */
static void waiting_has_limits(void **state)
{
    static const struct {
        size_t attributes, comment_bytes;
        bool is_removed;
    } rows[] = {
        { 64, 100, true },
        { 65, 100, false },
        { 1, 65536, true },
        { 1, 65537, false },
    };

    (void)state;
    how = REMOVES;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct buffer page = { .limit_bytes = 1 << 20 };

        repeat(&page, "<!doctype html><body><p class=x", 1);
        for (size_t k = 1; k < rows[i].attributes; k++)
            assert_true(buffer_printf(&page, " a%zu", k));
        repeat(&page, "><!--", 1);
        repeat(&page, "c", rows[i].comment_bytes - strlen("<!---->"));
        repeat(&page, "--></p>", 1);
        for (unsigned cut = 0; cut < STREAM_CUTS; cut++) {
            run_through(buffer_span(&page), "p:empty", cut, 0);
            if (span_equal(buffer_span(&output), buffer_span(&page)) != !rows[i].is_removed)
                fail_msg("row %zu, cut %u: %zu bytes of %zu", i, cut, output.size, page.size);
        }
        buffer_release(&page);
    }
}

/* Steps that a page may take, with a selector that is asked for each element. */
static void work_has_a_limit(void **state)
{
    enum { SELECTORS = 10000 };

    (void)state;
    how = REMOVES;
    for (size_t elements = 10; elements <= 1000; elements += 990) {
        struct selector_set *set = selector_set_new();
        const struct selector_set *sets[] = { set };
        struct rewrite_options options = { .sets = sets, .set_count = 1 };
        struct buffer page = { .limit_bytes = 1 << 20 };
        struct match costly;

        for (uint32_t i = 0; i < SELECTORS; i++) {
            char text[32];

            snprintf(text, sizeof text, "i:not([a]):nth-child(%u)", i + 2000);
            assert_int_equal(selector_set_add(set, span_text(text), i, NULL), SELECTOR_STREAMED);
        }
        selector_set_finish(set);
        repeat(&page, "<i></i>", elements);
        output_begin();
        gave_up = -1;
        rewrite = rewrite_new(&options, &events, NULL);
        rewrite_feed(rewrite, buffer_span(&page));
        rewrite_finish(rewrite);
        assert_int_equal(gave_up, elements == 10 ? -1 : REWRITE_WORK_SPENT);
        assert_false(rewrite_costly(rewrite, &costly)); // it was no single one
        assert_true(span_equal(buffer_span(&output), buffer_span(&page)));
        rewrite_free(&rewrite);
        selector_set_free(&set);
        buffer_release(&page);
    }
}

static void floods_are_held_within_bounds(void **state)
{
    (void)state;
    how = REMOVES;
    assert_true(flood("", "<div>", 1000000, ".x") < 2 << 20);
    assert_int_equal(gave_up, REWRITE_DEEP);
    assert_true(flood("", "<b><i>", 500000, ".x b > i") < 4 << 20);
    assert_int_equal(gave_up, REWRITE_DEEP);
    assert_true(flood("<p", " abcdefg=1", 1000000, "[abcdefg]") < 2 << 20);
    assert_int_equal(gave_up, REWRITE_LONG_TAG);
    assert_true(flood("<p title='", "0123456789", 1000000, "p") < 2 << 20);
    assert_int_equal(gave_up, REWRITE_LONG_TAG);
    assert_true(flood("<!--", "0123456789", 1000000, "p") < 1 << 20);
    assert_int_equal(gave_up, -1);
    assert_true(flood("<table>", "<a>x", 100000, "a") < 4 << 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pages_come_out_as_wanted),
        cmocka_unit_test(what_goes_along_is_not_asked_about),
        cmocka_unit_test(the_head_begins_with_our_text),
        cmocka_unit_test(without_a_match_all_is_copied),
        cmocka_unit_test(escape_sequences_end_it),
        cmocka_unit_test(can_be_stopped),
        cmocka_unit_test(changes_to_a_tag_have_limits),
        cmocka_unit_test(kept_tags_have_limits),
        cmocka_unit_test(kept_tags_have_a_limit_in_all),
        cmocka_unit_test(waiting_has_limits),
        cmocka_unit_test(work_has_a_limit),
        cmocka_unit_test(floods_are_held_within_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, output_release);
}

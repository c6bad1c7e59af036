/* The tokenizer, by rows; each row whole, byte by byte, and cut at random. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "html/tokenizer.h"
#include "../tokenize.h"

static struct tokenizer tokenizer;
static struct buffer seen, joined;
static enum token_kind last_kind;

static void write_tag(const struct token *token)
{
    (void)buffer_printf(&seen, "%s%.*s", token->kind == TOKEN_END_TAG ? "/" : "",
                        SPAN_PRINT(token->name));
    for (size_t i = 0; i < token->attribute_count; i++) {
        (void)buffer_printf(&seen, " %.*s", SPAN_PRINT(token_attribute_name(token, i)));
        if (token->attributes[i].value_at)
            (void)buffer_printf(&seen, "=[%.*s]", SPAN_PRINT(token_attribute_value(token, i)));
    }
    if (token->is_self_closing)
        (void)buffer_append(&seen, SPAN(" /"));
}

static void take(void *owner, const struct token *token)
{
    static const char letters[] = {
        [TOKEN_TEXT] = 't',    [TOKEN_START_TAG] = 's', [TOKEN_END_TAG] = 's',
        [TOKEN_COMMENT] = 'c', [TOKEN_DOCTYPE] = 'd',   [TOKEN_MARK] = 'm',
        [TOKEN_PARTIAL] = 'p', [TOKEN_RAW] = 'r'
    };
    bool goes_on = token->kind == last_kind && seen.size &&
                   (token->kind == TOKEN_TEXT || token->kind == TOKEN_RAW ||
                    (token->kind == TOKEN_COMMENT && !token->is_first));

    (void)owner;
    assert_true(buffer_append(&joined, token->bytes));
    if (token->bytes.size == 0)
        return;
    if (goes_on)
        seen.size--; // the bracket
    else
        (void)buffer_printf(&seen, "%s%c{", seen.size ? " " : "", letters[token->kind]);
    if (token->kind == TOKEN_START_TAG || token->kind == TOKEN_END_TAG)
        write_tag(token);
    else
        (void)buffer_append(&seen, token->bytes);
    (void)buffer_append(&seen, SPAN("}"));
    last_kind = token->kind;
}

static void run_through(struct span text, enum tokenizer_state state, const char *last,
                        unsigned cut, size_t limit)
{
    seen.size = joined.size = 0;
    seen.limit_bytes = joined.limit_bytes = 8 << 20;
    tokenizer_init(&tokenizer);
    if (limit)
        tokenizer.held_limit = limit;
    if (state != TOKENIZER_DATA)
        tokenizer_set_state(&tokenizer, state, span_text(last));
    tokenize(&tokenizer, text, cut, take, NULL);
    tokenizer_done(&tokenizer);
    if (!span_equal(buffer_span(&joined), text))
        fail_msg("the tokens are not the input: %.*s", SPAN_PRINT(buffer_span(&joined)));
}

static const struct {
    const char *text, *want, *last;
    enum tokenizer_state state;
} cases[] = {
    { "a b", "t{a b}", "", TOKENIZER_DATA },
    { "<p>x</p>", "s{p} t{x} s{/p}", "", TOKENIZER_DATA },
    { "<a href=x id='y' c=\"z\" d>", "s{a href=[x] id=[y] c=[z] d}", "", TOKENIZER_DATA },
    { "<a b = c\n d\t=\f'e>f'>", "s{a b=[c] d=[e>f]}", "", TOKENIZER_DATA },
    { "<br/><br / ><br x=/>", "s{br /} s{br} s{br x=[/]}", "", TOKENIZER_DATA },
    { "<a/b/c=d>", "s{a b c=[d]}", "", TOKENIZER_DATA },
    { "<a =b ==c>", "s{a =b=[=c]}", "", TOKENIZER_DATA },
    { "<a b='x\"'c=\"'\">", "s{a b=[x\"] c=[']}", "", TOKENIZER_DATA },
    { "<a b=>", "s{a b=[]}", "", TOKENIZER_DATA },
    { "<a b=''>", "s{a b=[]}", "", TOKENIZER_DATA },
    { "a<1 < b", "t{a<1 < b}", "", TOKENIZER_DATA },
    { "x<", "t{x<}", "", TOKENIZER_DATA },
    { "x<a", "t{x} p{<a}", "", TOKENIZER_DATA },
    { "x<a b='>", "t{x} p{<a b='>}", "", TOKENIZER_DATA },
    { "</>x", "m{</>} t{x}", "", TOKENIZER_DATA },
    { "</ a>x", "c{</ a>} t{x}", "", TOKENIZER_DATA },
    { "<?php x?>y", "c{<?php x?>} t{y}", "", TOKENIZER_DATA },
    { "<!-- a -- b ->-->c", "c{<!-- a -- b ->-->} t{c}", "", TOKENIZER_DATA },
    { "<!-->a", "c{<!-->} t{a}", "", TOKENIZER_DATA },
    { "<!--->a", "c{<!--->} t{a}", "", TOKENIZER_DATA },
    { "<!--a--!>b", "c{<!--a--!>} t{b}", "", TOKENIZER_DATA },
    { "<!--a<!--b-->c", "c{<!--a<!--b-->} t{c}", "", TOKENIZER_DATA },
    { "<!-- never", "c{<!-- never}", "", TOKENIZER_DATA },
    { "<!x>y", "c{<!x>} t{y}", "", TOKENIZER_DATA },
    { "<!DocType html><p>", "d{<!DocType html>} s{p}", "", TOKENIZER_DATA },
    { "<![CDATA[x]]>y", "c{<![CDATA[x]]>} t{y}", "", TOKENIZER_DATA },
    { "a</title >b", "t{a} s{/title} t{b}", "title", TOKENIZER_RCDATA },
    { "a</titles></TITLE/>", "t{a</titles>} s{/TITLE /}", "title", TOKENIZER_RCDATA },
    { "<b></style>", "t{<b>} s{/style}", "style", TOKENIZER_RAWTEXT },
    { "a<!--</script>", "t{a<!--} s{/script}", "script", TOKENIZER_SCRIPT },
    { "<!--<script></script>-->x</script>", "t{<!--<script></script>-->x} s{/script}", "script",
      TOKENIZER_SCRIPT },
    { "<!--<script></script></script>", "t{<!--<script></script>} s{/script}", "script",
      TOKENIZER_SCRIPT },
    { "<!--<scripty></script>", "t{<!--<scripty>} s{/script}", "script", TOKENIZER_SCRIPT },
    { "</p><!--", "t{</p><!--}", "", TOKENIZER_PLAINTEXT },
    { "a]]b]]]>c", "t{a]]b]} m{]]>} t{c}", "", TOKENIZER_CDATA },
    { "<p data-fifteen-ab=\"1\" data-sixteen-abc=\"2\" data-seventeen-ab=\"3\" b=\"\"c=\"4\""
      " d e='5' f=\"a longer value, and text behind it\">and so on, so that there is more than "
      "enough",
      "s{p data-fifteen-ab=[1] data-sixteen-abc=[2] data-seventeen-ab=[3] b=[] c=[4] d e=[5]"
      " f=[a longer value, and text behind it]} t{and so on, so that there is more than enough}",
      "", TOKENIZER_DATA },
    { "<p id=\"a value that does not end, and no tag either>",
      "p{<p id=\"a value that does not end, and no tag either>}", "", TOKENIZER_DATA },
    { "caf\xe9<p \xe9=\xff>", "t{caf\xe9} s{p \xe9=[\xff]}", "", TOKENIZER_DATA },
};

static void tokens_by_rows(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (unsigned cut = 0; cut < STREAM_CUTS; cut++) {
            run_through(span_text(cases[i].text), cases[i].state, cases[i].last, cut, 0);
            if (!span_equal(buffer_span(&seen), span_text(cases[i].want)))
                fail_msg("%s, cut %u: %.*s", cases[i].text, cut, SPAN_PRINT(buffer_span(&seen)));
        }
}

static void a_tag_longer_than_the_limit_passes_raw(void **state)
{
    (void)state;
    for (unsigned cut = 1; cut < STREAM_CUTS; cut++) {
        run_through(SPAN("<abcdefgh i='x'><b>"), TOKENIZER_DATA, "", cut, 16);
        assert_true(span_equal(buffer_span(&seen), SPAN("s{abcdefgh i=[x]} s{b}")));
    }
    run_through(SPAN("<abcdefghi i='x'><b>"), TOKENIZER_DATA, "", 1, 16);
    assert_true(span_equal(buffer_span(&seen), SPAN("r{<abcdefghi i='x'><b>}")));
    assert_true(tokenizer.gave_up);
}

static void an_endless_tag_holds_a_megabyte(void **state)
{
    struct token token;
    static char bytes[65536];
    size_t given = 0, fed = 0;

    (void)state;
    memset(bytes, 'a', sizeof bytes);
    bytes[0] = '<';
    tokenizer_init(&tokenizer);
    for (int i = 0; i < 64; i++) {
        tokenizer_feed(&tokenizer, span_of(bytes, sizeof bytes));
        fed += sizeof bytes;
        while (tokenizer_next(&tokenizer, &token))
            given += token.bytes.size;
        assert_true(tokenizer_held(&tokenizer) <= TOKENIZER_HELD_LIMIT_BYTES);
        bytes[0] = 'a';
    }
    assert_true(tokenizer.gave_up);
    assert_int_equal(given, fed);
    assert_true(tokenizer.held_most <= TOKENIZER_HELD_LIMIT_BYTES);
    tokenizer_done(&tokenizer);
}

static void attributes_beyond_the_limit_are_cut(void **state)
{
    (void)state;
    for (int more = 0; more < 2; more++) {
        struct buffer text = { .limit_bytes = 1 << 20 };
        struct token token;

        (void)buffer_append(&text, SPAN("<a"));
        for (int i = 0; i < TOKENIZER_ATTRIBUTES + more; i++)
            (void)buffer_printf(&text, " a%d=b", i);
        (void)buffer_append(&text, SPAN(">"));
        tokenizer_init(&tokenizer);
        tokenizer_feed(&tokenizer, buffer_span(&text));
        assert_true(tokenizer_next(&tokenizer, &token));
        assert_int_equal(token.attribute_count, TOKENIZER_ATTRIBUTES - more);
        assert_int_equal(token.attributes_were_cut, more);
        assert_int_equal(token.bytes.size, text.size);
        tokenizer_done(&tokenizer);
        buffer_release(&text);
    }
}

static int release(void **state)
{
    (void)state;
    buffer_release(&seen);
    buffer_release(&joined);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tokens_by_rows),
        cmocka_unit_test(a_tag_longer_than_the_limit_passes_raw),
        cmocka_unit_test(an_endless_tag_holds_a_megabyte),
        cmocka_unit_test(attributes_beyond_the_limit_are_cut),
    };
    return cmocka_run_group_tests(tests, NULL, release);
}

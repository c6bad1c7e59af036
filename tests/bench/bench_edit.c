/*
 * bench_edit.c - how long one directive may hold up a worker, on the longest bodies, which are made
 * to cost as much as they can; and what ordinary ones take.
 *
 * As in a worker no memory may run code, so that expressions are interpreted. Processor time; the
 * exit code is 1 when one takes longer than LIMIT_MS.
 */
#include <errno.h>
#include <seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

#include "filter/edit.h"

enum { LIMIT_MS = 150 };

/* Bodies: `head`, as often as fits `piece`, then `tail`. */
static const struct {
    const char *name;
    enum directive_kind kind;
    const char *value, *head, *piece, *tail;
} rows[] = {
    { "replace, from each byte to the end", DIRECTIVE_REPLACE, "/a[^x]*[yz]/q/", "", "a", "" },
    { "... lazily", DIRECTIVE_REPLACE, "/a[^x]*?[yz]/q/", "", "a", "" },
    { "... from each word", DIRECTIVE_REPLACE, "/\"ads\":\\[.*\\][yz]/q/s", "", "\"ads\":[]", "" },
    { "... from each, lazily", DIRECTIVE_REPLACE, "/\"ads\":\\[.*?\\][yz]/q/s", "", "\"ads\":[]",
      "" },
    { "... nested", DIRECTIVE_REPLACE, "/(?:a+b?)+[yz]/q/", "", "aab", "" },
    { "... with a group again", DIRECTIVE_REPLACE, "/(a+)\\1[yz]/q/", "", "a", "" },
    { "... with a word again", DIRECTIVE_REPLACE, "/(\\w+) \\1[yz]/q/", "", "word ", "" },
    { "... looking ahead", DIRECTIVE_REPLACE, "/a(?=[^x]*[yz])/q/g", "", "a", "" },
    { "... in no UTF-8, everywhere", DIRECTIVE_REPLACE, "/a/z/g", "\xff", "ab", "" },
    { "... everywhere", DIRECTIVE_REPLACE, "/a/z/g", "", "ab", "" },
    { "... of words", DIRECTIVE_REPLACE, "/[a-z]+\\.push\\(/z/g", "", "words and more.words ",
      "push(" },
    { "... ordinary", DIRECTIVE_REPLACE, "/\"adPlacements\":\\[.*?\\]/\"x\":[]/", "{",
      "\"video\":{\"id\":\"abc\",\"n\":1},", "\"adPlacements\":[1]}" },
    { "jsonprune, everything", DIRECTIVE_JSONPRUNE, "$..a", "[", "{\"a\":1234567890},", "1]" },
    { "... everything in everything", DIRECTIVE_JSONPRUNE, "$..*..*..*", "[",
      "[1234567890,[1234567]],", "1]" },
    { "... what has what has", DIRECTIVE_JSONPRUNE, "$..[?(has \"$..b\")]", "[",
      "[[123,4567890,12345]],", "1]" },
    { "... of a long text", DIRECTIVE_JSONPRUNE, "$..[?(key-substr a \"x\")]", "[",
      "{\"a\":\"\\u0041 some words and more\"},", "1]" },
    { "... long keys", DIRECTIVE_JSONPRUNE, "$..*..[?(has x)]", "{", "\"\\u0041 key of many\":{},",
      "\"x\":1}" },
    { "... many paths", DIRECTIVE_JSONPRUNE,
      "a b c d e f g h i j k l m n o p q r s t u v w x y z aa bb cc dd ee ff gg hh ii jj kk", "[",
      "1234567890,", "1]" },
    { "... ordinary", DIRECTIVE_JSONPRUNE, "$..adPlacements", "{\"a\":[",
      "{\"video\":{\"id\":\"a long text\",\"n\":1234}},", "1]}" },
    { "xmlprune, everything", DIRECTIVE_XMLPRUNE, "//a", "<x>", "<a b='12345'/>", "</x>" },
    { "... compared", DIRECTIVE_XMLPRUNE, "//a[. = //b]", "<x>", "<a>123</a><b>4567</b>", "</x>" },
    { "... among its siblings", DIRECTIVE_XMLPRUNE, "//a[preceding-sibling::a[@b = 'c']]", "<x>",
      "<a b='12345'/>", "</x>" },
    { "... backwards", DIRECTIVE_XMLPRUNE, "//a/preceding-sibling::a[1]", "<x>", "<a b='12345'/>",
      "</x>" },
    { "... counted", DIRECTIVE_XMLPRUNE, "//a[count(//a) = position()]", "<x>", "<a b='12345'/>",
      "</x>" },
    { "... sorted", DIRECTIVE_XMLPRUNE, "//b/following-sibling::a | //a/..", "<x>",
      "<y><b/><a b='12345'/></y>", "</x>" },
    { "... by their texts", DIRECTIVE_XMLPRUNE, "//a[concat(., 'x', @b, name()) = 'y']", "<x>",
      "<a b='12345'/>", "</x>" },
    { "... by a long text", DIRECTIVE_XMLPRUNE, "//a[contains(string(/), 'y')]", "<x>",
      "<a/>a long text of words", "</x>" },
    { "... translated", DIRECTIVE_XMLPRUNE, "//a[translate(., 'abcdefgh', 'x') = 'y']", "<x><a>",
      "hhhhhhhh", "</a></x>" },
    { "... ordinary", DIRECTIVE_XMLPRUNE, "/MPD/Period[@id='ad']", "<MPD>",
      "<Period id='v'><S t='1' d='2'/></Period>", "</MPD>" },
};

/* No memory that runs code. */
static void forbid_code(void)
{
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);

    if (!filter ||
        seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(mmap), 1,
                         SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, PROT_EXEC)) ||
        seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(mprotect), 1,
                         SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, PROT_EXEC)) ||
        seccomp_load(filter))
        abort();
    seccomp_release(filter);
}

static double now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static void fill(struct buffer *body, const char *head, const char *piece, const char *tail)
{
    body->size = 0;
    body->limit_bytes = EDIT_BODY_LIMIT - strlen(tail);
    if (!buffer_append(body, span_text(head)))
        abort();
    while (buffer_append(body, span_text(piece)))
        ;
    body->limit_bytes = EDIT_BODY_LIMIT;
    if (!buffer_append(body, span_text(tail)))
        abort();
}

int main(void)
{
    static const char *const results[] = {
        [PRUNE_NOTHING] = "nothing", [PRUNE_DONE] = "done", [PRUNE_TOO_MUCH] = "too much"
    };
    struct buffer body = { 0 };
    struct amender *amender = amender_new();
    double worst = 0;

    forbid_code();
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct directive edit = { .kind = rows[i].kind, .value = span_text(rows[i].value) };
        struct buffer out = { 0 };
        enum prune_result result;
        double took;

        fill(&body, rows[i].head, rows[i].piece, rows[i].tail);
        took = now_ms();
        result = edit_body(amender, &edit, buffer_span(&body), &out);
        took = now_ms() - took;
        printf("%-40s %6.1f ms, %s\n", rows[i].name, took, results[result]);
        fflush(stdout);
        if (took > worst)
            worst = took;
        buffer_release(&out);
    }
    printf("worst: %.1f ms%s\n", worst, worst > LIMIT_MS ? ", FAILED: too long" : "");
    buffer_release(&body);
    amender_free(&amender);
    return worst > LIMIT_MS;
}

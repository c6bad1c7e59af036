/* Pages edited by rules, by rows; each whole, byte by byte, and cut at random. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "../streams.h"
#include "base/url.h"
#include "daemon/rulebook.h"
#include "filter/match.h"
#include "output.h"
#include "proxy/page.h"
#include "proxy/page_late.h"

#define PAGE_URL "http://www.news.example/dir/page.html"
#define HIDDEN "[hidden^=\"-\"]" NONE
#define NONE "{display:none!important}\n"

static struct rulebook *book;
static struct database *database;
static struct matcher *matcher;
static struct page_rules *rules;

static void open_rules(const char *text)
{
    struct list_summary summary;
    struct compile_counts counts;
    struct error error;
    struct span image;

    book = rulebook_new(NULL, NULL);
    (void)rulebook_add_suffixes(book, NULL, &error);
    assert_int_equal(rulebook_add_text(book, span_text(text), "list", true, &summary, &error), 0);
    assert_int_equal(rulebook_compile(book, &image, &counts, &error), 0);
    assert_int_equal(database_open(&database, image, &error), 0);
    matcher = matcher_new(database);
    rules = page_rules_new(database);
}

static void close_rules(void)
{
    page_rules_unref(&rules);
    matcher_free(&matcher);
    database_unref(&database);
    rulebook_free(&book);
}

static void on_gave_up(void *owner, const char *why, rule_number rule)
{
    (void)owner;
    (void)rule;
    fail_msg("gave up: %s", why);
}

static bool is_stopped(void *owner, struct span url, enum request_type type, bool is_host_only,
                       rule_number *rule)
{
    struct request request = { .url = url, .source = SPAN(PAGE_URL), .type = type };
    struct verdict verdict;

    (void)owner;
    if (is_host_only)
        matcher_connect(matcher, url_find_host(url), &verdict);
    else
        matcher_ask(matcher, &request, &verdict);
    *rule = verdict.rule;
    return verdict.action == VERDICT_BLOCK;
}

static const struct page_events events = {
    .on_output = output_add,
    .on_gave_up = on_gave_up,
    .is_stopped = is_stopped,
};

static void run_through(const char *text, enum page_strip strip, struct span connect, unsigned cut)
{
    struct page_setup setup = {
        .url = SPAN(PAGE_URL), .strip = strip, .removes_blocked = true, .connect = connect
    };
    struct stream stream = stream_of(span_text(text), cut);
    struct page *page;
    struct span piece;

    setup.sheet = page_rules_sheet(rules, SPAN("www.news.example"), 0);
    output_begin();
    page = page_new(&setup, &events, NULL);
    page_sheet_unref(&setup.sheet);
    while (stream_next(&stream, &piece))
        page_feed(page, piece);
    page_finish(page);
    page_free(&page);
}

/* A fragment, with what tells the script in its head. */
static void run_with_script(const char *text)
{
    struct page_setup setup = { .url = SPAN(PAGE_URL), .has_script = true };
    struct page *page;

    setup.sheet = page_rules_sheet(rules, SPAN("www.news.example"), 0);
    output_begin();
    page = page_new(&setup, &events, NULL);
    page_sheet_unref(&setup.sheet);
    page_feed(page, span_text(text));
    page_finish(page);
    page_free(&page);
}

#define ADS "||ads.example^\n@@||ok.ads.example^\n||stub.example^$script,redirect=noopjs\n"

static const struct {
    enum page_strip strip;
    const char *rules, *page, *want;
} cases[] = {
    // what is fetched
    { PAGE_STRIP_HIDE, ADS, "a<img src=http://ads.example/x>b", "ab" },
    { PAGE_STRIP_HIDE, ADS, "<img src='//ADS.example/x'>", "" },
    { PAGE_STRIP_HIDE, ADS, "<img src=' http&#58;//ads.example/x\n'>", "" },
    { PAGE_STRIP_HIDE, ADS, "<img src=http://ok.ads.example/x>",
      "<img src=http://ok.ads.example/x>" },
    { PAGE_STRIP_HIDE, ADS, "<img src=x>", "<img src=x>" },
    { PAGE_STRIP_HIDE, ADS, "<base href=http://ads.example/><img src=x>",
      "<base href=http://ads.example/>" },
    { PAGE_STRIP_HIDE, ADS, "<base><base href=//x.example/><base href=//ads.example/><img src=x>",
      "<base><base href=//x.example/><base href=//ads.example/><img src=x>" },
    { PAGE_STRIP_HIDE, ADS, "<script src=http://ads.example/x>text</script>b", "b" },
    { PAGE_STRIP_HIDE, ADS, "<script src=http://stub.example/x></script>",
      "<script src=http://stub.example/x></script>" },
    { PAGE_STRIP_HIDE, ADS, "<iframe src=//ads.example/>text</iframe>b", "b" },
    { PAGE_STRIP_HIDE, ADS, "<object data=//ads.example/>text</object>", "<object >text</object>" },
    { PAGE_STRIP_HIDE, ADS, "<video poster=//ads.example/ src=a>text</video>",
      "<video  src=a>text</video>" },
    { PAGE_STRIP_HIDE, ADS, "<img srcset='a 1x, //ads.example/b 2x' src=c>",
      "<img srcset=\"a 1x\" src=c>" },
    { PAGE_STRIP_HIDE, ADS, "<img srcset='//ads.example/b 2x' src=c>", "<img  src=c>" },
    { PAGE_STRIP_HIDE, ADS, "<img srcset='//ads.example/b 2x, c?a&amp;b 1x' src=//ads.example/>",
      "<img srcset=\"c?a&amp;b 1x\" >" },
    { PAGE_STRIP_HIDE, ADS, "<img srcset='//ads.example/b 2x' src=//ads.example/>", "" },
    { PAGE_STRIP_HIDE, ADS, "<picture><source srcset=//ads.example/b><img src=c></picture>",
      "<picture><img src=c></picture>" },
    { PAGE_STRIP_HIDE, ADS, "<input type=image src=//ads.example/ value=x>",
      "<input type=image  value=x>" },
    { PAGE_STRIP_HIDE, ADS, "<link rel=preconnect href=//ads.example>", "" },
    { PAGE_STRIP_HIDE, ADS, "<a href=//ads.example/>x</a>", "<a href=//ads.example/>x</a>" },
    { PAGE_STRIP_HIDE, "/only.png$image", "<img src=/only.png><script src=/only.png></script>",
      "<script src=/only.png></script>" },
    { PAGE_STRIP_HIDE, ADS, "<svg><image href=//ads.example/x /></svg>",
      "<svg><image href=//ads.example/x /></svg>" },
    // cosmetic rules
    { PAGE_STRIP_HIDE, "##.ad", "<p class=ad>x</p>", "<p hidden=\"-\" class=ad>x</p>" },
    { PAGE_STRIP_HIDE, "news.example##.ad", "<p class=ad>x</p>", "<p hidden=\"-\" class=ad>x</p>" },
    { PAGE_STRIP_HOLLOW, "##.ad", "<p class=ad>x</p>", "<p hidden=\"-\" class=ad></p>" },
    { PAGE_STRIP_HOLLOW, "##.ad", "<p class=ad>x<script>y</script></p>",
      "<p hidden=\"-\" class=ad><script>y</script></p>" },
    { PAGE_STRIP_HOLLOW, ADS "##.ad", "<p class=ad><script src=//ads.example/>y</script></p>",
      "<p hidden=\"-\" class=ad></p>" },
    { PAGE_STRIP_HOLLOW, "##.ad", "<iframe class=ad src=x>y</iframe>",
      "<iframe hidden=\"-\" class=ad ></iframe>" },
    { PAGE_STRIP_REMOVE, "##.ad", "a<p class=ad>x</p>b", "ab" },
    { PAGE_STRIP_REMOVE, "##.ad\n#@#.ad", "<p class=ad>x</p>", "<p class=ad>x</p>" },
    { PAGE_STRIP_REMOVE, "##.ad\nnews.example#@#.ad", "<p class=ad>x</p>", "<p class=ad>x</p>" },
    { PAGE_STRIP_REMOVE, "##.ad\nother.example#@#.ad", "<p class=ad>x</p>", "" },
    { PAGE_STRIP_REMOVE, "news.example##.ad\nwww.news.example#@#.ad", "<p class=ad>x</p>",
      "<p class=ad>x</p>" },
    { PAGE_STRIP_REMOVE, "~news.example##.ad", "<p class=ad>x</p>", "<p class=ad>x</p>" },
    { PAGE_STRIP_REMOVE, "news.*##.ad", "<p class=ad>x</p>", "" },
    { PAGE_STRIP_HIDE, "news.example##.ad:remove()", "<p class=ad>x</p>", "" },
    { PAGE_STRIP_HIDE, "news.example#$#.ad { remove: true; }", "<p class=ad>x</p>", "" },
    { PAGE_STRIP_REMOVE, "news.example##.ad:style(color: red)", "<p class=ad>x</p>",
      "<p class=ad>x</p>" },
    { PAGE_STRIP_HIDE, "news.example##^script:has-text(bad)",
      "<script>bad</script><script>good</script>", "<script>good</script>" },
    { PAGE_STRIP_HIDE, "news.example##^script:has-text(/B.D/i)",
      "<script>bad</script><script>good</script>", "<script>good</script>" },
    { PAGE_STRIP_HIDE, "news.example##^script:has-text(bad)\nnews.example#@#^script:has-text(bad)",
      "<script>bad</script>", "<script>bad</script>" },
    { PAGE_STRIP_HIDE, "news.example$$script[tag-content=\"bad\"][min-length=\"4\"]",
      "<script>bad</script><script>badly</script>", "<script>bad</script>" },
    { PAGE_STRIP_HIDE, "news.example$$script[wildcard=\"*a*c*\"]",
      "<script>xaxcx</script><script>xcxax</script>", "<script>xcxax</script>" },
    { PAGE_STRIP_HIDE, "news.example##^meta[name=\"x\"]", "<meta name=x><meta name=y>",
      "<meta name=y>" },
    { PAGE_STRIP_REMOVE, "##html\n##body\n##.ad", "<html><body class=ad>x",
      "<html><body class=ad>x" },
    // charsets
    { PAGE_STRIP_REMOVE, "##.ad", "\xef\xbb\xbf<p class=ad>x</p>y", "\xef\xbb\xbf<body>y" },
    { PAGE_STRIP_HIDE, "##.ad", "\xef\xbb\xbf<!doctype html><p>a<table><td class=ad>",
      "\xef\xbb\xbf<!doctype html><p>a<table><td hidden=\"-\" class=ad>" },
    { PAGE_STRIP_REMOVE, "##.ad", "\xef\xbbx", "\xef\xbbx" },
    { PAGE_STRIP_REMOVE, "##.ad", "\xef", "\xef" },
    { PAGE_STRIP_REMOVE, "##.ad", "\xff\xfe<p class=ad>x</p>y", "\xff\xfe<p class=ad>x</p>y" },
    { PAGE_STRIP_REMOVE, "##.ad", "x", "x" },
    { PAGE_STRIP_REMOVE, "##.ad", "", "" },
};

static void pages_come_out_as_wanted(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        open_rules(cases[i].rules);
        for (unsigned cut = 0; cut < STREAM_CUTS; cut++) {
            struct buffer page = { .limit_bytes = 10000 }, want = { .limit_bytes = 10000 };
            bool has_mark = (unsigned char)cases[i].page[0] >= 0x80 || strlen(cases[i].page) < 2;

            (void)buffer_printf(&page, "%s%s", has_mark ? "" : "<!doctype html><body>",
                                cases[i].page);
            (void)buffer_printf(&want, "%s%s", has_mark ? "" : "<!doctype html><body>",
                                cases[i].want);
            run_through(page.at, cases[i].strip, SPAN_NONE, cut);
            output_is(buffer_span(&want), cases[i].page, cut);
            buffer_release(&page);
            buffer_release(&want);
        }
        close_rules();
    }
}

static void what_the_style_hides_is_not_touched(void **state)
{
    struct page_setup setup = { .url = SPAN(PAGE_URL), .head = SPAN("<style>x</style>") };
    struct page *page;

    (void)state;
    open_rules("news.example##.a\n##.b\n##.c\nnews.example##.c");
    setup.sheet = page_rules_sheet(rules, SPAN("www.news.example"), 0);
    output_begin();
    page = page_new(&setup, &events, NULL);
    page_sheet_unref(&setup.sheet);
    page_feed(page, SPAN("<p class=a>x<p class=b>y<p class=c>z"));
    page_finish(page);
    page_free(&page);
    assert_true(
        span_equal(buffer_span(&output),
                   SPAN("<style>x</style><p class=a>x<p hidden=\"-\" class=b>y<p class=c>z")));
    close_rules();
}

/* By which selector, where the script is there to read it: up to 1,000 bytes. */
static void what_is_hidden_says_by_what(void **state)
{
    static const struct {
        const char *rule, *page, *want;
    } rows[] = {
        { "##.ad", "<p class=ad>", "<p hidden=\"-.ad\" class=ad>" },
        { "###a > b, i.x", "<i class=x>", "<i hidden=\"-#a &gt; b, i.x\" class=x>" },
        { "##[a=\"b&c\"]", "<p a='b&c'>", "<p hidden=\"-[a=&quot;b&amp;c&quot;]\" a='b&c'>" },
        { "##.caf\xc3\xa9", "<p class=caf\xc3\xa9>",
          "<p hidden=\"-.caf\\e9 \" class=caf\xc3\xa9>" },
    };
    char rule[1010] = "##", page[1040];

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        open_rules(rows[i].rule);
        run_with_script(rows[i].page);
        output_is(span_text(rows[i].want), rows[i].rule, 0);
        close_rules();
    }
    for (size_t size = 1000; size <= 1001; size++) {
        memset(rule + 2, 'p', size);
        rule[2] = '.';
        rule[2 + size] = 0;
        snprintf(page, sizeof page, "<p class=%s>", rule + 3);
        open_rules(rule);
        run_with_script(page);
        assert_int_equal(output.size,
                         strlen(page) + (size == 1000 ? 1000 : 0) + strlen(" hidden=\"-\""));
        close_rules();
    }
}

static void the_rule_that_cost_most_is_known(void **state)
{
    static const struct {
        const char *rules, *piece, *want; // the rule's text; NULL: none
    } rows[] = {
        { "##.x", "<p>", NULL },
        { "##.ad\n##p[title*=\"qq\"]\n##p.x", "<p class=ad title='a long text of words'>",
          "##p[title*=\"qq\"]" },
        { "##.ad\nnews.example##p:not(.a):not(.b):not(.c)", "<p class=ad>",
          "news.example##p:not(.a):not(.b):not(.c)" },
        { "##.ad\n##p[title*=\"qq\"] > b", "<p class=ad title='a long text of words'>",
          "##p[title*=\"qq\"] > b" },
        { "##.ad\nnews.example##^script:has-text(qq)",
          "<p class=ad><script>much much much much much more text than marks</script>",
          "news.example##^script:has-text(qq)" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct page_setup setup = { .url = SPAN(PAGE_URL) };
        struct rule_view view = { .line = 0 };
        struct page *page;
        rule_number rule;

        open_rules(rows[i].rules);
        setup.sheet = page_rules_sheet(rules, SPAN("www.news.example"), 0);
        output_begin();
        page = page_new(&setup, &events, NULL);
        page_sheet_unref(&setup.sheet);
        for (int k = 0; k < 200; k++)
            page_feed(page, span_text(rows[i].piece));
        rule = page_stop(page);
        if (rule ? !database_rule(database, rule, &view) || !rows[i].want ||
                       !span_equal(view.text, span_text(rows[i].want))
                 : rows[i].want != NULL)
            fail_msg("%s: %.*s", rows[i].rules, SPAN_PRINT(view.text));
        page_free(&page);
        close_rules();
    }
}

/* From each of its places an expression may look at all of a text. */
static void a_long_text_is_not_looked_at_for_ever(void **state)
{
    struct buffer page = { .limit_bytes = 1 << 20 };

    (void)state;
    open_rules("news.example##^script:has-text(/a[^x]*[yz]/)");
    assert_true(buffer_append(&page, SPAN("<script>")));
    while (page.size < 400000)
        assert_true(buffer_append(&page, SPAN("aaaaaaaaaaaaaaaa")));
    assert_true(buffer_append(&page, SPAN("</script>\0")));
    run_through(page.at, PAGE_STRIP_HIDE, SPAN_NONE, 0);
    assert_int_equal(output.size, page.size - 1);
    buffer_release(&page);
    close_rules();
}

static void a_policy_in_the_page_lets_the_script_ask(void **state)
{
    (void)state;
    open_rules("##.ad");
    run_through("<meta http-equiv=content-security-policy content=\"connect-src 'none'\">",
                PAGE_STRIP_HIDE, SPAN("http://a/b/"), 0);
    assert_true(span_equal(
        buffer_span(&output),
        SPAN("<meta http-equiv=content-security-policy content=\"connect-src http://a/b/\">")));
    run_through("<meta http-equiv=refresh content=\"connect-src 'none'\">", PAGE_STRIP_HIDE,
                SPAN("http://a/b/"), 0);
    assert_true(span_equal(buffer_span(&output),
                           SPAN("<meta http-equiv=refresh content=\"connect-src 'none'\">")));
    close_rules();
}

/* ---- sheets ---- */

static const struct {
    const char *rules, *host;
    unsigned flags;
    enum page_strip strip;
    const char *style; // NULL: no sheet; empty: nothing is put in
    bool has_late;
} sheets[] = {
    { "", "a.example", 0, PAGE_STRIP_HIDE, NULL, false },
    { "a.example##.x", "a.example", 0, PAGE_STRIP_HIDE, ".x" NONE, false },
    { "a.example##.x", "a.example", 0, PAGE_STRIP_HOLLOW, HIDDEN ".x" NONE, false },
    { "a.example##.x", "a.example", 0, PAGE_STRIP_REMOVE, ".x" NONE, false },
    { "a.example##.x", "b.example", 0, PAGE_STRIP_HIDE, NULL, false },
    { "a.example##.x", "a.example", PAGE_SPECIFICHIDE, PAGE_STRIP_HIDE, NULL, false },
    { "a.example##.x", "a.example", PAGE_ELEMHIDE, PAGE_STRIP_HIDE, NULL, false },
    { "a.example##.x", "a.example", PAGE_GENERICHIDE, PAGE_STRIP_HIDE, ".x" NONE, false },
    { "##.x", "a.example", 0, PAGE_STRIP_HIDE, HIDDEN, true },
    { "##.x", "a.example", 0, PAGE_STRIP_HOLLOW, HIDDEN, true },
    { "##.x", "a.example", 0, PAGE_STRIP_REMOVE, "", true },
    { "##.x", "a.example", PAGE_GENERICHIDE, PAGE_STRIP_HIDE, NULL, false },
    { "##.x:has(b)", "a.example", 0, PAGE_STRIP_HIDE, ".x:has(b)" NONE, false },
    { "##.x, .y:has(b)", "a.example", 0, PAGE_STRIP_HIDE, HIDDEN ".x, .y:has(b)" NONE, false },
    { "##.x:has(b)\na.example#@#.x:has(b)", "a.example", 0, PAGE_STRIP_HIDE, "", false },
    { "a.example##.x:has-text(b)", "a.example", 0, PAGE_STRIP_HIDE, NULL, false },
    { "a.example##.x:style(color:red)", "a.example", 0, PAGE_STRIP_HIDE, ".x{color:red}\n", false },
    { "a.example##.caf\xc3\xa9", "a.example", 0, PAGE_STRIP_HIDE, ".caf\\e9 " NONE, false },
    { "a.example##[x=\"</style>\"]", "a.example", 0, PAGE_STRIP_HIDE, "[x=\"\\3c /style>\"]" NONE,
      false },
    { "a.example##^script", "a.example", PAGE_ELEMHIDE, PAGE_STRIP_HIDE, "", false },
    { "##^script", "a.example", 0, PAGE_STRIP_HIDE, "", false },
    { "##^script", "a.example", 0, PAGE_STRIP_HOLLOW, "", false },
    { "##.x:remove()", "a.example", 0, PAGE_STRIP_HIDE, "", false },
};

static void sheets_say_what_holds(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof sheets / sizeof *sheets; i++) {
        struct buffer head = { .limit_bytes = 1000 };
        struct page_sheet *sheet, *again;
        struct span css = SPAN_NONE;

        open_rules(sheets[i].rules);
        sheet = page_rules_sheet(rules, span_text(sheets[i].host), sheets[i].flags);
        again = page_rules_sheet(rules, span_text(sheets[i].host), sheets[i].flags);
        assert_ptr_equal(sheet, again);
        assert_true(!sheet || page_write_style(&head, sheet, sheets[i].strip, &css));
        if ((sheet != NULL) != (sheets[i].style != NULL) ||
            (sheet && (sheet->has_late != sheets[i].has_late ||
                       !span_equal(css, span_text(sheets[i].style)))))
            fail_msg("%s, %u: %.*s", sheets[i].rules, sheets[i].flags, SPAN_PRINT(css));
        assert_int_equal(head.size, css.at ? sizeof "<style></style>" - 1 + css.size : 0);
        buffer_release(&head);
        close_rules(); // a sheet outlives its rules' owner
        page_sheet_unref(&sheet);
        page_sheet_unref(&again);
    }
}

static void a_style_that_does_not_fit_is_none(void **state)
{
    struct buffer head = { .limit_bytes = sizeof "<style>.x" NONE "</style>" - 1 };
    struct page_sheet *sheet;
    struct span css;

    (void)state;
    open_rules("a.example##.x");
    sheet = page_rules_sheet(rules, SPAN("a.example"), 0);
    assert_true(page_write_style(&head, sheet, PAGE_STRIP_HIDE, &css));
    buffer_release(&head);
    head.limit_bytes--;
    assert_false(page_write_style(&head, sheet, PAGE_STRIP_HIDE, &css));
    buffer_release(&head);
    page_sheet_unref(&sheet);
    close_rules();
}

static void sheets_of_many_hosts_come_and_go(void **state)
{
    char host[32];

    (void)state;
    open_rules("example##.x\n##.y");
    for (int i = 0; i < 3 * PAGE_SHEETS; i++) {
        struct page_sheet *sheet;
        snprintf(host, sizeof host, "h%d.example", i);
        sheet = page_rules_sheet(rules, span_text(host), 0);
        assert_non_null(sheet);
        assert_int_equal(sheet->rule_count, 1);
        page_sheet_unref(&sheet);
    }
    close_rules();
}

/* ---- elements that come later ---- */

static struct span base36(uint32_t number, char digits[8])
{
    char *end = digits + 8, *at = end;

    for (; number; number /= 36)
        *--at = "0123456789abcdefghijklmnopqrstuvwxyz"[number % 36];
    return span_of(at, (size_t)(end - at));
}

static void later_elements_have_rules(void **state)
{
    struct buffer got = { .limit_bytes = 1000 }, path = { .limit_bytes = 1000 };
    static const struct secret me = { "me" }, you = { "you" };
    char room[PAGE_LATE_PATH_BYTES], other[PAGE_LATE_PATH_BYTES];
    struct span base;
    static const struct {
        const char *query;
        const char *names[3]; // instead of the query
        const char *want;
    } asked[] = {
        { "?g", { NULL }, "[href^=\"x\"]{display:none!important}\n" },
        { NULL, { ".ad" }, ".ad{display:none!important}\ndiv .ad{display:none!important}\n" },
        { NULL, { "#top", ".nothing" }, "#top > p{display:none!important}\n" },
        { NULL, { ".off" }, "" },
        { "?0", { NULL }, "" },
        { "?.", { NULL }, "" },
        { "?zzzzzzzz", { NULL }, "" },
        { "?1.2.3.", { NULL }, "" },
        { "?A", { NULL }, "" },
        { "", { NULL }, "" },
    };

    (void)state;
    open_rules(
        "##.ad\n##div .ad\n###top > p\n##[href^=\"x\"]\n##.off\na.example#@#.off\n##.h:has(b)");
    base = page_late_path(room, &me, SPAN("a.example"), rules);
    assert_true(page_late_may_be(base));
    for (size_t i = 0; i < sizeof asked / sizeof *asked; i++) {
        path.size = got.size = 0;
        (void)buffer_printf(&path, "%.*s%s", SPAN_PRINT(base),
                            asked[i].query ? asked[i].query : "?");
        for (int k = 0; k < 3 && asked[i].names[k]; k++) {
            struct span number;
            char digits[8];

            number = base36(page_rules_late_name(span_text(asked[i].names[k])), digits);
            (void)buffer_printf(&path, "%s%.*s", k ? "." : "", SPAN_PRINT(number));
        }
        assert_true(page_late_answer(rules, &me, SPAN("A.example"), buffer_span(&path), &got));
        if (!span_equal(buffer_span(&got), span_text(asked[i].want)))
            fail_msg("%.*s: %.*s", SPAN_PRINT(buffer_span(&path)), SPAN_PRINT(buffer_span(&got)));
    }
    assert_int_equal(base.size, sizeof "/.well-known/dejunk//" - 1 + 32 + 17);
    (void)page_late_path(other, &me, SPAN("b.example"), rules);
    assert_memory_not_equal(room + 20, other + 20, 32); // no part is the same at two sites,
    assert_memory_not_equal(room + 53, other + 53, 16);
    (void)page_late_path(other, &you, SPAN("a.example"), rules);
    assert_memory_not_equal(room + 20, other + 20, 32); // or by two installations
    assert_memory_not_equal(room + 53, other + 53, 16);
    assert_false(page_late_answer(rules, &me, SPAN("b.example"), buffer_span(&path), &got));
    assert_false(page_late_answer(rules, &you, SPAN("a.example"), buffer_span(&path), &got));
    assert_false(page_late_may_be(SPAN("/.well-known/other")));
    buffer_release(&got);
    buffer_release(&path);
    close_rules();
}

/* Of the names that are asked for at once, the first PAGE_LATE_NAMES have an answer. */
static void later_elements_have_a_limit(void **state)
{
    struct page_sheet *sheet;

    (void)state;
    open_rules("##.ad");
    sheet = page_rules_sheet(rules, SPAN("a.example"), 0);
    assert_non_null(sheet);
    for (unsigned before = PAGE_LATE_NAMES - 1; before <= PAGE_LATE_NAMES; before++) {
        struct buffer names = { .limit_bytes = 10000 }, got = { .limit_bytes = 1000 };
        char digits[8];

        for (unsigned i = 0; i < before; i++)
            (void)buffer_append(&names, SPAN("1."));
        (void)buffer_append(&names, base36(page_rules_late_name(SPAN(".ad")), digits));
        assert_true(page_rules_late(rules, sheet, buffer_span(&names), false, &got));
        assert_int_equal(got.size > 0, before < PAGE_LATE_NAMES);
        buffer_release(&got);
        buffer_release(&names);
    }
    page_sheet_unref(&sheet);
    close_rules();
}

static void the_script_is_small_and_ascii(void **state)
{
    struct buffer script = { .limit_bytes = 4096 };

    (void)state;
    assert_true(page_late_script(&script, SPAN("/.well-known/dejunk/x/y/")));
    for (size_t i = 0; i < script.size; i++)
        assert_true(script.at[i] >= ' ' && script.at[i] < 0x7f);
    assert_int_equal(span_find(buffer_span(&script), SPAN("</")), script.size);
    assert_int_equal(span_find(buffer_span(&script), SPAN("<!--")), script.size);
    buffer_release(&script);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pages_come_out_as_wanted),
        cmocka_unit_test(what_the_style_hides_is_not_touched),
        cmocka_unit_test(what_is_hidden_says_by_what),
        cmocka_unit_test(the_rule_that_cost_most_is_known),
        cmocka_unit_test(a_long_text_is_not_looked_at_for_ever),
        cmocka_unit_test(a_policy_in_the_page_lets_the_script_ask),
        cmocka_unit_test(sheets_say_what_holds),
        cmocka_unit_test(a_style_that_does_not_fit_is_none),
        cmocka_unit_test(sheets_of_many_hosts_come_and_go),
        cmocka_unit_test(later_elements_have_rules),
        cmocka_unit_test(later_elements_have_a_limit),
        cmocka_unit_test(the_script_is_small_and_ascii),
    };
    return cmocka_run_group_tests(tests, NULL, output_release);
}

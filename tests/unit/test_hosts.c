/* Host names cut into labels, looked up in a database, compared by registrable domain, found in
 * sets of domains. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "filter/hosts.h"
#include "rules.h"

struct place { // a host, with room around it
    struct url_host_text room;
    struct host host;
};

static void split(struct place *place, const struct image_view *view, const char *text)
{
    struct url_name name;

    url_parse_host(&name, &place->room, span_text(text));
    assert_true(name.size > 0);
    host_split(&place->host, view->header->seed, name.at, name.size, name.dots);
}

static void cuts_into_labels(void **state)
{
    static const struct {
        const char *host, *names; // each name from a label on, the shortest first
    } rows[] = {
        { "example", "example|" },
        { "ads.example", "example|ads.example|" },
        { "a.b.c.example", "example|c.example|b.c.example|a.b.c.example|" },
        { "[::1]", "[::1]|" },
        { "127.0.0.1", "1|0.1|0.0.1|127.0.0.1|" },
        { "averyveryveryverylonglabelindeed.averyveryveryverylonglabelindeed.x",
          "x|averyveryveryverylonglabelindeed.x|averyveryveryverylonglabelindeed."
          "averyveryveryverylonglabelindeed.x|" },
    };
    struct rules rules;
    struct place place = { .host = { 0 } };

    (void)state;
    rules_open(&rules, "a");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct buffer out = { .limit_bytes = 1000 };

        split(&place, database_image(rules.database), rows[i].host);
        for (uint32_t k = 0; k < place.host.count; k++)
            buffer_printf(&out, "%.*s|", SPAN_PRINT(host_name(&place.host, k)));
        if (!span_equal(buffer_span(&out), span_text(rows[i].names)))
            fail_msg("%s: %.*s", rows[i].host, SPAN_PRINT(buffer_span(&out)));
        buffer_release(&out);
    }
    rules_close(&rules);
}

/* Labels end hosts in the same way whatever stands in front: their hashes are the same. */
static void hashes_by_label(void **state)
{
    struct rules rules;
    static struct place a, b;

    (void)state;
    rules_open(&rules, "a");
    split(&a, database_image(rules.database), "x.y.ads.example");
    split(&b, database_image(rules.database), "averyveryverylonglabel.ads.example");
    assert_true(a.host.hashes[0] == b.host.hashes[0] && a.host.hashes[1] == b.host.hashes[1]);
    assert_true(a.host.hashes[2] != b.host.hashes[2]);
    split(&b, database_image(rules.database), "adsx.example");
    assert_true(a.host.hashes[1] != b.host.hashes[1]);
    rules_close(&rules);
}

/* 128 labels of one letter are what fits into a name. */
static void most_labels(void **state)
{
    char text[URL_HOST_LIMIT + 1];
    struct rules rules;
    static struct place place;

    (void)state;
    rules_open(&rules, "a");
    for (size_t i = 0; i < URL_HOST_LIMIT; i++)
        text[i] = i % 2 ? '.' : 'a';
    text[URL_HOST_LIMIT] = 0;
    split(&place, database_image(rules.database), text);
    assert_int_equal(place.host.count, URL_LABELS);
    assert_int_equal(place.host.starts[0], URL_HOST_LIMIT - 1);
    assert_int_equal(place.host.starts[URL_LABELS - 1], 0);
    rules_close(&rules);
}

static void parties(void **state)
{
    static const struct {
        const char *a, *b;
        bool is_same_party;
    } rows[] = {
        { "example.com", "example.com", true },
        { "a.example.com", "b.example.com", true },
        { "a.example.com", "example.com", true },
        { "a.com", "b.com", false },
        { "a.co.uk", "b.co.uk", false },
        { "x.a.co.uk", "y.a.co.uk", true },
        { "co.uk", "a.co.uk", false },
        { "uk", "co.uk", false },
        { "a.github.io", "b.github.io", false }, // the private section counts
        { "x.a.github.io", "a.github.io", true },
        { "github.io", "a.github.io", false },
        { "x.github.com", "github.com", true },
        { "a.b.ck", "c.b.ck", false }, // *.ck
        { "x.a.b.ck", "a.b.ck", true },
        { "www.ck", "x.www.ck", true }, // !www.ck
        { "www.ck", "b.ck", false },
        { "b.ck", "b.ck", true },
        { "127.0.0.1", "127.0.0.1", true },
        { "127.0.0.1", "126.0.0.1", false },
        { "1.0.0.1", "2.0.0.1", false },
        { "[::1]", "[::1]", true },
        { "[::1]", "[::2]", false },
        { "localhost", "localhost", true },
        { "localhost", "a.localhost", false },
        { "a.unknown", "b.unknown", false },
        { "x.a.unknown", "y.a.unknown", true },
    };
    struct rules rules;
    static struct place a, b;

    (void)state;
    rules_open(&rules, "a");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        for (int turned = 0; turned < 2; turned++) {
            split(&a, database_image(rules.database), turned ? rows[i].b : rows[i].a);
            split(&b, database_image(rules.database), turned ? rows[i].a : rows[i].b);
            if (host_same_party(database_image(rules.database), &a.host, &b.host) !=
                rows[i].is_same_party)
                fail_msg("%s, %s, turned %d", rows[i].a, rows[i].b, turned);
        }
    rules_close(&rules);
}

/* A suffix below another's domain: "x.cloud.example" is a suffix, "cloud.example" is not. */
static void parties_across_suffixes(void **state)
{
    struct compiler *compiler = compiler_new();
    struct compile_counts counts;
    struct database *database;
    struct span image;
    static struct place a, b;

    (void)state;
    compiler_add_suffixes(compiler, SPAN("example\nx.cloud.example\n"));
    assert_true(compiler_begin_list(compiler, SPAN("1")));
    assert_int_equal(compiler_finish(compiler, &image, &counts, NULL), ERROR_NONE);
    assert_int_equal(database_open(&database, image, NULL), ERROR_NONE);
    split(&a, database_image(database), "shop.x.cloud.example");
    split(&b, database_image(database), "www.cloud.example");
    assert_false(host_same_party(database_image(database), &a.host, &b.host));
    assert_false(host_same_party(database_image(database), &b.host, &a.host));
    database_unref(&database);
    compiler_free(&compiler);
}

/* Their table has room for each, also for a last line without its end. */
static void every_suffix_is_found(void **state)
{
    (void)state;
    for (unsigned count = 47; count <= 520; count += count < 70 ? 1 : 45) {
        struct compiler *compiler = compiler_new();
        struct buffer text = { .limit_bytes = 1 << 20 };
        struct compile_counts counts;
        struct database *database;
        struct span image;

        for (unsigned i = 0; i < count; i++)
            (void)buffer_printf(&text, "%sx%u.example", i ? "\n" : "", i);
        compiler_add_suffixes(compiler, buffer_span(&text));
        assert_true(compiler_begin_list(compiler, SPAN("1")));
        assert_int_equal(compiler_finish(compiler, &image, &counts, NULL), ERROR_NONE);
        assert_int_equal(database_open(&database, image, NULL), ERROR_NONE);
        for (unsigned i = 0; i <= count; i++) {
            static struct place place;
            char name[40];

            snprintf(name, sizeof name, "shop.x%u.example", i);
            split(&place, database_image(database), name);
            if (host_suffix_labels(database_image(database), &place.host) != (i < count ? 2 : 1))
                fail_msg("%s of %u", name, count);
        }
        database_unref(&database);
        compiler_free(&compiler);
        buffer_release(&text);
    }
}

static const struct {
    const char *domains, *source;
    bool blocks;
} sets[] = {
    { "a.example", "a.example", true },
    { "a.example", "x.a.example", true },
    { "a.example", "example", false },
    { "a.example", "xa.example", false },
    { "~a.example", "a.example", false },
    { "~a.example", "b.example", true },
    { "a.example|~x.a.example", "a.example", true },
    { "a.example|~x.a.example", "x.a.example", false },
    { "a.example|~x.a.example", "y.x.a.example", false },
    { "a.example|~x.a.example|y.x.a.example", "y.x.a.example", true },
    { "~x.a.example|a.example", "y.a.example", true },
    { "google.*", "google.com", true },
    { "google.*", "www.google.co.uk", true },
    { "google.*", "google.github.io", true },
    { "google.*", "google.evil.com", false },
    { "google.*", "notgoogle.com", false },
    { "google.*", "google", false },
    { "google.*|~google.com", "google.com", false },
    { "google.*|~google.com", "google.co.uk", true },
    { "www.google.*", "google.com", false },
    { "www.google.*", "x.www.google.com", true },
    { "com", "a.com", true },
    { "com", "a.example", false },
    { "~com", "a.com", false },
    { "127.0.0.1", "127.0.0.1", true },
    { "/^a[0-9]\\./", "a1.example", true },
    { "/^a[0-9]\\./", "ab.example", false },
    { "~/^a[0-9]\\./", "a1.example", false },
    { "~/^a[0-9]\\./", "ab.example", true },
    { "b\xc3\xbc"
      "cher.example",
      "xn--bcher-kva.example", true },
    { "*.a.example", "x.a.example", true },
};

static void finds_in_sets(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof sets / sizeof *sets; i++) {
        char text[200];
        struct request request = { .url = SPAN("http://x.example/ads"),
                                   .source = span_text(sets[i].source),
                                   .type = TYPE_SCRIPT };
        struct verdict verdict;
        struct rules rules;

        snprintf(text, sizeof text, "/ads$domain=%s", sets[i].domains);
        rules_open(&rules, text);
        matcher_ask(rules.matcher, &request, &verdict);
        if ((verdict.action == VERDICT_BLOCK) != sets[i].blocks)
            fail_msg("%s of %s: %d", sets[i].domains, sets[i].source, verdict.action);
        rules_close(&rules);
    }
}

/* Every name that was put in is found, and none else: many, so that buckets run over. */
static void many_names(void **state)
{
    enum { NAMES = 5000 };
    struct buffer text = { .limit_bytes = 1 << 20 };
    struct rules rules;
    char url[100];

    (void)state;
    for (int i = 0; i < NAMES; i++)
        buffer_printf(&text, "||n%d.example^\n", i * 2);
    buffer_append(&text, SPAN("\0"));
    rules_open(&rules, text.at);
    assert_int_equal(rules.counts.plain_hosts, NAMES);
    for (int i = 0; i < 2 * NAMES; i++) {
        struct request request = { .type = TYPE_IMAGE };
        struct verdict verdict;

        request.url = span_of(url, (size_t)snprintf(url, sizeof url, "http://n%d.example/", i));
        matcher_ask(rules.matcher, &request, &verdict);
        if ((verdict.action == VERDICT_BLOCK) != (i % 2 == 0))
            fail_msg("%s: %d", url, verdict.action);
    }
    rules_close(&rules);
    buffer_release(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cuts_into_labels),
        cmocka_unit_test(hashes_by_label),
        cmocka_unit_test(most_labels),
        cmocka_unit_test(parties),
        cmocka_unit_test(parties_across_suffixes),
        cmocka_unit_test(every_suffix_is_found),
        cmocka_unit_test(finds_in_sets),
        cmocka_unit_test(many_names),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

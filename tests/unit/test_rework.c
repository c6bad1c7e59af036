/* Whether a response is changed: by its request, head and first bytes, row by row; the fields that
 * then stay true; and what becomes of texts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "filter/compile.h"
#include "filter/list.h"
#include "proxy/rework.h"
#include "proxy/tally.h"
#include "proxy_config.h"

#define HTML "<html><p>one<b class=ad>two</b>"
#define JSON "{\"html\": \"<b class=ad>\"}"
#define DIGESTED "ETag: \"e\"\nDigest: x\nRepr-Digest: x\nAccept-Ranges: bytes\n"

static const char rules[] = "a.test##^.ad\n||a.test^$script,replace=/one/three/\n"
                            "@@||b.test^$document\n";

static struct house {
    struct loop *loop;
    struct proxy proxy;
    struct metrics metrics;
    struct passes *passes;
    struct compiler *compiler;
    struct database *database;
    struct arena arena;
} house;

static void add_rule(void *owner, const struct rule *rule, uint32_t line)
{
    compiler_add(owner, rule, line);
}

static int open_house(void **state)
{
    struct list_reader reader = { .is_trusted = true, .on_rule = add_rule };
    struct compile_counts counts;
    struct list_summary summary;
    struct error error;
    struct span image;

    (void)state;
    assert_int_equal(loop_new(&house.loop, &error), ERROR_NONE);
    house.compiler = reader.owner = compiler_new();
    compiler_begin_list(house.compiler, SPAN("test"));
    list_read(&summary, &reader, span_text(rules));
    assert_int_equal(compiler_finish(house.compiler, &image, &counts, &error), ERROR_NONE);
    assert_int_equal(database_open(&house.database, image, &error), ERROR_NONE);
    house.passes = passes_new();
    house.proxy.metrics = &house.metrics;
    house.proxy.coding_memory.limit_bytes = 64 << 20;
    house.proxy.judge = judge_new(house.loop, house.passes);
    judge_use(house.proxy.judge, house.database);
    arena_init(&house.arena, 1 << 22);
    return 0;
}

static int close_house(void **state)
{
    (void)state;
    judge_free(&house.proxy.judge);
    passes_free(&house.passes);
    database_unref(&house.database);
    compiler_free(&house.compiler);
    arena_done(&house.arena);
    loop_free(&house.loop);
    return 0;
}

/* "Name: value" lines. */
static void put_fields(struct message *message, const char *text)
{
    while (*text) {
        struct span line = span_of(text, strcspn(text, "\n"));
        size_t colon = span_find_byte(line, ':');

        assert_true(message_add(message, span_slice(line, 0, colon),
                                span_trim(span_from(line, colon + 1))));
        text += line.size + (text[line.size] == '\n');
    }
}

static struct span field_of(const struct message *message, const char *name)
{
    const struct field *field = message_find_name(message, span_text(name));

    return field ? field->value : SPAN_NONE;
}

enum fate { GOES_BY, PASSES, IS_EDITED };

static const struct row {
    const char *name, *config, *client, *url, *request, *response, *body;
    unsigned status;
    enum fate fate;
    const char *encoding; // of what the browser gets, where it is edited; NULL: none
} table[] = {
#define VISIT "Accept: text/html\nAccept-Encoding: gzip, zstd"
#define AT "127.0.0.1", "http://a.test/"
#define AFAR "192.0.2.1", "http://a.test/"
    { "a page", "", AT, VISIT, "Content-Type: text/html", HTML, 200, IS_EDITED, NULL },
    { "with a charset", "", AT, VISIT, "Content-Type: TEXT/html ; charset=x", HTML, 200, IS_EDITED,
      NULL },
    { "an error page", "", AT, VISIT, "Content-Type: text/html", HTML, 404, IS_EDITED, NULL },
    { "from afar", "", AFAR, VISIT, "Content-Type: text/html", HTML, 200, IS_EDITED, "gzip" },
    { "from afar, zstd", "recode = zstd", AFAR, VISIT, "Content-Type: text/html", HTML, 200,
      IS_EDITED, "zstd" },
    { "from afar, zstd not taken", "recode = zstd", AFAR,
      "Accept: text/html\nAccept-Encoding: gzip, zstd;q=0", "Content-Type: text/html", HTML, 200,
      IS_EDITED, "gzip" },
    { "from afar, none", "recode = none", AFAR, VISIT, "Content-Type: text/html", HTML, 200,
      IS_EDITED, NULL },
    { "from afar, nothing taken", "", AFAR, "Accept: text/html", "Content-Type: text/html", HTML,
      200, IS_EDITED, NULL },
    { "short, from afar", "", AFAR, VISIT, "Content-Type: text/html\nContent-Length: 1023", HTML,
      200, IS_EDITED, NULL },
    { "not so short, from afar", "", AFAR, VISIT, "Content-Type: text/html\nContent-Length: 1024",
      HTML, 200, IS_EDITED, "gzip" },
    { "only what we cannot make is taken", "", AT,
      "Accept: text/html\nAccept-Encoding: br, identity;q=0", "Content-Type: text/html", HTML, 200,
      GOES_BY, NULL },
    { "an exempt host", "", "127.0.0.1", "http://b.test/", VISIT, "Content-Type: text/html", HTML,
      200, GOES_BY, NULL },
    { "not filtered", "filter = no", AT, VISIT, "Content-Type: text/html", HTML, 200, GOES_BY,
      NULL },
    { "not to be stripped here", "site \"a.test\" { filter = no }", AT, VISIT,
      "Content-Type: text/html", HTML, 200, GOES_BY, NULL },
    { "asked for by a script", "", AT, VISIT "\nX-Requested-With: x", "Content-Type: text/html",
      HTML, 200, GOES_BY, NULL },
    { "perhaps by a script", "", AT, "Referer: http://a.test/", "Content-Type: text/html", HTML,
      200, GOES_BY, NULL },
    { "by what takes anything", "", AT, "Accept: */*", "Content-Type: text/html", HTML, 200,
      GOES_BY, NULL },
    { "by a program", "", AT, "User-Agent: x", "Content-Type: text/html", HTML, 200, IS_EDITED,
      NULL },
    { "by a program, and no page", "", AT, "User-Agent: x", "Content-Type: text/html", "one", 200,
      PASSES, NULL },
    { "not to be transformed", "", AT, VISIT,
      "Content-Type: text/html\nCache-Control: no-transform", HTML, 200, GOES_BY, NULL },
    { "asked not to be transformed", "", AT, VISIT "\nCache-Control: no-transform",
      "Content-Type: text/html", HTML, 200, GOES_BY, NULL },
    { "a part", "", AT, VISIT, "Content-Type: text/html\nContent-Range: bytes 0-1/2", HTML, 206,
      GOES_BY, NULL },
    { "elsewhere", "", AT, VISIT, "Content-Type: text/html\nLocation: /", HTML, 302, GOES_BY,
      NULL },
    { "a download", "", AT, VISIT, "Content-Type: text/html\nContent-Disposition: attachment", HTML,
      200, GOES_BY, NULL },
    { "XHTML", "", AT, VISIT, "Content-Type: application/xhtml+xml", HTML, 200, GOES_BY, NULL },
    { "no type", "", AT, VISIT, "Server: x", HTML, 200, GOES_BY, NULL },
    { "an unknown coding", "", AT, VISIT, "Content-Type: text/html\nContent-Encoding: x", HTML, 200,
      GOES_BY, NULL },
    { "three codings", "", AT, VISIT,
      "Content-Type: text/html\nContent-Encoding: gzip, br\nContent-Encoding: gzip", HTML, 200,
      GOES_BY, NULL },
    { "gzip that is none", "", AT, VISIT, "Content-Type: text/html\nContent-Encoding: gzip", HTML,
      200, PASSES, NULL },
    { "JSON", "", AT, VISIT, "Content-Type: text/html", JSON, 200, PASSES, NULL },
    { "JSON behind blanks", "", AT, VISIT, "Content-Type: text/html", " \r\n\t" JSON, 200, PASSES,
      NULL },
    { "a mark, then a page", "", AT, VISIT, "Content-Type: text/html", "\xef\xbb\xbf" HTML, 200,
      IS_EDITED, NULL },
    { "UTF-16", "", AT, VISIT, "Content-Type: text/html", "\xff\xfe<", 200, PASSES, NULL },
    { "words", "", AT, VISIT, "Content-Type: text/html", "one <b>", 200, IS_EDITED, NULL },
    { "bytes", "", AT, VISIT, "Content-Type: text/html", "one\x01<b>", 200, PASSES, NULL },
    { "nothing", "", AT, VISIT, "Content-Type: text/html", "", 200, PASSES, NULL },
    { "blanks", "", AT, VISIT, "Content-Type: text/html", " \n", 200, PASSES, NULL },
    { "a script that a rule names", "", "127.0.0.1", "http://a.test/x.js", "Accept: */*",
      "Content-Type: text/javascript", "one", 200, IS_EDITED, NULL },
    { "no text", "", "127.0.0.1", "http://a.test/x.js", "Accept: */*", "Content-Type: image/png",
      "one", 200, GOES_BY, NULL },
    { "a script in UTF-16", "", "127.0.0.1", "http://a.test/x.js", "Accept: */*",
      "Content-Type: text/javascript; charset=\"UTF-16LE\"", "one", 200, GOES_BY, NULL },
};

struct play { // of one row
    struct message request, response;
    struct target target;
    struct address client;
    struct judgement judgement;
    struct directives directives;
    struct rework rework;
};

static void ask(struct play *play, const struct row *row, struct settings *settings)
{
    struct case_file file = { .settings = settings,
                              .request = &play->request,
                              .target = &play->target,
                              .url = span_text(row->url),
                              .client = &play->client };

    message_init(&play->request, &house.arena, true);
    play->request.method = METHOD_GET;
    play->request.method_name = SPAN("GET");
    play->request.target_form = TARGET_ABSOLUTE;
    play->request.target = file.url;
    put_fields(&play->request, row->request);
    assert_int_equal(target_split(&play->target, &play->request, NULL), ERROR_NONE);
    assert_true(address_parse(&play->client, span_text(row->client), 1));
    judge_request(house.proxy.judge, &file, &play->judgement);
    play->directives = judge_directives(house.proxy.judge, &file, &play->judgement);
    rework_request(&play->rework, &play->request,
                   &(struct rework_question){ .proxy = &house.proxy,
                                              .file = file,
                                              .judgement = &play->judgement,
                                              .directives = &play->directives });
}

static enum fate answer(struct play *play, const struct row *row)
{
    struct span length;

    message_init(&play->response, &house.arena, false);
    play->response.status = row->status;
    put_fields(&play->response, row->response);
    put_fields(&play->response, DIGESTED);
    play->response.framing = FRAMING_LENGTH;
    length = field_of(&play->response, "Content-Length");
    play->response.has_length = span_to_u64(length, &play->response.body_bytes);
    if (!rework_response(&play->rework, &play->response))
        return GOES_BY;
    for (const char *c = row->body; *c; c++) { // a byte at a time it is decided no later
        assert_true(chain_give(play->rework.chain, span_of(c, 1)));
        switch (rework_decide(&play->rework)) {
        case REWORK_WAITS:
            break;
        case REWORK_PASSES:
            return PASSES;
        case REWORK_EDITS:
            return IS_EDITED;
        }
    }
    chain_end(play->rework.chain);
    switch (rework_decide(&play->rework)) {
    case REWORK_PASSES:
        return PASSES;
    case REWORK_EDITS:
        return IS_EDITED;
    case REWORK_WAITS:
        break;
    }
    fail_msg("%s: it waits for more at the end", row->name);
    return GOES_BY;
}

static void want_fields(const struct row *row, const struct play *play)
{
    const struct message *response = &play->response;
    bool is_edited = row->fate == IS_EDITED;
    struct span encoding = field_of(response, "Content-Encoding");

    if (is_edited != !field_of(response, "Digest").at ||
        is_edited != !field_of(response, "Repr-Digest").at ||
        is_edited != span_equal(field_of(response, "Accept-Ranges"), SPAN("none")) ||
        is_edited != span_starts(field_of(response, "ETag"), SPAN("W/\"e-dj")) ||
        is_edited != (response->framing == FRAMING_CHUNKED))
        fail_msg("%s: its fields are not true", row->name);
    if (is_edited &&
        (row->encoding ? !span_equal(encoding, span_text(row->encoding)) ||
                             !message_lists(response, FIELD_VARY, SPAN("Accept-Encoding"))
                       : encoding.at != NULL))
        fail_msg("%s: it is encoded as \"%.*s\"", row->name, SPAN_PRINT(encoding));
}

static void decides(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct play play;
        struct settings *settings;
        struct error error;
        enum fate fate;

        assert_int_equal(settings_of(&settings, table[i].config, &error), ERROR_NONE);
        ask(&play, &table[i], settings);
        fate = answer(&play, &table[i]);
        if (fate != table[i].fate)
            fail_msg("%s: %d", table[i].name, fate);
        want_fields(&table[i], &play);
        rework_done(&play.rework);
        assert_int_equal(house.proxy.coding_memory.used_bytes, 0);
        settings_unref(&settings);
        arena_reset(&house.arena);
    }
}

static void changes_texts_as_rules_say(void **state)
{
    static const struct row row = { .name = "a script",
                                    .client = "127.0.0.1",
                                    .url = "http://a.test/x.js",
                                    .request = "Accept: */*",
                                    .response = "Content-Type: text/javascript",
                                    .body = "zero one two",
                                    .status = 200 };
    struct settings *settings;
    struct error error;
    struct play play;

    (void)state;
    assert_int_equal(settings_of(&settings, "", &error), ERROR_NONE);
    ask(&play, &row, settings);
    assert_int_equal(answer(&play, &row), IS_EDITED); // at its first byte
    assert_true(chain_give(play.rework.chain, SPAN("ero one two")));
    assert_int_equal(chain_run(play.rework.chain, &error), CHAIN_HUNGRY);
    assert_int_equal(chain_output(play.rework.chain).size, 0); // all of it is needed
    chain_end(play.rework.chain);
    assert_int_equal(chain_run(play.rework.chain, &error), CHAIN_FINISHED);
    assert_true(span_equal(chain_output(play.rework.chain), SPAN("zero three two")));
    rework_done(&play.rework);
    assert_true(play.rework.has_changed);
    settings_unref(&settings);
}

static void leaves_off_when_memory_is_short(void **state)
{
    uint64_t before = metrics_get(&house.metrics, METRIC_BUDGET_EXCEEDED);
    size_t limit = house.proxy.coding_memory.limit_bytes;
    struct settings *settings;
    struct error error;
    struct play play;

    (void)state;
    assert_int_equal(settings_of(&settings, "", &error), ERROR_NONE);
    ask(&play, &table[0], settings);
    house.proxy.coding_memory.used_bytes = limit / 4 * 3 + 1;
    assert_int_equal(answer(&play, &table[0]), GOES_BY);
    assert_int_equal(metrics_get(&house.metrics, METRIC_BUDGET_EXCEEDED), before + 1);
    house.proxy.coding_memory.used_bytes = limit / 4 * 3;
    assert_int_equal(answer(&play, &table[0]), IS_EDITED);
    house.proxy.coding_memory.used_bytes = 0;
    rework_done(&play.rework);
    settings_unref(&settings);
    arena_reset(&house.arena);
}

static void generations_differ_when_something_else_comes_of_a_page(void **state)
{
    static const char *const configs[] = {
        "",
        "strip = remove",
        "remove_blocked = no",
        "site \"a.test\" { filter = yes }",
        "site \"b.test\" { filter = yes }",
        "site \"a.test\" { strip = hide }",
        "client \"127.0.0.1\" { filter = yes }",
        "client \"127.0.0.1\" { gpc = no }",
        "site \"c.test\" { extra_ca = {/one.pem} }",
    };
    uint64_t seen[sizeof configs / sizeof *configs];
    struct settings *settings, *again;
    struct error error;
    struct play play;

    (void)state;
    for (size_t i = 0; i < sizeof configs / sizeof *configs; i++) {
        assert_int_equal(settings_of(&settings, configs[i], &error), ERROR_NONE);
        ask(&play, &table[0], settings);
        seen[i] = play.rework.generation;
        for (size_t j = 0; j < i; j++)
            if (seen[i] == seen[j])
                fail_msg("the same by \"%s\" and \"%s\"", configs[i], configs[j]);
        assert_int_equal(settings_of(&again, configs[i], &error), ERROR_NONE);
        ask(&play, &table[0], again);
        assert_int_equal(seen[i], play.rework.generation); // in every process
        settings_unref(&again);
        settings_unref(&settings);
        arena_reset(&house.arena);
    }
}

static void no_two_sites_see_the_same_tag(void **state)
{
    static const struct row rows[] = {
        { "one", "", "127.0.0.1", "http://a.test/", VISIT, "Content-Type: text/html", HTML, 200,
          IS_EDITED, NULL },
        { "again", "", "127.0.0.1", "http://A.test/x", VISIT, "Content-Type: text/html", HTML, 200,
          IS_EDITED, NULL },
        { "another", "", "127.0.0.1", "http://www.a.test/", VISIT, "Content-Type: text/html", HTML,
          200, IS_EDITED, NULL },
    };
    struct settings *settings;
    struct error error;
    struct span tags[3];

    (void)state;
    assert_int_equal(settings_of(&settings, "", &error), ERROR_NONE);
    for (size_t i = 0; i < 3; i++) {
        struct play play;

        ask(&play, &rows[i], settings);
        assert_int_equal(answer(&play, &rows[i]), IS_EDITED);
        tags[i] = field_of(&play.response, "ETag");
        rework_done(&play.rework);
    }
    assert_true(span_equal(tags[0], tags[1]));
    assert_false(span_equal(tags[0], tags[2]));
    settings_unref(&settings);
    arena_reset(&house.arena);
}

static void tallies_what_was_spared(void **state)
{
    struct judgement passed = { .type = TYPE_SCRIPT, .source = SPAN("http://page.test:8/x?y") };
    struct judgement stopped = { .type = TYPE_SCRIPT,
                                 .source = SPAN("http://page.test:8/x?y"),
                                 .is_stopped = true };
    struct judgement visit = { .type = TYPE_DOCUMENT, .is_stopped = true };
    struct tally_entry entries[] = {
        { .judgement = &stopped, .host = SPAN("ads.test") }, // nothing is known yet
        { .judgement = &passed, .host = SPAN("a.test"), .was_answered = true, .bytes = 100 },
        { .judgement = &passed, .host = SPAN("a.test"), .was_answered = true, .bytes = 300 },
        { .judgement = &passed, .host = SPAN("a.test"), .bytes = 9000 }, // an error
        { .judgement = &stopped, .host = SPAN("ads.test") },
        { .judgement = &stopped, .host = SPAN("ads.test"), .has_size = true, .bytes = 7 },
        { .judgement = &visit, .host = SPAN("ads.test"), .has_size = true, .bytes = 5000 },
        { .judgement = &passed, .host = SPAN("a.test"), .removed_bytes = 5, .removed_elements = 1 },
    };
    static struct host_totals totals;

    (void)state;
    for (size_t i = 0; i < sizeof entries / sizeof *entries; i++)
        tally_note(&house.proxy, &entries[i]);
    host_totals_add(&totals, &house.metrics.hosts);
    host_totals_sort(&totals);
    assert_int_equal(totals.count, 2);
    assert_string_equal(totals.items[0].name, "page.test");
    assert_int_equal(totals.items[0].counts[HOST_REQUESTS], 3);
    assert_int_equal(totals.items[0].counts[HOST_BYTES_NOT_FETCHED], 200 + 7);
    assert_int_equal(totals.items[0].counts[HOST_BYTES_REMOVED], 5);
    assert_string_equal(totals.items[1].name, "ads.test");
    assert_int_equal(totals.items[1].counts[HOST_BYTES_NOT_FETCHED], 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(decides),
        cmocka_unit_test(changes_texts_as_rules_say),
        cmocka_unit_test(leaves_off_when_memory_is_short),
        cmocka_unit_test(generations_differ_when_something_else_comes_of_a_page),
        cmocka_unit_test(no_two_sites_see_the_same_tag),
        cmocka_unit_test(tallies_what_was_spared),
    };

    return cmocka_run_group_tests(tests, open_house, close_house);
}

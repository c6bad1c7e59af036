/* May it go on? Rules, policies and switches together, by rows. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <cmocka.h>

#include "filter/compile.h"
#include "proxy/judge.h"
#include "proxy/passes.h"
#include "proxy_config.h"

#define NEVER "@@||ads.example^$important\n" // on a list of that name

static const struct {
    const char *name, *config, *rules, *url, *source, *client;
    bool is_stopped, by_policy;
} rows[] = {
    { "no rules", "", "", "http://ads.example/x.js", "http://a.example/", "127.0.0.1", false,
      false },
    { "a rule", "", "||ads.example^", "http://ads.example/x.js", "http://a.example/", "127.0.0.1",
      true, false },
    { "another host", "", "||ads.example^", "http://bads.example/x.js", "http://a.example/",
      "127.0.0.1", false, false },
    { "an exception", "", "||ads.example^\n@@||ads.example^$script", "http://ads.example/x.js",
      "http://a.example/", "127.0.0.1", false, false },
    { "the page is exempt", "", "||ads.example^\n@@||a.example^$document",
      "http://ads.example/x.js", "http://a.example/", "127.0.0.1", false, false },
    { "another page is exempt", "", "||ads.example^\n@@||b.example^$document",
      "http://ads.example/x.js", "http://a.example/", "127.0.0.1", true, false },
    { "third party only", "", "||ads.example^$third-party", "http://ads.example/x.js",
      "http://ads.example/", "127.0.0.1", false, false },
    { "filtering is off", "filter = no", "||ads.example^", "http://ads.example/x.js",
      "http://a.example/", "127.0.0.1", false, false },
    { "off for the site of the page", "site \"a.example\" { filter = no }", "||ads.example^",
      "http://ads.example/x.js", "http://a.example/", "127.0.0.1", false, false },
    { "off for another site", "site \"b.example\" { filter = no }", "||ads.example^",
      "http://ads.example/x.js", "http://a.example/", "127.0.0.1", true, false },
    { "off, and on again", "site \"*.example\" { filter = no }\nsite \"a.*\" { filter = yes }",
      "||ads.example^", "http://ads.example/x.js", "http://a.example/", "127.0.0.1", true, false },
    { "off for the client", "client \"192.0.2.0/24\" { filter = no }", "||ads.example^",
      "http://ads.example/x.js", "http://a.example/", "192.0.2.9", false, false },
    { "off for another client", "client \"192.0.2.0/24\" { filter = no }", "||ads.example^",
      "http://ads.example/x.js", "http://a.example/", "192.0.3.9", true, false },
    { "clients after sites",
      "site \"a.example\" { filter = no }\nclient \"127.0.0.1\" { filter = yes }", "||ads.example^",
      "http://ads.example/x.js", "http://a.example/", "127.0.0.1", true, false },
    { "the connect policy", "policy \"connect\" { reject = {\"ads.*\"} }", "",
      "http://ads.example/x.js", "http://a.example/", "127.0.0.1", true, true },
    { "the policy accepts", "policy \"connect\" { default = \"reject\" accept = {\"ads.*\"} }", "",
      "http://ads.example/x.js", "http://a.example/", "127.0.0.1", false, false },
    { "a host that is never filtered", "policy \"connect\" { default = \"reject\" }",
      NEVER "||ads.example^$important", "http://x.ads.example/x.js", "http://a.example/",
      "127.0.0.1", false, false },
    { "another host", "policy \"connect\" { default = \"reject\" }", NEVER,
      "http://bads.example/x.js", "http://a.example/", "127.0.0.1", true, true },
    { "an exception of another list", "policy \"connect\" { default = \"reject\" }",
      "@@||ads.example^$important", "http://ads.example/x.js", "http://a.example/", "127.0.0.1",
      true, true },
    { "the policy by default", "policy \"connect\" { default = \"reject\" }", "",
      "http://ads.example/x.js", "http://a.example/", "127.0.0.1", true, true },
};

static void add_rule(void *owner, const struct rule *rule, uint32_t line)
{
    compiler_add(owner, rule, line);
}

/* The rules live in the compiler. */
static struct compiler *compile(const char *rules, struct database **out)
{
    struct compiler *compiler = compiler_new();
    struct list_reader reader = { .is_trusted = true, .on_rule = add_rule, .owner = compiler };
    struct compile_counts counts;
    struct list_summary summary;
    struct error error;
    struct span image;
    bool is_never = strncmp(rules, NEVER, strlen(NEVER)) == 0;

    compiler_begin_list(compiler, is_never ? SPAN(MATCHER_UNFILTERED) : SPAN("test"));
    list_read(&summary, &reader, span_text(rules));
    assert_int_equal(compiler_finish(compiler, &image, &counts, &error), ERROR_NONE);
    assert_int_equal(database_open(out, image, &error), ERROR_NONE);
    return compiler;
}

static void judge_row(struct loop *loop, size_t i)
{
    struct passes *passes = passes_new();
    struct judge *judge = judge_new(loop, passes);
    struct judgement got;
    struct message request;
    struct target target;
    struct address client;
    struct database *database;
    struct compiler *compiler = compile(rows[i].rules, &database);
    struct arena arena;
    struct error error;
    struct case_file file = { .request = &request, .target = &target, .client = &client };
    char reason[JUDGE_REASON_BYTES];

    arena_init(&arena, 1 << 16);
    message_init(&request, &arena, true);
    request.method = METHOD_GET;
    request.method_name = SPAN("GET");
    request.target_form = TARGET_ABSOLUTE;
    request.target = file.url = span_text(rows[i].url);
    message_add(&request, SPAN("Referer"), span_text(rows[i].source));
    assert_int_equal(target_split(&target, &request, &error), ERROR_NONE);
    assert_true(address_parse(&client, span_text(rows[i].client), 1));
    if (settings_of(&file.settings, rows[i].config, &error))
        fail_msg("%s: %s", rows[i].name, error.text);
    judge_use(judge, database);

    judge_request(judge, &file, &got);
    if (got.is_stopped != rows[i].is_stopped || got.by_policy != rows[i].by_policy)
        fail_msg("%s: stopped %d, by policy %d", rows[i].name, got.is_stopped, got.by_policy);
    if (got.is_stopped)
        assert_non_null(
            strstr(judge_reason(judge, &got, reason), got.by_policy ? "policy" : "(test, line 1)"));

    judge_free(&judge);
    passes_free(&passes);
    database_unref(&database);
    compiler_free(&compiler);
    settings_unref(&file.settings);
    arena_done(&arena);
}

static void joins_rules_policies_and_switches(void **state)
{
    struct loop *loop;
    struct error error;

    (void)state;
    assert_int_equal(loop_new(&loop, &error), ERROR_NONE);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        judge_row(loop, i);
    loop_free(&loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(joins_rules_policies_and_switches) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

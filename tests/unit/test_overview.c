/* What is shown of the service: as text, as JSON, as metrics, as a page. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

#include <stdio.h>

#include "admin/exposition.h"
#include "admin/front.h"
#include "admin/overview.h"

static struct overview overview;
static const struct proxy_pass passes[] = {
    { { "a.example", 9 }, { "", 0 }, PROXY_PASS_FOR_GOOD },
    { { "", 0 }, { "", 0 }, 1700000005000 },
};

static int fill(void **state)
{
    (void)state;
    memset(&overview, 0, sizeof overview);
    overview.now_ms = 1700000000000;
    overview.state = (struct overview_state){
        .is_known = true,
        .is_serving = true,
        .generation = 3,
        .reloads = 4,
        .failed_reloads = 2,
        .restarts = 5,
        .workers = 2,
        .ready_workers = 1,
        .started_ms = 1699999000000,
        .last_reload_ms = 1699999999001,
        .reload_problem = "x.conf:1: <b>&\"bad\"",
    };
    for (size_t i = 0; i < METRICS_COUNT; i++)
        overview.counters[i] = 1000 + i;
    overview.lists.count = 1;
    overview.lists.rules = 8;
    overview.lists.items[0] = (struct list_figures){ .name = "<i>\"q\\\xc3\xa4",
                                                     .lines = 10,
                                                     .rules = 8,
                                                     .cosmetic = 1,
                                                     .unsupported = 2,
                                                     .bad = 3,
                                                     .changed_ms = 1699996400000 };
    overview.passes = (struct proxy_passes){ passes, 2 };
    overview.state.is_signing = true;
    overview.intercept = INTERCEPT_ENROLLED;
    overview.learned = (struct learned_counts){ .enrolments = 1, .ended = 2, .tunnels = 3 };
    return 0;
}

static const char *text_of(bool (*write)(struct buffer *out, const struct overview *overview))
{
    static char text[256 * 1024];
    struct buffer out = { .limit_bytes = sizeof text - 1 };

    assert_true(write(&out, &overview));
    memcpy(text, out.at, out.size);
    text[out.size] = '\0';
    buffer_release(&out);
    return text;
}

static bool write_front(struct buffer *out, const struct overview *of)
{
    return front_write(out, of, SPAN("127.0.0.1"), SPAN("<ann>"));
}

static void has(const char *text, const char *part)
{
    if (!strstr(text, part))
        fail_msg("\"%s\" is not in\n%s", part, text);
}

static void status_as_text(void **state)
{
    const char *text = text_of(overview_write_text);

    (void)state;
    has(text, "dejunk " DEJUNK_VERSION ", up 16 min\n");
    has(text, "1 of 2 serve, 5 replaced\n");
    has(text, "number 3 in force, 4 reloads, 2 failed\n");
    has(text, "of the last reload: x.conf:1: <b>&\"bad\"\n");
    has(text, "nothing is filtered for 5 s more\n");
    has(text, "opened for 1 enrolled client, 3 programs and hosts passed through, 2 enrolments "
              "ended\n");
    has(text, "8 in 1 lists\n");
    has(text, "8 rules, 2 unsupported, 3 bad, 1 h 0 min old\n");
    has(text, "passed 1000, blocked 1001");
}

static void status_as_json(void **state)
{
    const char *text = text_of(overview_write_json);

    (void)state;
    has(text,
        "{\"version\":\"" DEJUNK_VERSION "\",\"time\":1700000000.000,\"started\":1699999000.000");
    has(text, "\"problem\":\"x.conf:1: <b>&\\\"bad\\\"\"");
    has(text, "\"last_reload\":1699999999.001");
    has(text, "{\"name\":\"<i>\\\"q\\\\\\u00c3\\u00a4\",\"lines\":10,\"rules\":8");
    has(text, "{\"host\":\"a.example\",\"client\":\"*\",\"until\":null}");
    has(text, "{\"host\":\"*\",\"client\":\"*\",\"until\":1700000005.000}");
    has(text, "\"https\":{\"intercept\":\"enrolled\",\"authority\":true,\"enrolled\":1,\"ended\":2,"
              "\"learned\":3}");
    has(text, "\"requests\":{\"passed\":1000,");
}

static void whose_https_is_opened(void **state)
{
    static const struct {
        enum intercept_mode mode;
        bool is_signing;
        size_t enrolments;
        const char *want;
    } cases[] = {
        { INTERCEPT_NONE, false, 5, "for no client" },
        { INTERCEPT_ALL, true, 0, "for all clients" },
        { INTERCEPT_ALL, false, 0, "for no client: there is no authority" },
        { INTERCEPT_ENROLLED, false, 1, "for no client: there is no authority" },
        { INTERCEPT_ENROLLED, true, 0, "for 0 enrolled clients" },
        { INTERCEPT_ENROLLED, true, 1, "for 1 enrolled client" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct overview of = { .intercept = cases[i].mode,
                               .state.is_signing = cases[i].is_signing,
                               .learned.enrolments = cases[i].enrolments };
        char text[OVERVIEW_HTTPS_BYTES];

        assert_string_equal(overview_https(&of, text), cases[i].want);
    }
}

static void a_page_that_is_escaped(void **state)
{
    const char *text = text_of(write_front);

    (void)state;
    has(text, "You come from 127.0.0.1 as &lt;ann&gt;.");
    has(text, "x.conf:1: &lt;b&gt;&amp;&quot;bad&quot;");
    has(text, "<td>&lt;i&gt;&quot;q\\");
    assert_null(strstr(text, "<i>"));
    assert_null(strstr(text, "<b>"));
    assert_null(strstr(text, "<script"));
    has(text, "Nothing is filtered; this ends in 5 s");
    assert_true(front_style().size > 100);
}

/* Samples of one name are together, HELP and TYPE once in front of them. */
static void metrics_in_their_form(void **state)
{
    const char *text = text_of(exposition_write);
    const char *line = text;
    char name[128] = "", seen[16384] = "\n";
    size_t samples = 0;

    (void)state;
    has(text, "dejunk_requests_total{action=\"blocked\"} 1001\n");
    has(text, "dejunk_config_reloads_total{result=\"success\"} 2\n");
    has(text, "dejunk_config_last_reload_successful 0\n");
    has(text, "dejunk_rules{list=\"<i>\\\"q\\\\\xc3\xa4\"} 8\n");
    has(text,
        "dejunk_list_last_success_timestamp_seconds{list=\"<i>\\\"q\\\\\xc3\xa4\"} 1699996400\n");
    has(text, "dejunk_pause_seconds 5.000\n");
    has(text, "process_start_time_seconds 1699999000.000\n");
    while (*line) {
        size_t size = strcspn(line, "\n");

        if (strncmp(line, "# HELP ", 7) == 0) {
            char before[160];

            snprintf(name, sizeof name, "%.*s", (int)strcspn(line + 7, " "), line + 7);
            assert_true(size > 8 + strlen(name)); // says something
            snprintf(before, sizeof before, "\n%s\n", name);
            if (strstr(seen, before))
                fail_msg("%s stands in two places", name);
            strncat(seen, before + 1, sizeof seen - strlen(seen) - 1);
        } else if (line[0] != '#') {
            samples++;
            if (strncmp(line, name, strlen(name)) != 0 ||
                (line[strlen(name)] != ' ' && line[strlen(name)] != '{'))
                fail_msg("%.*s does not stand under %s", (int)size, line, name);
        }
        line += size + (line[size] == '\n');
    }
    assert_true(samples > METRICS_COUNT);
}

static void nothing_is_cut_in_silence(void **state)
{
    bool (*const writers[])(struct buffer *,
                            const struct overview *) = { overview_write_text, overview_write_json,
                                                         exposition_write, write_front };

    (void)state;
    for (size_t i = 0; i < sizeof writers / sizeof *writers; i++) {
        size_t whole = strlen(text_of(writers[i]));

        for (size_t limit = 0; limit < whole + 2; limit += limit + 50 < whole ? 13 : 1) {
            struct buffer out = { .limit_bytes = limit };

            if (limit != whole) // printing may want room for a NUL
                assert_int_equal(writers[i](&out, &overview), limit > whole);
            buffer_release(&out);
        }
    }
}

static void durations_and_sizes(void **state)
{
    static const struct {
        uint64_t number;
        const char *duration, *size;
    } cases[] = {
        { 0, "0 s", "0 bytes" },
        { 999, "0 s", "999 bytes" },
        { 1000, "1 s", "1.0 kB" },
        { 59999, "59 s", "60.0 kB" },
        { 60000, "1 min", "60.0 kB" },
        { 3599999, "59 min", "3.6 MB" },
        { 3600000, "1 h 0 min", "3.6 MB" },
        { 86399999, "23 h 59 min", "86.4 MB" },
        { 86400000, "1 d 0 h", "86.4 MB" },
        { 999949, "16 min", "999.9 kB" },
        { 999999, "16 min", "1.0 MB" },
        { UINT64_MAX, "213503982334 d 14 h", "18.4 EB" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[OVERVIEW_TIME_BYTES];

        assert_string_equal(overview_duration(cases[i].number, text), cases[i].duration);
        assert_string_equal(overview_size(cases[i].number, text), cases[i].size);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(status_as_text),        cmocka_unit_test(status_as_json),
        cmocka_unit_test(whose_https_is_opened), cmocka_unit_test(a_page_that_is_escaped),
        cmocka_unit_test(metrics_in_their_form), cmocka_unit_test(nothing_is_cut_in_silence),
        cmocka_unit_test(durations_and_sizes),
    };
    return cmocka_run_group_tests(tests, fill, NULL);
}

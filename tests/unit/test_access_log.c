/* Lines of the access log: what is in them, what never is, and that nothing breaks out of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

#include <stdio.h>

#include "proxy/access_log.h"

static struct address client;

static const struct timespec when = { 1700000000, 42000000 };

static const char *line_of(enum access_log_format format, const struct access_entry *entry)
{
    static char line[ACCESS_LOG_LINE_BYTES + 1];
    struct access_clock *clock = access_clock_new();
    size_t size = access_log_write(line, format, entry, &when, clock);
    char again[ACCESS_LOG_LINE_BYTES];

    // The second time out of the clock's memory.
    assert_int_equal(access_log_write(again, format, entry, &when, clock), size);
    assert_memory_equal(again, line, size);
    free(clock);
    assert_true(size > 0 && line[size - 1] == '\n');
    assert_null(memchr(line, '\n', size - 1));
    for (size_t i = 0; i + 1 < size; i++)
        assert_true(line[i] >= 0x20 && line[i] < 0x7f);
    line[size - 1] = '\0';
    return line;
}

static struct access_entry plain(void)
{
    return (struct access_entry){
        .client = &client,
        .method = SPAN("GET"),
        .url = SPAN("http://a.example/x"),
        .version_minor = 1,
        .status = 200,
        .bytes = 1234,
        .duration_ms = 1005,
        .action = ACTION_PASSED,
    };
}

static void both_formats_are_as_tools_read_them(void **state)
{
    struct access_entry entry = plain();

    (void)state;
    assert_string_equal(line_of(ACCESS_LOG_COMBINED, &entry),
                        "192.0.2.7 - - [14/Nov/2023:22:13:20 +0000] \"GET http://a.example/x "
                        "HTTP/1.1\" 200 1234 \"-\" \"-\"");
    assert_string_equal(line_of(ACCESS_LOG_JSON, &entry),
                        "{\"time\":\"2023-11-14T22:13:20.042Z\",\"client\":\"192.0.2.7\","
                        "\"user\":null,\"method\":\"GET\",\"url\":\"http://a.example/x\","
                        "\"protocol\":\"HTTP/1.1\",\"status\":200,\"bytes\":1234,"
                        "\"duration\":1.005,\"action\":\"passed\",\"type\":null,\"rule\":null,"
                        "\"referer\":null,\"agent\":null}");
    entry.user = SPAN("ann");
    entry.version_minor = 0;
    entry.status = 0;
    entry.bytes = 0;
    entry.action = ACTION_BLOCKED;
    entry.type = SPAN("script");
    entry.rule = SPAN("||ads.example^ (list, line 3)");
    entry.referer = SPAN("http://b.example/");
    entry.agent = SPAN("Mozilla/5.0 (X11)");
    assert_string_equal(line_of(ACCESS_LOG_COMBINED, &entry),
                        "192.0.2.7 - ann [14/Nov/2023:22:13:20 +0000] \"GET http://a.example/x "
                        "HTTP/1.0\" 000 - \"http://b.example/\" \"Mozilla/5.0 (X11)\"");
    assert_string_equal(line_of(ACCESS_LOG_JSON, &entry),
                        "{\"time\":\"2023-11-14T22:13:20.042Z\",\"client\":\"192.0.2.7\","
                        "\"user\":\"ann\",\"method\":\"GET\",\"url\":\"http://a.example/x\","
                        "\"protocol\":\"HTTP/1.0\",\"status\":0,\"bytes\":0,\"duration\":1.005,"
                        "\"action\":\"blocked\",\"type\":\"script\","
                        "\"rule\":\"||ads.example^ (list, line 3)\","
                        "\"referer\":\"http://b.example/\",\"agent\":\"Mozilla/5.0 (X11)\"}");
}

static void urls_lose_what_may_be_secret(void **state)
{
    static const struct {
        const char *name, *url, *want;
    } cases[] = {
        { "plain", "http://a.example/x", "http://a.example/x" },
        { "query", "http://a.example/x?key=1", "http://a.example/x" },
        { "query without a path", "http://a.example?key=1", "http://a.example" },
        { "fragment", "http://a.example/x#key", "http://a.example/x" },
        { "user and password", "http://u:p@a.example/x", "http://a.example/x" },
        { "an at in the password", "http://u:p@q@a.example/x", "http://a.example/x" },
        { "an at in the path stays", "http://a.example/@x", "http://a.example/@x" },
        { "an at in the query", "http://a.example/x?u@b", "http://a.example/x" },
        { "origin-form", "/x?key", "/x" },
        { "origin-form with an at", "/u@x", "/u@x" },
        { "origin-form with a scheme", "/http://u:p@a/", "/http://a/" },
        { "CONNECT", "a.example:443", "a.example:443" },
        { "CONNECT with a user", "u:p@a.example:443", "a.example:443" },
        { "asterisk", "*", "*" },
        { "quote", "http://a.example/\"x", "http://a.example/\\\"x" },
        { "backslash", "http://a.example/\\x", "http://a.example/\\\\x" },
        { "nothing but a question", "?x", "" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct access_entry entry = plain();
        char want[200];
        const char *got;

        entry.url = span_text(cases[i].url);
        snprintf(want, sizeof want, "\"GET %s HTTP/1.1\"", cases[i].want);
        got = line_of(ACCESS_LOG_COMBINED, &entry);
        if (!strstr(got, want))
            fail_msg("%s: %s", cases[i].name, got);
        snprintf(want, sizeof want, "\"url\":\"%s\"", cases[i].want);
        got = line_of(ACCESS_LOG_JSON, &entry);
        if (!strstr(got, want))
            fail_msg("%s: %s", cases[i].name, got);
    }
}

static void clients_cannot_write_lines_of_their_own(void **state)
{
    static const struct {
        const char *name;
        struct span agent;
        const char *combined, *json;
    } cases[] = {
        { "line feed", SPAN("a\nb"), "\"a\\x0ab\"", "\"a\\u000ab\"" },
        { "escape", SPAN("\x1b[31m"), "\"\\x1b[31m\"", "\"\\u001b[31m\"" },
        { "quote", SPAN("a\" 200"), "\"a\\\" 200\"", "\"a\\\" 200\"" },
        { "backslash at the end", SPAN("a\\"), "\"a\\\\\"", "\"a\\\\\"" },
        { "not UTF-8", SPAN("\xff\xc3"), "\"\\xff\\xc3\"", "\"\\u00ff\\u00c3\"" },
        { "NUL", SPAN("\0x"), "\"\\x00x\"", "\"\\u0000x\"" },
        { "DEL", SPAN("\x7f"), "\"\\x7f\"", "\"\\u007f\"" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct access_entry entry = plain();
        const char *got;

        entry.agent = cases[i].agent;
        got = line_of(ACCESS_LOG_COMBINED, &entry);
        if (!strstr(got, cases[i].combined))
            fail_msg("%s: %s", cases[i].name, got);
        got = line_of(ACCESS_LOG_JSON, &entry);
        if (!strstr(got, cases[i].json))
            fail_msg("%s: %s", cases[i].name, got);
    }
}

static void a_name_is_one_column(void **state)
{
    struct access_entry entry = plain();

    (void)state;
    entry.user = SPAN("ann \"x\" [y]");
    assert_non_null(
        strstr(line_of(ACCESS_LOG_COMBINED, &entry), "192.0.2.7 - ann\\x20\\\"x\\\"\\x20[y] ["));
}

/* The longest of everything, all of it escaped, fits; a byte more is cut. */
static void long_values_are_cut(void **state)
{
    static char many[ACCESS_LOG_URL_BYTES + 1];
    struct access_entry entry = plain();
    const char *agent;

    (void)state;
    memset(many, '\1', sizeof many);
    entry.user = entry.method = entry.authority = entry.url = span_of(many, sizeof many);
    entry.rule = entry.referer = entry.agent = span_of(many, sizeof many);
    entry.type = SPAN("stylesheet");
    entry.bytes = entry.duration_ms = UINT64_MAX;
    assert_true(strlen(line_of(ACCESS_LOG_JSON, &entry)) > 6 * ACCESS_LOG_URL_BYTES);
    assert_true(strlen(line_of(ACCESS_LOG_COMBINED, &entry)) > 4 * ACCESS_LOG_URL_BYTES);

    memset(many, 'a', sizeof many);
    entry = plain();
    entry.agent = span_of(many, ACCESS_LOG_AGENT_BYTES);
    agent = strrchr(line_of(ACCESS_LOG_COMBINED, &entry), ' ') + 1;
    assert_int_equal(strlen(agent), ACCESS_LOG_AGENT_BYTES + 2);
    entry.agent = span_of(many, ACCESS_LOG_AGENT_BYTES + 1);
    agent = strrchr(line_of(ACCESS_LOG_COMBINED, &entry), ' ') + 1;
    assert_int_equal(strlen(agent), ACCESS_LOG_AGENT_BYTES + 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_formats_are_as_tools_read_them),
        cmocka_unit_test(urls_lose_what_may_be_secret),
        cmocka_unit_test(clients_cannot_write_lines_of_their_own),
        cmocka_unit_test(a_name_is_one_column),
        cmocka_unit_test(long_values_are_cut),
    };

    setenv("TZ", "UTC", 1);
    tzset();
    address_parse(&client, SPAN("192.0.2.7"), 4711);
    return cmocka_run_group_tests(tests, NULL, NULL);
}

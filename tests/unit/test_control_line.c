/* Lines of the control socket. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

#include "admin/control_line.h"

static void lines_are_understood_or_refused(void **state)
{
    static const struct {
        const char *line;
        enum error_kind kind;
        enum control_verb verb;
        const char *host, *client;
        uint64_t for_ms;
        bool json;
    } cases[] = {
        { "status", ERROR_NONE, CONTROL_STATUS, "", "", 0, false },
        { "status json", ERROR_NONE, CONTROL_STATUS, "", "", 0, true },
        { "reload", ERROR_NONE, CONTROL_RELOAD, "", "", 0, false },
        { "log", ERROR_NONE, CONTROL_LOG, "", "", 0, false },
        { "pause 1", ERROR_NONE, CONTROL_PAUSE, "", "", 1, false },
        { "pause off", ERROR_NONE, CONTROL_PAUSE, "", "", 0, false },
        { "pause 600000 10.0.0.1", ERROR_NONE, CONTROL_PAUSE, "", "10.0.0.1", 600000, false },
        { "pause 31622400000", ERROR_NONE, CONTROL_PAUSE, "", "", 31622400000, false },
        { "pause 31622400001", ERROR_LIMIT, 0, "", "", 0, false },
        { "pause 18446744073709551615", ERROR_LIMIT, 0, "", "", 0, false },
        { "pause 18446744073709551616", ERROR_SYNTAX, 0, "", "", 0, false },
        { "pause 0", ERROR_SYNTAX, 0, "", "", 0, false },
        { "pause -1", ERROR_SYNTAX, 0, "", "", 0, false },
        { "pause always", ERROR_SYNTAX, 0, "", "", 0, false },
        { "allow a always", ERROR_NONE, CONTROL_ALLOW, "a", "", CONTROL_ALWAYS_MS, false },
        { "allow a 5 ::1", ERROR_NONE, CONTROL_ALLOW, "a", "::1", 5, false },
        { "allow a off", ERROR_NONE, CONTROL_ALLOW, "a", "", 0, false },
        { "allow a", ERROR_SYNTAX, 0, "", "", 0, false },
        { "allow a 5 b c", ERROR_SYNTAX, 0, "", "", 0, false },
        { "", ERROR_SYNTAX, 0, "", "", 0, false },
        { " ", ERROR_SYNTAX, 0, "", "", 0, false },
        { " status", ERROR_SYNTAX, 0, "", "", 0, false },
        { "status ", ERROR_SYNTAX, 0, "", "", 0, false },
        { "status  json", ERROR_SYNTAX, 0, "", "", 0, false },
        { "STATUS", ERROR_SYNTAX, 0, "", "", 0, false },
        { "stat", ERROR_SYNTAX, 0, "", "", 0, false },
        { "statusx", ERROR_SYNTAX, 0, "", "", 0, false },
        { "reload now", ERROR_SYNTAX, 0, "", "", 0, false },
        { "status\tjson", ERROR_SYNTAX, 0, "", "", 0, false },
        { "status\r", ERROR_SYNTAX, 0, "", "", 0, false },
        { "allow \xc3\xa4 5", ERROR_SYNTAX, 0, "", "", 0, false },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct control_request got = { .verb = CONTROL_STATUS };
        struct error error;
        enum error_kind kind = control_parse(&got, span_text(cases[i].line), &error);

        if (kind != cases[i].kind)
            fail_msg("\"%s\": kind %d", cases[i].line, kind);
        if (kind == ERROR_NONE &&
            (got.verb != cases[i].verb || got.for_ms != cases[i].for_ms ||
             got.wants_json != cases[i].json || !span_equal(got.host, span_text(cases[i].host)) ||
             !span_equal(got.client, span_text(cases[i].client))))
            fail_msg("\"%s\" is taken for something else", cases[i].line);
    }
}

static void lines_have_a_limit(void **state)
{
    char line[CONTROL_LINE_BYTES + 1];
    struct control_request request;
    struct error error;

    (void)state;
    memset(line, 'a', sizeof line);
    memcpy(line, "allow ", 6);
    memcpy(line + CONTROL_LINE_BYTES - 4, " off", 4);
    assert_int_equal(control_parse(&request, span_of(line, CONTROL_LINE_BYTES), &error),
                     ERROR_NONE);
    memcpy(line + CONTROL_LINE_BYTES - 3, " off", 4);
    line[CONTROL_LINE_BYTES - 4] = 'a';
    assert_int_equal(control_parse(&request, span_of(line, CONTROL_LINE_BYTES + 1), &error),
                     ERROR_LIMIT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_are_understood_or_refused),
        cmocka_unit_test(lines_have_a_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

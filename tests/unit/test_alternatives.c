/* Alt-Svc: offers of HTTP/3 go, others stay as they are. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "proxy/alternatives.h"

static void offers_of_http3_go(void **state)
{
    static const struct {
        const char *name;
        const char *first, *second; // fields; NULL: none
        const char *want;           // what is left, joined by " | "
    } cases[] = {
        { "one offer", "h3=\":443\"; ma=86400", NULL, "" },
        { "drafts", "h3-29=\":443\", h3-Q050=\":443\"", NULL, "" },
        { "older QUIC", "quic=\":443\"; v=\"46,43\", hq=\":1\"", NULL, "" },
        { "without case", "H3=\":443\"", NULL, "" },
        { "HTTP/2 stays", "h2=\"alt.example:443\"", NULL, "h2=\"alt.example:443\"" },
        { "among others", "h3=\":443\"; ma=1, h2=\":8000\"; ma=2", NULL, "h2=\":8000\"; ma=2" },
        { "clear stays", "clear", NULL, "clear" },
        { "a comma in quotes", "h2=\":1\"; x=\"a,h3=b\"", NULL, "h2=\":1\"; x=\"a,h3=b\"" },
        { "two fields", "h3=\":1\"", "h2=\":2\", h3=\":3\"", "h2=\":2\"" },
        { "untouched ones are kept as they came", "h2=\":1\" ,  http/1.1=\":2\"", NULL,
          "h2=\":1\" ,  http/1.1=\":2\"" },
        { "nothing in it", "", NULL, "" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct arena arena;
        struct message message;
        char got[300] = "";
        size_t size = 0;

        arena_init(&arena, 1 << 16);
        message_init(&message, &arena, false);
        message_add(&message, SPAN("Date"), SPAN("h3=\":443\""));
        if (cases[i].first)
            message_add(&message, SPAN("Alt-Svc"), span_text(cases[i].first));
        if (cases[i].second)
            message_add(&message, SPAN("alt-svc"), span_text(cases[i].second));
        alternatives_strip(&message);
        for (const struct field *field = message_find(&message, FIELD_ALT_SVC); field;
             field = message_find_next(&message, field))
            size += (size_t)snprintf(got + size, sizeof got - size, "%s%.*s", size ? " | " : "",
                                     SPAN_PRINT(field->value));
        if (strcmp(got, cases[i].want) != 0)
            fail_msg("%s: \"%s\" is left", cases[i].name, got);
        assert_non_null(message_find(&message, FIELD_DATE));
        arena_done(&arena);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(offers_of_http3_go) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

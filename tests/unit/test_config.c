/* The config's parser: what texts give, and which error with which line. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#include "state/config.h"

static enum error_kind parse(struct config **out, const char *const *texts, struct error *error)
{
    static const char *const names[] = { "a.conf", "b.conf", "c.conf" };
    struct config_source items[3];
    struct config_sources sources = { .items = items };

    for (; sources.count < 3 && texts[sources.count]; sources.count++)
        items[sources.count] = (struct config_source){ span_text(names[sources.count]),
                                                       span_text(texts[sources.count]) };
    return config_parse(out, &sources, error);
}

static const struct {
    const char *name;
    const char *texts[3];
    const char *want; // the error
} errors[] = {
    { "unknown, near", { "via = yes\n\nlisten_ = 1" },
      "a.conf:3: unknown option \"listen_\"; did you mean \"listen\"?" },
    { "unknown, far", { "frobnicate = 1" }, "a.conf:1: unknown option \"frobnicate\"" },
    { "second source", { "via = yes", "\nvia = maybe" },
      "b.conf:2: via: \"maybe\" is not yes or no" },
};

static void tells_errors(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++) {
        struct config *config = NULL;
        struct error error = { 0 };

        if (parse(&config, errors[i].texts, &error) != ERROR_CONFIG)
            fail_msg("%s: no error", errors[i].name);
        if (strcmp(error.text, errors[i].want) != 0)
            fail_msg("%s: %s", errors[i].name, error.text);
        assert_null(config);
    }
}

static void gives_defaults(void **state)
{
    struct config *config = NULL;
    struct error error;

    (void)state;
    assert_int_equal(parse(&config, (const char *const[]){ NULL }, &error), ERROR_NONE);
    assert_int_equal(config->listen.count, 1);
    assert_string_equal(config->listen.items[0].at, "127.0.0.1:8119");
    assert_int_equal(config->connect_timeout_ms, 10000);
    assert_int_equal(config->connect_ports.count, 2);
    assert_true(config->via);
    config_unref(&config);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tells_errors),
        cmocka_unit_test(gives_defaults),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

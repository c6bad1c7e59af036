/* proxy_config.h - a config, and what proxy/ makes of it, from a text; for tests. */
#ifndef TESTS_UNIT_PROXY_CONFIG_H
#define TESTS_UNIT_PROXY_CONFIG_H

#include <stdio.h>
#include <stdlib.h>

#include "proxy/settings.h"

static inline enum error_kind config_of(struct config **out, const char *text, struct error *error)
{
    struct config_source source = { SPAN("test"), span_text(text) };
    struct config_sources sources = { .items = &source, .count = 1 };

    return config_parse(out, &sources, error);
}

static inline enum error_kind settings_of(struct settings **out, const char *text,
                                          struct error *error)
{
    struct config *config;
    enum error_kind kind = config_of(&config, text, error);

    if (kind)
        return kind;
    kind = settings_new(out, config, error);
    config_unref(&config);
    return kind;
}

/* Of a text that has no mistakes. */
static inline struct settings *good_settings(const char *text)
{
    struct settings *settings;
    struct error error;

    if (settings_of(&settings, text, &error)) {
        fprintf(stderr, "%s: %s\n", text, error.text);
        abort();
    }
    return settings;
}

#endif

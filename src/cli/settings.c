#include "cli/settings.h"

bool settings_take(struct settings *settings, int letter, const char *value)
{
    if (letter == 'c') {
        settings->path = value;
        return true;
    }
    if (letter == 'D') {
        if (settings->count < SETTINGS)
            settings->items[settings->count] = value;
        settings->count++; // one too many is an error of settings_load()
        return true;
    }
    return false;
}

bool settings_find(struct settings *settings)
{
    if (settings->path)
        return true;
    if (config_default_path(settings->default_path, sizeof settings->default_path))
        settings->path = settings->default_path;
    return settings->path != NULL;
}

enum error_kind settings_load(struct settings *settings, struct config **config,
                              struct config_sources *sources, struct error *error)
{
    struct config_sources own;
    enum error_kind kind;

    if (settings->count > SETTINGS)
        return error_set(error, ERROR_CONFIG, "-D:%d: too many settings", SETTINGS + 1);
    settings_find(settings);
    kind = config_sources_read(&own, settings->path, settings->items, settings->count, error);
    if (kind)
        return kind;
    kind = config_parse(config, &own, error);
    if (!kind && sources)
        *sources = own;
    else
        config_sources_done(&own);
    return kind;
}

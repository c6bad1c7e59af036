/*
 * settings.h - the options -c and -D, which every command that needs the config takes.
 */
#ifndef DEJUNK_CLI_SETTINGS_H
#define DEJUNK_CLI_SETTINGS_H

#include <limits.h>

#include "cli/options.h"
#include "state/config.h"

/* For a command's table of options. */
#define SETTINGS_ROWS                                                                              \
    { 'c', "config", "FILE", "read this file instead of the usual one" },                          \
    {                                                                                              \
        'D', "set", "NAME=VALUE", "set an option; may be given many times"                         \
    }

enum { SETTINGS = 1000 }; // -D on one command line, at most

struct settings {     // zeroed: nothing given
    const char *path; // after settings_find(): the file to read, or NULL: none
    const char *items[SETTINGS];
    size_t count;
    char default_path[PATH_MAX];
};

/* Takes the option `letter`: true when it was one of ours. The value is borrowed. */
bool settings_take(struct settings *settings, int letter, const char *value);

/* Finds the usual file where -c did not name one. False when there is none: the defaults then. */
bool settings_find(struct settings *settings);

/* settings_find(), then reads and parses all. ERROR_CONFIG as config_parse() says it. `sources`
 * may be NULL; else the caller ends it. */
enum error_kind settings_load(struct settings *settings, struct config **config,
                              struct config_sources *sources, struct error *error);

#endif

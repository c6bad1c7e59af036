/*
 * rule_source.h - the rules that a command works with: of lists, of a database, or else those that
 * a service with the configuration would have.
 *
 * For commands that ask rules without a service: their options, and what comes of them.
 */
#ifndef DEJUNK_CLI_RULE_SOURCE_H
#define DEJUNK_CLI_RULE_SOURCE_H

#include "cli/settings.h"
#include "daemon/rulebook.h"
#include "filter/database.h"

/* For a command's table of options. */
#define RULE_SOURCE_ROWS                                                                           \
    { 'l', "list", "FILE", "take this filter list; may be given many times" },                     \
        { 't', "trusted", "FILE",                                                                  \
          "the same for a list that may use what only trusted lists may" },                        \
        { 'd', "database", "FILE", "take a database made by `dejunk lists compile`" },             \
        SETTINGS_ROWS

enum { RULE_SOURCE_LISTS = 255 };

struct rule_source { // zeroed: nothing given
    const char *lists[RULE_SOURCE_LISTS];
    bool are_trusted[RULE_SOURCE_LISTS];
    size_t list_count;
    const char *database;
    struct settings settings;
    // after rule_source_open():
    struct database *rules;
    struct config *config; // NULL: it was not asked
    struct rulebook *rulebook;
    struct buffer unfiltered; // as long as the rulebook
};

/* Takes the option `letter`: true when it was one of ours. The value is borrowed. */
bool rule_source_take(struct rule_source *source, int letter, const char *value);

/* Reads them. EX_OK, or another exit code: standard error says why. */
int rule_source_open(struct rule_source *source);
/* Harmless where nothing was opened. */
void rule_source_close(struct rule_source *source);

#endif

/*
 * strip_rules.h - a page on standard input, edited by filter lists as the proxy would edit it.
 *
 * For `dejunk strip --list`. Says on standard error, where it is asked to, what was changed and by
 * which rule.
 */
#ifndef DEJUNK_CLI_STRIP_RULES_H
#define DEJUNK_CLI_STRIP_RULES_H

#include "base/bytes.h"

enum { STRIP_LISTS = 255 };

struct strip_rules; // opaque

struct strip_rules_options {
    const char *lists[STRIP_LISTS]; // files
    size_t list_count;
    const char *database; // instead of lists; NULL: none
    const char *url;      // of the page; NULL: one that no rule names
    const char *mode;     // "hide", "hollow", "remove"; NULL: as the config's default
    bool keeps_blocked;
    bool says_why;
};

/* Ready for the page, or NULL: *exit_code says why, as does standard error. */
struct strip_rules *strip_rules_new(const struct strip_rules_options *options, int *exit_code);
void strip_rules_feed(struct strip_rules *rules, struct span bytes);
void strip_rules_finish(struct strip_rules *rules);
void strip_rules_free(struct strip_rules **rules);

#endif

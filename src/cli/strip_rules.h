/*
 * strip_rules.h - a page on standard input, edited by rules as the proxy would edit it.
 *
 * For `dejunk strip`. Says on standard error, where it is asked to, what was changed and by which
 * rule. Only the script that asks for later elements is not put in: nobody would answer it.
 */
#ifndef DEJUNK_CLI_STRIP_RULES_H
#define DEJUNK_CLI_STRIP_RULES_H

#include "cli/rule_source.h"

struct strip_rules; // opaque

struct strip_rules_options {
    struct rule_source source; // opened by strip_rules_new(); whoever made it closes it afterwards
    const char *url;           // of the page; NULL: one that no rule names
    const char *mode;          // "hide", "hollow", "remove"; NULL: as the config says for the host
    bool keeps_blocked;
    bool says_why;
};

/* Ready for the page, or NULL: *exit_code says why, as does standard error. */
struct strip_rules *strip_rules_new(struct strip_rules_options *options, int *exit_code);
void strip_rules_feed(struct strip_rules *rules, struct span bytes);
void strip_rules_finish(struct strip_rules *rules);
void strip_rules_free(struct strip_rules **rules);

#endif

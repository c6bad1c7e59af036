/*
 * list.h - the text of one filter list, read line by line.
 *
 * Knows what stands around the rules: comments that say something (title, expiry), "!#if" and its
 * kin, included files, numbers of lines. Each line that is in force is handed on as a struct rule.
 * What could not be used is counted by reason; none is dropped in silence. Reads memory, no files.
 */
#ifndef DEJUNK_FILTER_LIST_H
#define DEJUNK_FILTER_LIST_H

#include "filter/rule.h"

#define LIST_TEXT_LIMIT (256u << 20) // bytes of a list
#define LIST_LINE_LIMIT ((1u << 24) - 1)
#define LIST_IF_DEPTH 16u // "!#if" inside "!#if"
#define LIST_INCLUDE_DEPTH 4u
#define LIST_INCLUDES 64u      // in one list, those of included files among them
#define LIST_INCLUDE_NAME 255u // bytes of its name, as seen from the list

struct list_summary {
    struct span title, version, homepage; // point into the text; .at is NULL: not there
    uint64_t expires_s;                   // 0: not said
    uint32_t lines; // those of included files among them: the sum of what follows but `included`
    uint32_t network, hosts, cosmetic; // rules taken; of a hosts file: names
    uint32_t comments;                 // comments, empty and preprocessor lines
    uint32_t included;                 // files
    uint32_t left_out;                 // by "!#if"
    uint32_t idle, bad;
    uint32_t by_reason[RULE_REASONS];
};

struct list_reader {
    bool is_trusted; // may use what only trusted lists may
    /* A network, hosts or cosmetic rule in force. Spans are good until list_read() returns. */
    void (*on_rule)(void *owner, const struct rule *rule, uint32_t line);
    /* A line that is idle or bad. May be NULL. */
    void (*on_problem)(void *owner, struct span text, enum rule_reason reason, uint32_t line);
    /* The text of an included file, by its name as seen from the list (what an included file
     * includes stands beside that file), or false. It must live until list_read() returns; its
     * rules get the line of the "!#include". May be NULL: nothing can be included. All texts of a
     * list together have at most LIST_TEXT_LIMIT bytes. */
    bool (*on_include)(void *owner, struct span name, struct span *text);
    void *owner;
};

/* Reads all of `text`; `summary` is filled in completely. False, with what was read so far, when
 * the list has too many bytes or lines. */
bool list_read(struct list_summary *summary, const struct list_reader *reader, struct span text);

/* Is what stands behind "!#if" true for us? ext_ublock, ext_dejunk, env_firefox,
 * cap_html_filtering, cap_user_stylesheet, cap_ipaddress and true are; &&, ||, ! and parentheses.
 * *is_well_formed says whether it could be read; what could not be is false. */
bool list_condition(struct span expression, bool *is_well_formed);

#endif

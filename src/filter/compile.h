/*
 * compile.h - rules in, one flat database image out.
 *
 * Lists are added in order; the image depends on their texts, names and order and on nothing
 * else: the same input gives the same bytes. Rules that a `badfilter` names are left out, and so
 * are repetitions. Each rule is put where it is found with the least work: under a host name,
 * under a few bytes of the URL, under the page it is for, or, if nothing else is left, among the
 * loose ones that are always looked at. Works in memory, opens no file; meant for a short-lived
 * process.
 */
#ifndef DEJUNK_FILTER_COMPILE_H
#define DEJUNK_FILTER_COMPILE_H

#include "base/error.h"
#include "filter/list.h"

struct compiler; // opaque

struct compile_counts {
    uint32_t plain_hosts;                          // `||host^` without options
    uint32_t rules;                                // other network rules
    uint32_t cosmetic;                             // rules that change pages
    uint32_t repeated;                             // left out: they were there already
    uint32_t negated;                              // left out by badfilter, and the badfilters
    uint32_t by_host, by_window, by_source, loose; // how the others are found
};

struct compiler *compiler_new(void);
void compiler_free(struct compiler **compiler);

/* A public suffix list in its own format; its private section counts as well. The text must live
 * until the compiler is freed. */
void compiler_add_suffixes(struct compiler *compiler, struct span text);

/* Begins a list; the rules that follow are its own. `name` is copied. False: too many lists. */
bool compiler_begin_list(struct compiler *compiler, struct span name);

/* Takes a network, hosts or cosmetic rule (others are passed over). The texts it points to must
 * live until the compiler is freed. What comes back is why it cannot be used, or REASON_NONE, or
 * REASON_PART: it was taken, but some names of its lists are none. */
enum rule_reason compiler_add(struct compiler *compiler, const struct rule *rule, uint32_t line);

/* The image, in memory of the compiler (aligned to 64 bytes, gone with it). To be called once.
 * ERROR_LIMIT when it would be too big. */
enum error_kind compiler_finish(struct compiler *compiler, struct span *image,
                                struct compile_counts *counts, struct error *error);

#endif

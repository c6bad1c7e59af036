/*
 * rules.h - the rule database of a service: which lists, compiled when, handed to whom.
 *
 * Lists are the config's, or, where it names none, those that Debian's uBlock Origin package
 * carries; own rules come from rules_dir; hosts that are never filtered become exceptions. A
 * short-lived process with a memory limit reads them and writes the database beside its place in
 * the state directory, then moves it there; nobody else reads a list. What the database was made
 * from is kept beside it, so that nothing is compiled twice. When anything goes wrong the last
 * good database stays; so it does when a list that is in it is gone or damaged. What is in force is
 * a copy in sealed memory, whatever becomes of the file.
 *
 *     STATE/rules.db     the database
 *     STATE/rules.txt    what it was made from: a key, then a line for each list with its counts,
 *                        and one for each file that lists include
 */
#ifndef DEJUNK_DAEMON_RULES_H
#define DEJUNK_DAEMON_RULES_H

#include "base/error.h"
#include "daemon/rulebook.h"
#include "io/loop.h"
#include "state/config.h"

enum {
    RULES_MEMORY_BYTES = 1024 * 1024 * 1024, // address space of the compiler
    RULES_CPU_S = 120,
    RULES_PATIENCE_MS = 150 * 1000,
};

struct rules;

struct rules_events {
    /* A build has ended, well or not; once for each rules_build(). rules_fd() is what is in force.
     * is_new: it is another database than before. problem: NULL, or what went wrong. */
    void (*on_built)(void *owner, bool is_new, const char *problem);
};

struct rules *rules_new(struct loop *loop, const struct rules_events *events, void *owner);
/* Kills a compiler that still runs. Sets *rules to NULL. */
void rules_free(struct rules **rules);

/* Makes the database true to the config: on_built() comes from the loop, soon when nothing has
 * changed since it was made. Asked again while one is under way, it begins anew after it. */
void rules_build(struct rules *rules, struct config *config);

/* Reads what the config's database is made from into `rulebook`, which must not outlive
 * `unfiltered`; returns how many lists could be read. Warnings are logged. */
size_t rules_read(struct rulebook *rulebook, const struct config *config,
                  struct buffer *unfiltered);

/* The database, in sealed memory; -1: there is none. Borrowed until the next on_built(). */
int rules_fd(const struct rules *rules, uint64_t *size_bytes);

#endif

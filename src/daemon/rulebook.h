/*
 * rulebook.h - from list files to a rule database: what the compiler process and the command line
 * have in common.
 *
 * Reads files (plain or gzip), hands their lines to filter/, and counts what became of each line.
 * The text of every list is kept until the rulebook is freed, because the compiler points into it.
 */
#ifndef DEJUNK_DAEMON_RULEBOOK_H
#define DEJUNK_DAEMON_RULEBOOK_H

#include "filter/compile.h"

#define RULEBOOK_SUFFIXES "/usr/share/publicsuffix/public_suffix_list.dat"

struct rulebook; // opaque

/* A line that is no rule in force, and why. */
typedef void rulebook_problem(void *owner, const char *file, uint32_t line, struct span text,
                              enum rule_reason reason);

/* `on_problem` may be NULL. */
struct rulebook *rulebook_new(rulebook_problem *on_problem, void *owner);
void rulebook_free(struct rulebook **rulebook);

/* From now on each file that a list includes, or would include if it were there, is told before it
 * is read. */
void rulebook_on_include(struct rulebook *rulebook, void (*tell)(void *owner, const char *path),
                         void *owner);

/* Reads a public suffix list; NULL: the system's. ERROR_SYSTEM: not there; without one only the
 * last label of a host counts as its public suffix. */
enum error_kind rulebook_add_suffixes(struct rulebook *rulebook, const char *file,
                                      struct error *error);
/* The same for a text in memory, which must outlive the rulebook. */
void rulebook_add_suffixes_text(struct rulebook *rulebook, struct span text);

/* Reads a list. `name` is what explain calls it; NULL: its path. *summary says what became of its
 * lines, what the compiler refused included; its spans live as long as the rulebook. Files that it
 * includes stand beside it or below, named relative to it, and end in ".txt".
 * ERROR_SYSTEM: it cannot be read; ERROR_CORRUPT: it is cut short or a web page; ERROR_LIMIT: too
 * long, or too many lists. */
enum error_kind rulebook_add(struct rulebook *rulebook, const char *file, const char *name,
                             bool is_trusted, struct list_summary *summary, struct error *error);
/* The same for a text in memory, which must outlive the rulebook. */
enum error_kind rulebook_add_text(struct rulebook *rulebook, struct span text, const char *name,
                                  bool is_trusted, struct list_summary *summary,
                                  struct error *error);

/* Compiles what was added: once. The image lives as long as the rulebook. */
enum error_kind rulebook_compile(struct rulebook *rulebook, struct span *image,
                                 struct compile_counts *counts, struct error *error);

#endif
